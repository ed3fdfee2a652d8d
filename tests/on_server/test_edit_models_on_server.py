"""The shipped workflow of edit models on a real server, to its end: what is learnt, what sample pictures show."""

from __future__ import annotations

import io
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from maskloss.core.cache.encoders import SHOWN
from maskloss.core.cache.store import open_cache
from maskloss.core.images import load_image
from maskloss.core.train.lora_file import load_lora
from PIL import Image, ImageOps

from .comfy_server import SECONDS_TO_RUN, Server, failure, node
from .shipped import made_small

pytestmark = [pytest.mark.comfy, pytest.mark.models]

VAES = {"qwen_image": "wan_thin", "flux": "flux"}


@pytest.fixture(scope="module")
def scenes(inputs: Path) -> tuple[str, str]:
    """Two pictures to edit, of which the made-up text encoder says the same: of a prompt only its length counts."""
    with Image.open(inputs / "scene.png") as scene:
        ImageOps.invert(scene.convert("RGB")).save(inputs / "scene_inverted.png")
    return "scene.png", "scene_inverted.png"


def edit_prompt(model: str, scene: str, output_name: str) -> dict[str, dict[str, Any]]:
    """The shipped prompt, with an edit of that scene for sample pictures. Flux Kontext's text encoder sees text alone,
    and its pictures come by ReferenceLatent."""
    prompt = made_small("lora_edit", model, VAES[model])
    changed = {
        "LoadImage": {"image": scene},
        "MaskLossTrainLora": {"output_name": f"loras/{output_name}"},
        "MaskLossOptimizer": {"learning_rate": 0.02, "warmup_steps": 0},
        "MaskLossCacheLatents": {"cache_directory": f"edit_{model}/cache"},
        "MaskLossSampling": {"every": 2},
        "MaskLossReport": {"output_directory": f"edit_{model}/report"},
    }
    for key, one in list(prompt.items()):
        one["inputs"].update(changed.get(one["class_type"], {}))
        if one["class_type"] == "TextEncodeQwenImageEditPlus" and model == "flux":
            given = one["inputs"]
            prompt[f"{key} text"] = node("CLIPTextEncode", clip=given["clip"], text=given["prompt"])
            prompt[f"{key} latent"] = node("VAEEncode", pixels=given["image1"], vae=given["vae"])
            prompt[key] = node("ReferenceLatent", conditioning=[f"{key} text", 0], latent=[f"{key} latent", 0])
    return prompt


def run(server: Server, model: str, scene: str, output_name: str) -> tuple[list[np.ndarray], dict[str, torch.Tensor]]:
    """The sample pictures of a run, which are looked at, and its LoRA."""
    history = server.run(edit_prompt(model, scene, output_name))
    assert history["status"]["status_str"] == "success", failure(history)["exception_message"]
    output = server.base / "output/loras"
    files = sorted((output / f"{output_name}.samples").iterdir())
    assert [file.name for file in files] == [f"step_{step:06d}.png" for step in (0, 2)]
    pictures = [load_image(file)[0] for file in files]
    assert all(picture.shape == (64, 64, 3) and picture.std() > 1 for picture in pictures)
    # What the panel shows is the last one, by ComfyUI's own route.
    (live,) = [live for live in server.get("/maskloss/training")["runs"] if live["run"] == f"loras/{output_name}"]
    assert (live["state"], live["sample"]["step"]) == ("finished", 2)
    place = urllib.parse.urlencode({key: live["sample"][key] for key in ("filename", "subfolder", "type")})
    with urllib.request.urlopen(f"{server.url}/view?{place}", timeout=SECONDS_TO_RUN) as answer:
        shown = np.asarray(Image.open(io.BytesIO(answer.read())).convert("RGB"))
    assert np.array_equal(shown, pictures[-1])
    return pictures, load_lora(output / f"{output_name}.safetensors")


@pytest.mark.parametrize("model", VAES)
def test_sample_pictures_show_the_edit_of_the_reference(
    server: Server, inputs: Path, scenes: tuple[str, str], model: str
) -> None:
    first, lora = run(server, model, scenes[0], f"{model}_first")
    other, other_lora = run(server, model, scenes[1], f"{model}_other")
    again, _ = run(server, model, scenes[0], f"{model}_again")
    for one, same, different in zip(first, again, other, strict=True):
        assert np.array_equal(one, same)
        assert not np.array_equal(one, different), "another reference is another picture"
    assert not np.array_equal(*first), "what was learnt acts on the edit"
    assert all(torch.equal(lora[key], other_lora[key]) for key in lora), "samples leave no trace in training"
    cache = open_cache(server.base / f"output/edit_{model}/cache")
    (entry,) = cache.entries
    assert entry.references == 1
    assert cache.text_encoder is not None
    assert cache.text_encoder.endswith(SHOWN) == (model == "qwen_image")
    (scene,) = (server.base / "output/my_person_edit/scenes").glob("*.png")
    assert entry.control_sources[0].path == scene.resolve()
    grey_HW = (load_image(scene)[0] == 128).all(axis=-1)
    assert 0.02 < grey_HW.mean() < 0.6, "one of three people is cut out"
    assert int(lora.metadata["ss_steps"]) == 2
    page = (server.base / f"output/edit_{model}/report/index.html").read_text(encoding="utf-8")
    assert f"{model}_again.safetensors" in page, "the last run's"
    assert 'alt="Control image of group"' in page
    assert all(f'alt="step {step} of {model}_again"' in page for step in (0, 2))
