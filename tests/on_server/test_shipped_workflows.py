"""The shipped workflows in a real ComfyUI: every node, input, choice and link is what the server knows, and the graphs
run from beginning to end, with tiny random models of the same architectures in the place of real ones."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from maskloss.core.draw.sheet import GAP_PX
from maskloss.core.train.lora_file import KeyFormat, load_lora, save_lora
from PIL import Image

from tests.helpers.workflow_graph import runnable

from .comfy_server import Server, failure, node
from .shipped import WORKFLOWS, made_small, prompt_of

pytestmark = [pytest.mark.comfy, pytest.mark.models]

EDITOR = sorted(WORKFLOWS.glob("*.json"))
NAMES = sorted(path.stem for path in (WORKFLOWS / "api").glob("*.json"))
WIDGETS = ("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO")
FILES = (".safetensors", ".jpg", ".png")


@pytest.fixture(scope="module")
def classes(server: Server) -> dict[str, Any]:
    return server.get("/object_info")


def declared(info: dict[str, Any]) -> dict[str, tuple[str, dict[str, Any]]]:
    """Inputs by name, in the editor's order; combos of the old form become COMBO."""
    found: dict[str, tuple[str, dict[str, Any]]] = {}
    for group in ("required", "optional"):
        for name, (kind, *options) in info["input"].get(group, {}).items():
            settings = dict(options[0]) if options else {}
            found[name] = ("COMBO", {**settings, "options": kind}) if isinstance(kind, list) else (kind, settings)
    return found


@pytest.mark.parametrize("name", NAMES)
def test_the_server_knows_every_node_input_choice_and_link(name: str, classes: dict[str, Any]) -> None:
    prompt = prompt_of(name)
    for key, one in prompt.items():
        info = classes[one["class_type"]]
        inputs = declared(info)
        assert set(info["input"].get("required", {})) <= set(one["inputs"]) <= set(inputs), (key, one["class_type"])
        for input_name, value in one["inputs"].items():
            kind, settings = inputs[input_name]
            if isinstance(value, list):
                source = classes[prompt[value[0]]["class_type"]]["output"][value[1]]
                assert set(source.split(",")) & set(kind.split(",")), (key, input_name)
            elif kind == "COMBO" and not str(value).endswith(FILES):
                assert value in settings["options"], (key, input_name, value)


@pytest.mark.parametrize("path", EDITOR, ids=lambda path: path.stem)
def test_the_editor_finds_a_value_for_each_widget(path: Path, classes: dict[str, Any]) -> None:
    for _, one in runnable(json.loads(path.read_text(encoding="utf-8"))).values():
        widgets = [
            settings
            for kind, settings in declared(classes[one["type"]]).values()
            if kind in WIDGETS and not settings.get("forceInput")
        ]
        more = sum(
            bool(settings.get(key)) for settings in widgets for key in ("control_after_generate", "image_upload")
        )
        assert len(one.get("widgets_values", ())) == len(widgets) + more, one["type"]


@pytest.mark.parametrize("name", ["weighted_mask", "one_person"])
def test_a_workflow_of_one_picture_runs_as_it_is(server: Server, inputs: Path, name: str) -> None:
    history = server.run(prompt_of(name))
    assert history["status"]["status_str"] == "success", failure(history)["exception_message"]
    kept = [image for output in history["outputs"].values() for image in output.get("images", [])]
    assert all((server.base / image["type"] / image["subfolder"] / image["filename"]).is_file() for image in kept)
    assert any(image["type"] == "output" for image in kept)


@pytest.mark.parametrize(
    ("name", "model", "vae", "loras"),
    [
        ("lora_sdxl", "sdxl", "sd", ["my_person_sdxl"]),
        ("lora_qwen_image", "qwen_image", "wan", ["my_person_qwen"]),
        ("lora_wan22", "wan", "wan", ["my_person_wan22_high", "my_person_wan22_low"]),
    ],
)
def test_a_training_workflow_runs_from_photographs_to_a_lora(
    server: Server, inputs: Path, name: str, model: str, vae: str, loras: list[str]
) -> None:
    prompt = made_small(name, model, vae)
    history = server.run(prompt)
    assert history["status"]["status_str"] == "success", failure(history)["exception_message"]
    for lora in loras:
        assert int(load_lora(server.base / f"output/loras/{lora}.safetensors").metadata["ss_steps"]) == 2
    if any(one["class_type"] == "MaskLossSampling" for one in prompt.values()):
        samples = sorted((server.base / f"output/loras/{loras[0]}.samples").glob("*.png"))
        assert len(samples) == 3, "before the first step and after each"


def test_loras_of_two_trainers_are_compared(server: Server, inputs: Path) -> None:
    trained = made_small("lora_sdxl", "sdxl", "sd")
    (train,) = (one["inputs"] for one in trained.values() if one["class_type"] == "MaskLossTrainLora")
    trained = {
        key: one for key, one in trained.items() if not one["class_type"].startswith(("MaskLossReport", "Preview"))
    }
    train["output_name"] = "loras/compared"
    history = server.run(trained)
    assert history["status"]["status_str"] == "success", failure(history)["exception_message"]
    lora = load_lora(server.base / "output/loras/compared.safetensors")
    # Two steps change no pixel; a stronger LoRA does.
    strong = {key: 300 * value if key.endswith("lora_up.weight") else value for key, value in lora.items()}
    folder = server.base / "models/loras"
    save_lora(folder / "my_person_sdxl.safetensors", lora, lora.metadata, KeyFormat.KOHYA)
    save_lora(folder / "another_trainers.safetensors", strong, lora.metadata, KeyFormat.KOHYA)
    prompt = made_small("compare_loras", "sdxl", "sd")
    history = server.run(prompt)
    assert history["status"]["status_str"] == "success", failure(history)["exception_message"]
    outputs = history["outputs"]
    (scored,) = (key for key, one in prompt.items() if one["class_type"] == "MaskLossScorePictures")
    report = json.loads(outputs[scored]["text"][0])
    assert [picture["name"] for picture in report["pictures"]] == [f"picture {number}" for number in range(1, 13)]
    assert report["counts"] == {"pictures": 12, "with_face": 0}, "random weights draw no face"
    assert report["likeness"] is None
    assert all(picture["copy_of"] == "group" for picture in report["pictures"])
    assert any("No face was found in 12 of 12 pictures" in text for text in report["warnings"])
    (kept,) = (one["images"][0] for key, one in outputs.items() if prompt[key]["class_type"] == "SaveImage")
    with Image.open(server.base / "output" / kept["subfolder"] / kept["filename"]) as sheet:
        pixels = np.asarray(sheet.convert("RGB")).astype(int)
    pitch = (pixels.shape[0] - GAP_PX) // 3
    assert pixels.shape[1] == 4 * (320 + GAP_PX) + GAP_PX
    base, first, second = (pixels[GAP_PX + row * pitch :][:320] for row in range(3))
    assert np.abs(second - base).mean() > 10 * np.abs(first - base).mean(), "the strong LoRA is another picture"


def test_the_video_workflow_gives_each_frame_its_mask(server: Server, inputs: Path) -> None:
    prompt = made_small("video_masks_sam3", "wan", "wan")
    prompt["tiny sam"] = node("TinySam3", version="SAM31")
    sam = {"MODEL": 0, "CLIP": 1}
    for key, one in prompt.items():
        if one["class_type"] in ("SAM3_VideoTrack", "CLIPTextEncode"):
            for input_name, value in one["inputs"].items():
                if isinstance(value, list) and value[0].startswith("tiny ") and value[0] != key:
                    one["inputs"][input_name] = ["tiny sam", sam[value[0].removeprefix("tiny ")]]
        if one["class_type"] == "MaskLossLoadDataset":
            one["inputs"].update(resolution_width=64, resolution_height=64, bucket_step=16, target_frames="5")
    history = server.run(prompt)
    assert history["status"]["status_str"] == "success", failure(history)["exception_message"]
    assert (server.base / "output/my_person/video_masks/clip.mkv").is_file()
    assert list((server.base / "output/my_person/video_cache").glob("clip_00000-005_*.safetensors"))
