"""MiniMax H3's videos, from ComfyUI's VAE to a LoRA that ComfyUI loads."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from maskloss.core.cache.encoders import frame_groups
from maskloss.core.cache.latents import cache_latents
from maskloss.core.cache.text import cache_text
from maskloss.core.comfy.encoders import ComfyLatentEncoder
from maskloss.core.comfy.model.denoiser import open_denoiser
from maskloss.core.comfy.model.planned import planned_model
from maskloss.core.comfy.model.sound import MINIMAX_FRAMES
from maskloss.core.dataset.items import Dataset, DatasetItem, LoadSettings
from maskloss.core.errors import SettingError
from maskloss.core.mask_weights import MaskLossSettings
from maskloss.core.train.config import LoraConfig, OptimizerConfig, TrainConfig, TrainingDtype
from maskloss.core.train.loop import train
from maskloss.core.train.recipe import TrainingRecipe
from maskloss.core.video.clips import VideoSettings
from maskloss.core.video.masks import MaskVideoWriter
from maskloss.core.video.reader import probe
from tiny_comfy import tiny_models as tiny  # skips where there is no ComfyUI

import comfy.sd  # isort: skip
import comfy.utils  # isort: skip

pytestmark = pytest.mark.comfy

NAME = "minimax_h3"


@pytest.mark.parametrize("frames", [1, 5, 22, 73])
def test_its_latent_frames_stand_for_the_frames_that_the_vae_makes_them_of(frames: int) -> None:
    """Another last frame of what a latent frame stands for changes none before it."""
    encoder = ComfyLatentEncoder(tiny.load_vae("h3"))
    groups = frame_groups(encoder, frames)
    assert sum(groups) == frames
    assert importlib.import_module("comfy.ldm.minimax.model").FRAME_PER_TOKEN == MINIMAX_FRAMES
    clip = torch.rand(1, frames, 32, 32, 3, generator=torch.Generator().manual_seed(0))
    latents = encoder.encode(clip)
    assert latents.shape == (1, 24, len(groups), 2, 2)
    end = 0
    for number, size in enumerate(groups):
        end += size
        if number in (0, 1, 4, 5, 6):
            other = clip.clone()
            other[:, end - 1] = 1 - other[:, end - 1]
            changed = (encoder.encode(other) - latents).abs().amax((0, 1, 3, 4)) > 1e-6
            assert changed.nonzero().flatten().tolist()[0] == number


class MadeUpText:
    identity = "made-up-h3"

    def encode(self, caption: str) -> dict[str, torch.Tensor]:
        return {**tiny.text_for(NAME, seed=len(caption)), "minimax_token_tags": torch.ones(6, dtype=torch.long)}


def film(folder: Path, make_video: Callable[..., Path], count: int) -> DatasetItem:
    """A clip of so many frames; the mask of frame n weighs n / 255."""
    frames = [np.full((32, 32, 3), number * 2, np.uint8) for number in range(count)]
    path = make_video(folder / "film.mp4", frames)
    with MaskVideoWriter(folder / "film.mkv", (32, 32), probe(path).times) as writer:
        for number in range(count):
            writer.add(np.full((32, 32), number, np.uint8))
    settings = LoadSettings((32, 32), video=VideoSettings(target_frames=(count,), target_fps=0))
    return DatasetItem("film", path, settings, folder / "film.mkv", "a caption")


def test_from_a_video_to_a_lora_that_comfyui_loads(tmp_path: Path, make_video: Callable[..., Path]) -> None:
    item, encoder = film(tmp_path, make_video, 73), ComfyLatentEncoder(tiny.load_vae("h3"))
    assert encoder.architecture == "h3"
    cache, _ = cache_latents(Dataset((item,)), encoder, tmp_path / "cache")
    cache, _ = cache_text(cache, MadeUpText())
    (entry,) = cache.entries
    assert entry.latent_shape == (24, 22, 2, 2)
    weights = cache.weights(entry)
    assert weights is not None
    # Frame 0, the mean of 1 to 4, …, and frame 17, with which the next 17 begin.
    expected = [0, 2.5, 6.5, 10.5, 14.5, 17, 19.5]
    assert (weights[0, :7, 0, 0] * 255).tolist() == pytest.approx(expected, abs=0.1)
    planned = planned_model(tiny.load_model(NAME), cache)
    assert planned.largest_size(cache) == ((32, 32), 73)
    before = tiny.sampled(tiny.load_model(NAME), NAME)
    with torch.inference_mode(), open_denoiser(tiny.load_model(NAME), cache.example_text()) as denoiser:
        config = TrainConfig(steps=2, training_dtype=TrainingDtype.FP32)
        chosen = LoraConfig(rank=4, alpha=2), OptimizerConfig(learning_rate=0.01), config
        result = train(denoiser, TrainingRecipe(cache, MaskLossSettings(prior_weight=0.5), *chosen), tmp_path / "lora")
    assert all(np.isfinite(point.loss) for point in result.points)
    file = comfy.utils.load_torch_file(str(result.path))
    patched, _ = comfy.sd.load_lora_for_models(tiny.load_model(NAME), None, dict(file), 1.0, 0.0)
    assert len(patched.patches) == sum(key.endswith(".alpha") for key in file) == 8
    assert not torch.equal(tiny.sampled(patched, NAME), before)
    assert torch.equal(tiny.sampled(tiny.load_model(NAME), NAME), before)


def test_clips_that_the_vae_would_cut_are_refused(tmp_path: Path, make_video: Callable[..., Path]) -> None:
    item = film(tmp_path, make_video, 25)
    with pytest.raises(SettingError, match="would keep 22 of them; give target_frames of 5 or 73"):
        cache_latents(Dataset((item,)), ComfyLatentEncoder(tiny.load_vae("h3")), tmp_path / "cache")
