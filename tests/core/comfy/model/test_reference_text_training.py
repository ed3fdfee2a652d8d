"""A cache of the reference system with its own text files trains as it is, to the losses of the cache it came from."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from maskloss.cli.main import EXIT_OK, main
from maskloss.core.cache.latents import cache_latents
from maskloss.core.cache.store import LatentCache, open_cache
from maskloss.core.cache.text import cache_text
from maskloss.core.comfy.encoders import ComfyLatentEncoder
from maskloss.core.dataset.items import Dataset, DatasetItem, LoadSettings
from maskloss.core.errors import CacheError
from maskloss.core.host import LocalHost, use_host
from maskloss.core.images import save_image
from maskloss.core.mask_weights import MaskLossSettings
from maskloss.nodes.cache import MaskLossLoadCache
from maskloss.nodes.training import MaskLossTrainLora
from safetensors.torch import load_file, save_file
from tiny_comfy import tiny_models as tiny  # skips where there is no ComfyUI

pytestmark = pytest.mark.comfy

# The model, its VAE, the tag, and how ComfyUI calls its text encoder.
MODELS = {
    "wan": ("wan", "wan", "WanTEModel"),
    "qwen_image": ("wan", "qi", "QwenImageTEModel"),
    "hunyuan_video": ("hv", "hv", "HunyuanVideoClipModel"),
}


class MadeUpText:
    """Embeddings in the form of the model's own text encoder, of a width that a tiny model takes."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.identity = f"comfy-{MODELS[name][2]}-float32-(None, [])-tiny"
        self.captions: list[str] = []

    def encode(self, caption: str) -> dict[str, torch.Tensor]:
        self.captions.append(caption)
        text = tiny.text_for(self._name, length=4 + len(caption) % 5, seed=len(caption))
        if self._name == "wan":  # which fills all captions up with zeros
            text["cross_attn"] = F.pad(text["cross_attn"], (0, 0, 0, 512 - text["cross_attn"].shape[1]))
        return text


def make_cache(name: str, directory: Path) -> LatentCache:
    generator = np.random.default_rng(0)
    items = []
    for stem in ("a", "bb"):
        path = directory / f"in/{stem}.png"
        save_image(path, generator.integers(0, 256, (64, 64, 3), dtype=np.uint8))
        mask = np.zeros((64, 64), np.uint8)
        mask[:, :32] = 255
        save_image(directory / f"masks/{stem}.png", mask)
        settings = LoadSettings(resolution=(64, 64))
        items.append(DatasetItem(stem, path, settings, directory / f"masks/{stem}.png", f"caption of {stem}"))
    vae, tag, _ = MODELS[name]
    encoder = ComfyLatentEncoder(tiny.load_vae(vae), tag if tag == "qi" else "")
    cache, _ = cache_latents(Dataset(tuple(items)), encoder, directory / "own")
    return cache_text(cache, MadeUpText(name))[0]


def losses(host: LocalHost, name: str, directory: str, output: str, **settings: Any) -> list[float]:
    """As the nodes train it, inside of ComfyUI's inference mode."""
    with use_host(host), torch.inference_mode():
        cache, _ = MaskLossLoadCache().run(cache_directory=directory)["result"]
        trained = MaskLossTrainLora().run(
            model=tiny.load_model(name), cache=cache, steps=3, mask_loss=MaskLossSettings(), training_dtype="fp32",
            output_name=output, **settings,
        )  # fmt: skip
    return trained["result"][1]["loss"]


@pytest.mark.parametrize("name", MODELS)
def test_an_exported_cache_trains_as_it_is_to_the_same_losses(name: str, tmp_path: Path) -> None:
    host = LocalHost(tmp_path, tmp_path)
    make_cache(name, tmp_path)
    assert main(["cache", "export", str(tmp_path / "own"), str(tmp_path / "theirs"), "--format", "musubi"]) == EXIT_OK
    expected = losses(host, name, "own", "loras/own")
    assert losses(host, name, "theirs", "loras/theirs") == pytest.approx(expected, rel=1e-4)

    with pytest.raises(CacheError, match=r"caption_dropout is 0\.5.* no text for the empty caption.*CacheText"):
        losses(host, name, "theirs", "loras/dropout", caption_dropout=0.5)

    # The embeddings of the files are those that are used.
    tag = MODELS[name][1]
    path = tmp_path / f"theirs/a_{tag}_te.safetensors"
    tensors = load_file(path)
    metadata = {"architecture": "x", "caption1": "caption of a", "format_version": "1.0.1"}
    save_file(
        {key: value * -3 if value.is_floating_point() else value for key, value in tensors.items()}, path, metadata
    )
    before = open_cache(tmp_path / "own").fingerprint
    assert open_cache(tmp_path / "theirs").fingerprint != before
    assert losses(host, name, "theirs", "loras/others") != pytest.approx(expected, rel=1e-4)


@pytest.mark.parametrize("name", MODELS)
def test_cache_text_over_it_counts_from_then_on(name: str, tmp_path: Path) -> None:
    host = LocalHost(tmp_path, tmp_path)
    make_cache(name, tmp_path)
    assert main(["cache", "export", str(tmp_path / "own"), str(tmp_path / "theirs"), "--format", "musubi"]) == EXIT_OK
    text = MadeUpText(name)
    cache_text(open_cache(tmp_path / "theirs"), text)
    assert text.captions == ["", "caption of a", "caption of bb"]
    expected = losses(host, name, "own", "loras/own", caption_dropout=0.5)
    assert losses(host, name, "theirs", "loras/theirs", caption_dropout=0.5) == pytest.approx(expected, rel=1e-4)
