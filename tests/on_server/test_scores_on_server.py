"""Scores in a real ComfyUI: every checkpoint's, with photographs in the place of what a tiny model would draw."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from maskloss.core.bundled.install import copy_demo_photographs
from maskloss.core.train.lora_file import load_lora
from PIL import Image

from .comfy_server import Server, failure, node

pytestmark = [pytest.mark.comfy, pytest.mark.models]

PROMPTS = {"positive": "photo of mlperson woman", "bleed": "photo of another woman", "plain": "a garden"}
PICTURES = ("crowd", "other", "garden", "person", "other", "garden", "trained", "other", "garden")


@pytest.fixture(scope="module")
def photographs(server: Server) -> Path:
    """Before training the samples are of strangers, then of the person, at last the training photograph itself."""
    folder = server.base / "input"
    copy_demo_photographs(folder)
    demo = folder / "maskloss_demo"
    made = folder / "scored"
    (made / "photographs").mkdir(parents=True)
    for name, source in {
        "person": folder / "maskloss_person.jpg",
        "trained": folder / "maskloss_group.jpg",
        "crowd": demo / "photographs/sample4.jpg",
        "other": demo / "photographs/sample5.jpg",
    }.items():
        with Image.open(source) as photograph:
            photograph.resize((768, 512)).save(folder / f"scored_{name}.png")
    Image.new("RGB", (768, 512), (40, 120, 60)).save(folder / "scored_garden.png")
    with Image.open(folder / "scored_trained.png") as photograph:
        photograph.save(made / "photographs/group.png")
    (made / "photographs/group.txt").write_text(PROMPTS["positive"])
    return made


def prompt_of(output_name: str) -> dict[str, dict[str, Any]]:
    texts = {name: node("CLIPTextEncode", clip=["clip", 0], text=text) for name, text in PROMPTS.items()}
    loads = {f"load {name}": node("LoadImage", image=f"scored_{name}.png") for name in set(PICTURES)}
    return {
        **texts, **loads,
        "model": node("TinyModel", name="sdxl"),
        "clip": node("TinyClip", name="sdxl"),
        "vae": node("TinyVAE", name="sd"),
        "drawn": node("TinyGallery", name="sd", pictures=" ".join(f"scored_{name}.png" for name in PICTURES)),
        "faces": node("MaskLossFaceRecognizer", model="bundled"),
        "her": node("MaskLossReferenceFaces", recognizer=["faces", 0], images=["load person", 0], face_index=1),
        "photos": node(
            "MaskLossLoadDataset", directory="scored/photographs", resolution_width=128, resolution_height=128
        ),
        "latents": node(
            "MaskLossCacheLatents", dataset=["photos", 0], vae=["vae", 0], cache_directory=f"{output_name}_cache"
        ),
        "cache": node("MaskLossCacheText", cache=["latents", 0], clip=["clip", 0]),
        "empty": node("EmptyLatentImage", width=64, height=64, batch_size=1),
        "sampler": node("KSamplerSelect", sampler_name="euler"),
        "sigmas": node("BasicScheduler", model=["model", 0], scheduler="normal", steps=1, denoise=1.0),
        "sampling": node(
            "MaskLossSampling", latent=["empty", 0], vae=["drawn", 0], sampler=["sampler", 0], sigmas=["sigmas", 0],
            every=2, recognizer=["faces", 0], identity=["her", 0], **{name: [name, 0] for name in PROMPTS},
        ),
        "optimizer": node("MaskLossOptimizer", learning_rate=0.01),
        "train": node(
            "MaskLossTrainLora", model=["model", 0], cache=["cache", 0], sampling=["sampling", 0], steps=4,
            save_every=2, optimizer=["optimizer", 0], output_name=output_name, training_dtype="fp32",
        ),
        "best": node("MaskLossBestLora", path=["train", 3]),
        "saved": node("MaskLossSaveLora", lora=["best", 0], filename_prefix=f"{output_name}_best"),
        "report": node(
            "MaskLossReport", dataset=["photos", 0], cache=["cache", 0], loss=["train", 1], lora_path=["best", 1],
            output_directory=f"{output_name}_report",
        ),
    }  # fmt: skip


def test_every_checkpoint_is_scored_and_the_best_is_given(server: Server, photographs: Path) -> None:
    prompt = prompt_of("scored")
    history = server.run(prompt)
    assert history["status"]["status_str"] == "success", failure(history)["exception_message"]
    output = server.base / "output"
    lines = [json.loads(line) for line in (output / "scored.jsonl").read_text().splitlines()]
    before, middle, end = (line["scores"] for line in lines if "scores" in line)
    assert [each["step"] for each in (before, middle, end)] == [0, 2, 4]
    assert {(each["pictures"], each["faces"]) for each in (before, middle, end)} == {(1, 1)}
    assert middle["likeness"] > 0.95
    assert before["likeness"] == before["base_likeness"] == middle["base_likeness"] < 0.5
    assert before["bleed"] == middle["bleed"] == end["bleed"] == 0, "another's prompt gives the same faces throughout"
    assert before["drift"] == middle["drift"] == 0
    assert (middle["copy_risk"] < 0.25 < end["copy_risk"], end["copy_of"]) == (True, "group")
    (text,) = history["outputs"]["best"]["text"]
    assert text.startswith("scored-step00000002.safetensors: Step 2: likeness ")
    metadata = load_lora(output / "scored_best_00001.safetensors").metadata
    assert metadata["ss_steps"] == "2"
    assert json.loads(metadata["maskloss.scores"]) == middle
    (live,) = (run for run in server.get("/maskloss/training")["runs"] if run["run"] == "scored")
    assert live["scores"] == [before, middle, end]
    assert live["choice"]["step"] == 2
    assert sorted(path.name for path in (output / "scored.samples").iterdir()) == [
        "base.png", "step_000000.png", "step_000002.png", "step_000004.png",
    ]  # fmt: skip
    (page,) = output.glob("scored_report*/index.html")
    assert "Checkpoint to keep: step 2" in page.read_text(encoding="utf-8")

    # A numbered LoRA's path leads to the same one.
    prompt["best"]["inputs"]["path"] = str(output / "scored-step00000002.safetensors")
    again = server.run({key: prompt[key] for key in ("best", "saved")})
    assert again["status"]["status_str"] == "success", failure(again)["exception_message"]
    assert again["outputs"]["best"]["text"] == [text]


def test_any_samplers_pictures_are_scored(server: Server, photographs: Path) -> None:
    prompt = prompt_of("unused")
    names = ("faces", "her", "photos", "load person", "load trained", "load garden")
    prompt = {
        **{key: prompt[key] for key in names},
        "two": node("ImageBatch", image1=["load person", 0], image2=["load garden", 0]),
        "three": node("ImageBatch", image1=["two", 0], image2=["load trained", 0]),
        "scores": node(
            "MaskLossScorePictures", images=["three", 0], recognizer=["faces", 0], identity=["her", 0],
            dataset=["photos", 0],
        ),
        "sheet": node("SaveImage", images=["scores", 1], filename_prefix="scored_sheet"),
    }  # fmt: skip
    history = server.run(prompt)
    assert history["status"]["status_str"] == "success", failure(history)["exception_message"]
    report = json.loads(history["outputs"]["scores"]["text"][0])
    person, garden, trained = report["pictures"]
    assert person["likeness"] > 0.95
    assert (garden["faces"], garden["likeness"]) == (0, None)
    assert trained["copy_risk"] > 0.25 > person["copy_risk"]
    assert report["counts"] == {"pictures": 3, "with_face": 2}
    assert len(history["outputs"]["scores"]["images"]) == 1
    assert (server.base / "output/scored_sheet_00001_.png").is_file()


@pytest.mark.parametrize(("left", "missing"), [("recognizer", "identity"), ("identity", "recognizer")])
def test_half_of_what_scores_need_is_refused(server: Server, photographs: Path, left: str, missing: str) -> None:
    prompt = prompt_of("refused")
    del prompt["sampling"]["inputs"][missing]
    history = server.run(prompt)
    assert history["status"]["status_str"] == "error"
    assert f"connect {missing} as well" in failure(history)["exception_message"]
    assert not (server.base / "output/refused.safetensors").exists()
