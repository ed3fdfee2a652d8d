"""The graph editor in a real Chromium on a real ComfyUI server, in both renderers: see browser/editor.js.

Needs COMFYUI_PATH and COMFYUI_PYTHON as the other tests of ComfyUI do, `npm ci`, and Debian's chromium.
COMFYUI_FRONTEND names another front end than the one that ComfyUI has pinned: a release's folder
`comfyui_frontend_package/static`. Pictures of what was seen stay in MASKLOSS_SCREENSHOTS where that is set.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import maskloss
import numpy as np
import pytest
from maskloss.core.bundled.install import copy_demo_photographs
from PIL import Image

from tests.helpers.workflow_graph import opened
from tests.on_server.comfy_server import Server, node

from .conftest import Browse, place_two_people

pytestmark = [pytest.mark.comfy, pytest.mark.models, pytest.mark.photographs]

PACK = Path(maskloss.__file__).parent


@pytest.fixture
def editor(server: Server, tmp_path: Path) -> Server:
    copy_demo_photographs(tmp_path / "input")
    place_two_people(tmp_path / "input")
    random = np.random.default_rng(0)
    for name in "abcd":
        rgba_HWC = random.integers(0, 256, (64, 64, 4), dtype=np.uint8)
        Image.fromarray(rgba_HWC).save(tmp_path / f"input/photos/{name}.png")
    _place_what_the_workflows_name(tmp_path)
    return server


def _place_what_the_workflows_name(base: Path) -> None:
    """Empty files with the names of real models, and the pictures that are the user's own, so that the editor misses
    none."""
    for path in (PACK / "workflows").glob("*.json"):
        for _, one in opened(json.loads(path.read_text(encoding="utf-8"))).walk():
            files = [base / "models" / each["directory"] / each["name"] for each in one["properties"].get("models", [])]
            if one["type"] == "LoraLoaderModelOnly":  # what its user has trained before
                files.append(base / "models/loras" / one["widgets_values"][0])
            for file in files:
                file.parent.mkdir(parents=True, exist_ok=True)
                file.touch()
            if one["type"] == "LoadImage" and not (picture := base / "input" / one["widgets_values"][0]).exists():
                Image.new("RGB", (64, 64)).save(picture)


def trainer(steps: int, name: str, **inputs: Any) -> dict[str, Any]:
    return node(
        "MaskLossTrainLora", mask_loss=["7", 0], steps=steps, validation_split=0.25, gradient_checkpointing=False,
        output_name=name, **inputs,
    )  # fmt: skip


# One trainer on the demo model, and one on a tiny SDXL, which can be sampled from.
PROMPT = {
    "1": node("MaskLossDemoModels"),
    "2": node(
        "MaskLossLoadDataset", directory="photos", alpha_mask=True, resolution_width=64, resolution_height=64
    ),
    "3": node("MaskLossCacheLatents", dataset=["2", 0], vae=["1", 1], cache_directory="cache"),
    "4": node("MaskLossCacheText", cache=["3", 0], clip=["1", 2]),
    "5": trainer(200, "loras/first", model=["1", 0], cache=["4", 0]),
    "6": trainer(6, "loras/second", model=["13", 0], cache=["17", 0], sampling=["22", 0], training_dtype="fp32"),
    "7": node("MaskLossSettings"),
    "8": node("MaskLossFaceRecognizer", model="bundled"),
    "9": node("MaskLossPersonSegmenter", model="bundled"),
    "10": node(
        "MaskLossInstanceMask", image=["11", 0], recognizer=["8", 0], person_segmenter=["9", 0], face_index=0
    ),
    "11": node("LoadImage", image="maskloss_group.jpg"),
    "12": node("MaskLossPreviewWeights", weights=["10", 0]),
    "13": node("TinyModel", name="sdxl"),
    "14": node("TinyVAE", name="sd"),
    "15": node("TinyClip", name="sdxl"),
    "16": node("MaskLossCacheLatents", dataset=["2", 0], vae=["14", 0], cache_directory="tiny"),
    "17": node("MaskLossCacheText", cache=["16", 0], clip=["15", 0]),
    "18": node("CLIPTextEncode", clip=["15", 0], text="a person"),
    "19": node("EmptyLatentImage", width=64, height=64, batch_size=1),
    "20": node("KSamplerSelect", sampler_name="euler"),
    "21": node("BasicScheduler", model=["13", 0], scheduler="simple", steps=2, denoise=1.0),
    "22": node(
        "MaskLossSampling", positive=["18", 0], latent=["19", 0], vae=["25", 0], sampler=["20", 0], sigmas=["21", 0],
        every=3, recognizer=["8", 0], identity=["24", 0],
    ),
    "23": node("LoadImage", image="one_of_them.png"),
    "24": node("MaskLossReferenceFaces", recognizer=["8", 0], images=["23", 0]),
    # A stranger before training, then the person, as a LoRA that has learnt them draws.
    "25": node("TinyGallery", name="sd", pictures="somebody_else.png the_person.png the_person.png"),
}  # fmt: skip


# What a user of one_person sets, by node and widget.
PERSON = {"1": {"image": "two_people.png"}, "2": {"image": "one_of_them.png"}, "6": {"face_index": -1}}


@pytest.mark.parametrize(("vue", "palette"), [(False, "light"), (True, "dark")], ids=["litegraph", "nodes2"])
def test_the_editor(editor: Server, browse: Browse, vue: bool, palette: str) -> None:
    browse(
        "editor.js", editor, vue=vue, palette=palette, prompt=PROMPT, workflows=str(PACK / "workflows"),
        subgraphs=str(PACK / "subgraphs"), person=PERSON,
    )  # fmt: skip
    for made in ("output/loras/maskloss_demo.safetensors", "output/maskloss_demo/report/index.html"):
        assert (editor.base / made).is_file(), "the test drive that was clicked"
