"""Two ranks that open ComfyUI's own models: what only rank 0 needs is opened by it alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import maskloss
import numpy as np
import pytest
import torch
from maskloss.core.cache.latents import cache_latents
from maskloss.core.cache.text import cache_text
from maskloss.core.dataset.items import Dataset, DatasetItem, LoadSettings
from maskloss.core.demo.encoders import DemoLatentEncoder
from maskloss.core.files import write_text
from maskloss.core.images import save_image
from maskloss.core.train.lora_file import load_lora

from tests.helpers.opened_files import listening, opened_by

from .comfy_server import node

pytestmark = pytest.mark.comfy

MODELS = {
    "diffusion_models/wan.pt": "UNETLoader",
    "text_encoders/clip_l.pt": "CLIPLoader",
    "vae_approx/taesd3_encoder.pth": "VAELoader",
    "vae_approx/taesd3_decoder.pth": "VAELoader",
}
# A tiny random WAN and a tiny autoencoder as they are, and CLIP-L, all of whose values are in one number each.
_MAKE = """
import sys, torch
sys.path.insert(0, sys.argv[1])
import comfy.cli_args
comfy.cli_args.args.cpu = True
import comfy.sd1_clip, comfy.supported_models
from comfy.taesd.taesd import Decoder, Encoder
generator = torch.Generator().manual_seed(0)
def filled(network):
    return {name: torch.randn(each.shape, generator=generator) * 0.05 for name, each in network.state_dict().items()}
configuration = comfy.supported_models.WAN21_T2V({
    "image_model": "wan2.1", "dim": 128, "out_dim": 16, "num_heads": 1, "ffn_dim": 256, "num_layers": 2,
    "patch_size": (1, 2, 2), "freq_dim": 256, "window_size": (-1, -1), "qk_norm": True, "cross_attn_norm": True,
    "eps": 1e-6, "in_dim": 16, "model_type": "t2v",
})
configuration.set_inference_dtype(torch.float32, None)
wan, clip, encoder, decoder = sys.argv[2:]
torch.save(filled(configuration.get_model({}, "", device="cpu").diffusion_model), wan)
text = comfy.sd1_clip.SDClipModel().transformer.state_dict()
torch.save({name: torch.full((1,), 0.02).expand(each.shape) for name, each in text.items()}, clip)
torch.save(filled(Encoder(16)), encoder)
torch.save(filled(Decoder(16)), decoder)
"""


class Text:
    """Random embeddings as wide as WAN's own."""

    identity = "random"

    def encode(self, caption: str) -> dict[str, torch.Tensor]:
        return {"cross_attn": torch.randn(1, 8, 4096, generator=torch.Generator().manual_seed(len(caption)))}


@pytest.fixture(scope="module")
def base(checkout: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The models, and a cache of four pictures."""
    folder = tmp_path_factory.mktemp("ranks")
    paths = [folder / "models" / name for name in MODELS]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
    python = os.environ.get("COMFYUI_PYTHON", sys.executable)
    command = [python, "-c", _MAKE, checkout, *map(str, paths)]
    subprocess.run(command, check=True, cwd=folder)
    items = []
    for number in range(4):
        path = folder / f"in/{number}.png"
        save_image(path, np.random.default_rng(number).integers(0, 256, (64, 64, 3), dtype=np.uint8))
        items.append(DatasetItem(str(number), path, LoadSettings(resolution=(64, 64)), caption="word " * number))
    cache, _ = cache_latents(Dataset(tuple(items)), DemoLatentEncoder(), folder / "out/cache")
    cache_text(cache, Text())
    return folder


def prompt() -> dict[str, Any]:
    return {
        "model": node("UNETLoader", unet_name="wan.pt", weight_dtype="default"),
        "clip": node("CLIPLoader", clip_name="clip_l.pt", type="sd3"),
        "vae": node("VAELoader", vae_name="taesd3"),
        "text": node("CLIPTextEncode", clip=["clip", 0], text="a person"),
        "empty": node("EmptyHunyuanLatentVideo", width=64, height=64, length=1, batch_size=1),
        "sampler": node("KSamplerSelect", sampler_name="euler"),
        "sigmas": node("BasicScheduler", model=["model", 0], scheduler="normal", steps=1, denoise=1.0),
        "sampling": node(
            "MaskLossSampling", positive=["text", 0], latent=["empty", 0], vae=["vae", 0], sampler=["sampler", 0],
            sigmas=["sigmas", 0], every=2,
        ),
        "cache": node("MaskLossLoadCache", cache_directory="cache"),
        "optimizer": node("MaskLossOptimizer", optimizer_args="eps=1e-4"),
        "train": node(
            "MaskLossTrainLora", model=["model", 0], cache=["cache", 0], optimizer=["optimizer", 0],
            sampling=["sampling", 0], steps=2, training_dtype="fp32", output_name="lora",
        ),
    }  # fmt: skip


def test_only_rank_0_opens_what_pictures_are_drawn_with(base: Path) -> None:
    write_text(base / "prompt.json", json.dumps(prompt()))
    command = [
        os.environ.get("COMFYUI_PYTHON", sys.executable), "-m", "torch.distributed.run", "--standalone",
        "--nproc-per-node", "2", str(Path(maskloss.__file__).parent / "__main__.py"), "train",
        str(base / "prompt.json"), "--input", str(base / "in"), "--output", str(base / "out"), "--base-directory",
        str(base),
    ]  # fmt: skip
    done = subprocess.run(command, env=listening(base), capture_output=True, text=True, check=False, cwd=base)
    assert done.returncode == 0, done.stderr
    assert load_lora(base / "out/lora.safetensors")
    drawn = sorted(path.name for path in (base / "out/lora.samples").iterdir())
    assert drawn == ["step_000000.png", "step_000002.png"]
    first, second = ({name for name in MODELS if f"models/{name}" in opened_by(base, rank)} for rank in (0, 1))
    assert first == set(MODELS)
    assert second == {"diffusion_models/wan.pt"}
