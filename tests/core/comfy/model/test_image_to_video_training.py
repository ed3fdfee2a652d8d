"""WAN's image-to-video models trained by the loop, from caches that ComfyUI's VAE filled."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from maskloss.core.cache.latents import cache_latents
from maskloss.core.cache.plan import CacheSettings, OneFrame
from maskloss.core.cache.store import LatentCache
from maskloss.core.cache.text import cache_text
from maskloss.core.comfy.encoders import ComfyLatentEncoder
from maskloss.core.comfy.model.denoiser import open_denoiser
from maskloss.core.dataset.items import Dataset, DatasetItem, LoadSettings
from maskloss.core.errors import CacheError
from maskloss.core.images import save_image
from maskloss.core.mask_weights import MaskLossSettings
from maskloss.core.train.config import LoraConfig, OptimizerConfig, TimestepSampling, TrainConfig, TrainingDtype
from maskloss.core.train.loop import TrainResult, train
from maskloss.core.train.recipe import TrainingRecipe
from maskloss.core.video.clips import VideoSettings
from tiny_comfy import tiny_models as tiny  # skips where there is no ComfyUI

import comfy.sd  # isort: skip
import comfy.utils  # isort: skip

pytestmark = pytest.mark.comfy


class MadeUpText:
    """In place of a CLIP whose embeddings are too wide for a small model."""

    identity = "made-up-wan"

    def encode(self, caption: str) -> dict[str, torch.Tensor]:
        return tiny.text_for("wan", length=4, seed=len(caption))


def filled(item: DatasetItem, directory: Path, **settings: Any) -> LatentCache:
    """A cache of one item, through ComfyUI's VAE."""
    encoder = ComfyLatentEncoder(tiny.load_vae("wan"))
    cache, _ = cache_latents(Dataset((item,)), encoder, directory, CacheSettings(**settings))
    return cache_text(cache, MadeUpText())[0]


def trained(name: str, cache: LatentCache, output: Path, **config: Any) -> TrainResult:
    chosen = {"steps": 3, "training_dtype": TrainingDtype.FP32, **config}
    with torch.inference_mode(), open_denoiser(tiny.load_model(name), cache.empty_text()) as denoiser:
        lora, optimizer = LoraConfig(rank=4, alpha=2), OptimizerConfig(learning_rate=0.01)
        recipe = TrainingRecipe(cache, MaskLossSettings(prior_weight=0.5), lora, optimizer, TrainConfig(**chosen))
        return train(denoiser, recipe, output)


@pytest.fixture
def photograph(tmp_path: Path) -> DatasetItem:
    """A noisy picture with its left half masked, and another one to control it."""
    generator = np.random.default_rng(0)
    mask = np.zeros((32, 32), np.uint8)
    mask[:, :16] = 255
    for file in ("a.png", "control/a.png"):
        save_image(tmp_path / file, generator.integers(0, 256, (32, 32, 3), dtype=np.uint8))
    save_image(tmp_path / "masks/a.png", mask)
    settings = LoadSettings(resolution=(32, 32))
    item = DatasetItem("a", tmp_path / "a.png", settings, tmp_path / "masks/a.png", "a caption")
    return replace(item, control_path=tmp_path / "control/a.png")


def test_one_frame_training_from_the_cache_to_a_lora_that_comfyui_loads(
    photograph: DatasetItem, tmp_path: Path
) -> None:
    far = filled(photograph, tmp_path / "far", one_frame=OneFrame(9, (0,)), image_conditioning=True)
    near = filled(photograph, tmp_path / "near", one_frame=OneFrame(1, (0,)), image_conditioning=True)
    first, second = trained("wan22_i2v", far, tmp_path / "lora_far"), trained("wan22_i2v", near, tmp_path / "lora_near")
    assert all(np.isfinite(point.loss) for point in (*first.points, *second.points))
    assert first.points[0].loss != second.points[0].loss, "the same pictures at other indices"
    file = comfy.utils.load_torch_file(str(first.path))
    patched, _ = comfy.sd.load_lora_for_models(tiny.load_model("wan22_i2v"), None, dict(file), 1.0, 0.0)
    assert len(patched.patches) == sum(key.endswith(".alpha") for key in file)


def test_clips_train_with_their_first_frame(tmp_path: Path, make_video: Callable[..., Path]) -> None:
    frames = [np.full((32, 32, 3), number * 20, np.uint8) for number in range(9)]
    settings = LoadSettings((32, 32), video=VideoSettings(target_frames=(5,)))
    save_image(tmp_path / "mask.png", np.full((32, 32), 128, np.uint8))
    film = DatasetItem("film", make_video(tmp_path / "film.mp4", frames), settings, tmp_path / "mask.png")
    cache = filled(film, tmp_path / "cache", image_conditioning=True)
    result = trained("wan_i2v", cache, tmp_path / "lora")
    assert all(np.isfinite(point.loss) for point in result.points)
    plain = filled(film, tmp_path / "plain")
    with pytest.raises(CacheError, match="with image_conditioning on"):
        trained("wan_i2v", plain, tmp_path / "refused")
    assert trained("wan", cache, tmp_path / "ignored").points[0].loss == (
        trained("wan", plain, tmp_path / "without").points[0].loss
    ), "a text-to-video model takes no notice of first frames"


def test_both_experts_train_on_one_cache_each_in_its_own_range(photograph: DatasetItem, tmp_path: Path) -> None:
    """Draws are shifted by the MODEL's own shift first, and then brought into the range."""
    cache = filled(photograph, tmp_path / "cache", one_frame=OneFrame(), image_conditioning=True)
    even = timesteps(cache, tmp_path / "even", TimestepSampling.LOGIT_NORMAL, 0.0, 1.0)
    high = timesteps(cache, tmp_path / "high", TimestepSampling.SHIFT, 0.875, 1.0)
    low = timesteps(cache, tmp_path / "low", TimestepSampling.SHIFT, 0.0, 0.875)
    shifted = 8 * even / (1 + 7 * even)
    assert even.std() > 0.1
    torch.testing.assert_close(high, 0.875 + 0.125 * shifted, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(low, 0.875 * shifted, rtol=1e-4, atol=1e-4)


def timesteps(cache: LatentCache, output: Path, sampling: TimestepSampling, least: float, most: float) -> torch.Tensor:
    """What the network is told of t in a run."""
    seen: list[float] = []
    model = tiny.load_model("wan22_i2v")
    assert model.get_model_object("model_sampling").shift == 8
    with torch.inference_mode(), open_denoiser(model, cache.empty_text()) as denoiser:
        note = lambda _m, args, _output: seen.extend((args[1] / 1000).tolist())  # noqa: E731
        hook = denoiser.module.register_forward_hook(note)
        config = TrainConfig(
            steps=10, training_dtype=TrainingDtype.FP32, timestep_sampling=sampling, timestep_min=least,
            timestep_max=most,
        )  # fmt: skip
        train(denoiser, TrainingRecipe(cache, None, LoraConfig(rank=1), OptimizerConfig(), config), output)
        hook.remove()
    assert len(seen) == 10
    return torch.tensor(seen)
