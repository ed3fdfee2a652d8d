"""The shipped workflows in a real ComfyUI: every node, input, choice and link is what the server knows, and the graphs
run from beginning to end, with tiny random models of the same architectures in the place of real ones."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import maskloss
import numpy as np
import pytest
from maskloss.cli.prompt import read_prompt
from maskloss.core.bundled.install import copy_demo_photographs
from maskloss.core.cache.encoders import SHOWN
from maskloss.core.cache.store import open_cache
from maskloss.core.draw.sheet import GAP_PX
from maskloss.core.images import load_image
from maskloss.core.train.lora_file import KeyFormat, load_lora, save_lora
from PIL import Image

from tests.helpers.workflow_graph import runnable

from .comfy_server import Server, failure, node

pytestmark = [pytest.mark.comfy, pytest.mark.models]

WORKFLOWS = Path(maskloss.__file__).parent / "workflows"
EDITOR = sorted(WORKFLOWS.glob("*.json"))
NAMES = sorted(path.stem for path in (WORKFLOWS / "api").glob("*.json"))
WIDGETS = ("INT", "FLOAT", "STRING", "BOOLEAN", "COMBO")
FILES = (".safetensors", ".jpg", ".png")


def prompt_of(name: str) -> dict[str, dict[str, Any]]:
    prompt = read_prompt(WORKFLOWS / "api" / f"{name}.json")
    return {key: {"class_type": one.class_type, "inputs": dict(one.inputs)} for key, one in prompt.items()}


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


@pytest.fixture(scope="module")
def inputs(server: Server) -> Path:
    """The demo's photographs, one of them and the reference as a user's own, and a short video."""
    folder = server.base / "input"
    copy_demo_photographs(folder)
    mine = folder / "my_person"
    for kind in ("photographs", "reference", "videos"):
        (mine / kind).mkdir(parents=True)
    with Image.open(folder / "maskloss_group.jpg") as photograph:
        photograph.resize((960, 640)).save(mine / "photographs/group.png")
        photograph.resize((96, 64)).save(folder / "scene.png")
    (mine / "photographs/group.txt").write_text("photo of mlperson woman")
    with Image.open(folder / "maskloss_person.jpg") as photograph:
        photograph.save(mine / "reference/other.png")
    with av.open(str(mine / "videos/clip.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=Fraction(16))
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv444p"
        for number in range(5):
            pixels = np.full((64, 64, 3), 40 + 4 * number, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    (mine / "videos/clip.txt").write_text("a clip")
    return folder


def made_small(name: str, model: str, vae: str) -> dict[str, dict[str, Any]]:
    """The shipped prompt with tiny models behind its links, and little of everything."""
    small = {
        "MaskLossLoadDataset": {"resolution_width": 128, "resolution_height": 128, "bucket_step": 64},
        "MaskLossReferenceFaces": {"face_index": 1},
        "MaskLossTrainLora": {"steps": 2, "save_every": 0, "training_dtype": "fp32"},
        "MaskLossSampling": {"every": 1},
        "BasicScheduler": {"steps": 1},
        "EmptyLatentImage": {"width": 64, "height": 64},
        "KSampler": {"steps": 1},
        "EmptySD3LatentImage": {"width": 64, "height": 64},
    }
    prompt = prompt_of(name)
    tiny = {
        "MODEL": node("TinyModel", name=model), "CLIP": node("TinyClip", name=model), "VAE": node("TinyVAE", name=vae),
    }  # fmt: skip
    loaders = {
        "UNETLoader": ["MODEL"],
        "CLIPLoader": ["CLIP"],
        "VAELoader": ["VAE"],
        "CheckpointLoaderSimple": ["MODEL", "CLIP", "VAE"],
    }
    replaced = {key: loaders[one["class_type"]] for key, one in prompt.items() if one["class_type"] in loaders}
    for one in prompt.values():
        one["inputs"].update(small.get(one["class_type"], {}))
        for input_name, value in one["inputs"].items():
            if isinstance(value, list) and value[0] in replaced:
                one["inputs"][input_name] = [f"tiny {replaced[value[0]][value[1]]}", 0]
    for key in replaced:
        del prompt[key]
    return prompt | {f"tiny {kind}": one for kind, one in tiny.items()}


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


def test_an_edit_model_is_shown_scenes_without_the_person(server: Server, inputs: Path) -> None:
    prompt = made_small("lora_edit", "qwen_image", "wan")
    for one in prompt.values():
        if one["class_type"] == "TextEncodeQwenImageEditPlus":
            del one["inputs"]["vae"]  # it would make references of a megapixel, which take minutes on a CPU
    history = server.run(prompt)
    assert history["status"]["status_str"] == "success", failure(history)["exception_message"]
    cache = open_cache(server.base / "output/my_person_edit/cache")
    (entry,) = cache.entries
    assert entry.references == 1
    assert cache.text_encoder is not None
    assert cache.text_encoder.endswith(SHOWN)
    (scene,) = (server.base / "output/my_person_edit/scenes").glob("*.png")
    assert entry.control_sources[0].path == scene.resolve()
    grey_HW = (load_image(scene)[0] == 128).all(axis=-1)
    assert 0.02 < grey_HW.mean() < 0.6, "one of three people is cut out"
    assert int(load_lora(server.base / "output/loras/my_person_edit.safetensors").metadata["ss_steps"]) == 2
    assert len(list((server.base / "output/loras/my_person_edit.samples").glob("*.png"))) == 3


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
