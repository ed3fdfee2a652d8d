"""Whole graphs in a real ComfyUI server, from a folder of photographs to a picture made with the LoRA, on a tiny random
model of each architecture; ComfyUI's own LoRA and loss nodes after ours; an interrupt, and going on after it."""

from __future__ import annotations

import json
import shutil
import time
import urllib.request
from typing import Any

import numpy as np
import pytest
from maskloss.core.train.lora_file import load_lora
from PIL import Image

from .comfy_server import SECONDS_TO_RUN, Server, failure, node

pytestmark = pytest.mark.comfy

# The VAE, and the node that makes an empty latent for it.
ARCHITECTURES = {
    "wan": ("wan", "EmptyHunyuanLatentVideo"),
    "hunyuan_video": ("wan", "EmptyHunyuanLatentVideo"),
    "qwen_image": ("wan", "EmptyHunyuanLatentVideo"),
    "flux": ("flux", "EmptySD3LatentImage"),
    "sd3": ("flux", "EmptySD3LatentImage"),
    "sd15": ("sd", "EmptyLatentImage"),
    "sdxl": ("sd", "EmptyLatentImage"),
    "wan_vace": ("wan", "EmptyHunyuanLatentVideo"),
    "minimax_h3": ("h3", "EmptyMiniMaxH3LatentAV"),
}
# How the cache is made of a model that is given more than text.
SHOWN = {"wan_vace": {"architecture": "vace", "image_conditioning": True}}


@pytest.fixture(scope="module")
def photographs(server: Server) -> str:
    """Three with captions and masks, under the server's input."""
    folder = server.base / "input/people"
    generator = np.random.default_rng(0)
    for stem in ("a", "bb", "ccc"):
        pixels = generator.integers(0, 256, (64, 64, 4), dtype=np.uint8)
        pixels[..., 3] = 0
        pixels[16:48, 16:48, 3] = 255
        folder.mkdir(exist_ok=True)
        Image.fromarray(pixels).save(folder / f"{stem}.png")
        (folder / f"{stem}.txt").write_text(stem)
    return "people"


def training(name: str, photographs: str, **settings: Any) -> dict[str, Any]:
    chosen = {"steps": 3, "batch_size": 2, "output_name": f"loras/{name}", "seed": 1, **settings}
    return {
        "model": node("TinyModel", name=name),
        "vae": node("TinyVAE", name=ARCHITECTURES[name][0]),
        "clip": node("TinyClip", name=name),
        "photographs": node(
            "MaskLossLoadDataset", directory=photographs, alpha_mask=True, resolution_width=64, resolution_height=64
        ),
        "latents": node(
            "MaskLossCacheLatents", dataset=["photographs", 0], vae=["vae", 0], cache_directory=f"cache/{name}",
            **SHOWN.get(name, {}),
        ),
        "cache": node("MaskLossCacheText", cache=["latents", 0], clip=["clip", 0]),
        "masks": node("MaskLossSettings", gamma=0.7, min_weight=0.05, prior_weight=0.3),
        "lora": node("MaskLossLoraConfig", rank=4, alpha=4.0),
        "train": node(
            "MaskLossTrainLora", model=["model", 0], cache=["cache", 0], mask_loss=["masks", 0],
            lora_config=["lora", 0], **chosen,
        ),
    }  # fmt: skip


def using(name: str) -> dict[str, Any]:
    """What a user connects after the training: ours and ComfyUI's savers, the loss, and a picture with the LoRA."""
    sampler = {"seed": 0, "steps": 1, "cfg": 1.0, "sampler_name": "euler", "scheduler": "simple", "denoise": 1.0}
    latent = ARCHITECTURES[name][1]
    # MiniMax H3's is of one video and its sound.
    size = {"length": 5} if latent.endswith("AV") else {"batch_size": 1, **({"length": 1} if "Video" in latent else {})}
    vace = {"vae": ["vae", 0], "width": 64, "height": 64, "length": 1, "batch_size": 1, "strength": 1.0}
    return {
        "ours": node("MaskLossSaveLora", lora=["train", 0], filename_prefix=f"loras/{name}-ours"),
        "theirs": node("SaveLoRA", lora=["train", 0], prefix=f"loras/{name}-theirs"),
        "graph": node("LossGraphNode", loss=["train", 1], filename_prefix=f"{name}-loss"),
        "loaded": node("LoraModelLoader", model=["model", 0], lora=["train", 0], strength_model=1.0, bypass=False),
        "prompt": node("CLIPTextEncode", clip=["clip", 0], text="a"),
        "shown": node("WanVaceToVideo", positive=["prompt", 0], negative=["prompt", 0], **vace),
        "empty": node(latent, width=64, height=64, **size),
        "sampled": node(
            "KSampler", model=["loaded", 0], latent_image=["empty", 0], **sampler,
            **{each: ["shown" if name == "wan_vace" else "prompt", 0] for each in ("positive", "negative")},
        ),
        "decoded": node("VAEDecode", samples=["sampled", 0], vae=["vae", 0]),
        "picture": node("SaveImage", images=["decoded", 0], filename_prefix=f"{name}-picture"),
    }  # fmt: skip


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_photographs_become_a_lora_that_comfyui_uses(server: Server, photographs: str, name: str) -> None:
    history = server.run({**training(name, photographs), **using(name)})
    assert history["status"]["status_str"] == "success", failure(history)["exception_message"]
    (summary,) = history["outputs"]["train"]["maskloss"]
    assert summary["steps"] == 3
    output = server.base / "output"
    lora = load_lora(output / f"loras/{name}.safetensors")
    (theirs,) = (output / "loras").glob(f"{name}-theirs*")
    assert len(load_lora(theirs)) == len(lora)
    assert list((output / "loras").glob(f"{name}-ours*"))
    assert history["outputs"]["graph"]["images"]
    # MiniMax H3 makes no less than five frames.
    picture, *others = history["outputs"]["picture"]["images"]
    assert len(others) == (4 if name == "minimax_h3" else 0)
    assert Image.open(output / picture["subfolder"] / picture["filename"]).size == (64, 64)
    log = server.log.read_text()
    assert "lora key not loaded" not in log
    assert "NOT LOADED" not in log


def test_an_interrupt_keeps_the_lora_and_the_next_queue_goes_on(server: Server, photographs: str) -> None:
    prompt = training("wan", photographs, steps=100_000, output_name="loras/stopped")
    answer = server.post(prompt)
    assert not answer["node_errors"], answer
    log = server.base / "output/loras/stopped.jsonl"
    wait(lambda: log.exists() and len(log.read_text().splitlines()) >= 2)
    urllib.request.urlopen(urllib.request.Request(server.url + "/interrupt", b"{}"), timeout=SECONDS_TO_RUN).close()
    wait(lambda: bool(server.get(f"/history/{answer['prompt_id']}")))
    history = server.get(f"/history/{answer['prompt_id']}")[answer["prompt_id"]]
    assert "execution_interrupted" in [kind for kind, _ in history["status"]["messages"]]
    done = len([line for line in log.read_text().splitlines() if "loss" in json.loads(line)])
    stopped = load_lora(server.base / "output/loras/stopped.safetensors")
    assert int(stopped.metadata["ss_steps"]) == done

    prompt["train"]["inputs"]["steps"] = done + 2
    history = server.run(prompt)
    assert history["status"]["status_str"] == "success", failure(history)["exception_message"]
    assert any(f"Going on after step {done}" in text for text in history["outputs"]["train"]["text"])
    finished = load_lora(server.base / "output/loras/stopped.safetensors")
    assert int(finished.metadata["ss_steps"]) == done + 2
    assert finished.keys() == stopped.keys()


def test_what_was_deleted_is_made_again(server: Server, photographs: str) -> None:
    """As people do who want to begin anew, without starting the server anew."""
    prompt = training("sd15", photographs, output_name="loras/deleted")
    prompt["latents"]["inputs"]["cache_directory"] = "cache/deleted"
    output = server.base / "output"
    cache, lora = output / "cache/deleted", output / "loras/deleted.safetensors"

    def ran() -> set[str]:
        history = server.run(prompt)
        assert history["status"]["status_str"] == "success", failure(history)["exception_message"]
        (cached,) = (message["nodes"] for kind, message in history["status"]["messages"] if kind == "execution_cached")
        return set(prompt) - set(cached)

    assert ran() >= {"latents", "cache", "train"}
    assert not ran()
    shutil.rmtree(cache)
    assert ran() == {"latents", "cache", "train"}
    assert cache.exists()
    assert not ran()
    next((cache / "text").iterdir()).unlink()
    assert ran() == {"latents", "cache", "train"}
    for file in lora.parent.glob("deleted*"):
        file.unlink()
    assert ran() == {"train"}
    assert lora.exists()
    assert not ran()


def test_the_log_says_nothing_bad(server: Server, photographs: str) -> None:
    """After everything above: no leak of a model, no weight that did not load."""
    log = server.log.read_text()
    assert "memory leak" not in log
    assert "Traceback" not in log


def wait(until: Any, seconds: float = SECONDS_TO_RUN) -> None:
    deadline = time.monotonic() + seconds
    while not until():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(0.1)
