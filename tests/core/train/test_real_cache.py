"""From picture files through the cache on disk to a LoRA."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from maskloss.core.cache.latents import cache_latents
from maskloss.core.cache.store import LatentCache, open_cache
from maskloss.core.cache.text import cache_text
from maskloss.core.dataset.items import Dataset, DatasetItem, LoadSettings
from maskloss.core.demo.denoiser import DemoDenoiser
from maskloss.core.demo.encoders import DemoLatentEncoder, DemoTextEncoder
from maskloss.core.errors import CacheError
from maskloss.core.mask_weights import MaskLossSettings
from maskloss.core.train.config import LoraConfig, OptimizerConfig, TrainConfig
from maskloss.core.train.loop import TrainResult, train
from maskloss.core.train.recipe import TrainingRecipe
from PIL import Image
from skimage import data


def cached(root: Path, mask_value: int = 255) -> LatentCache:
    face = data.astronaut()[0:240, 100:340]
    mask = np.zeros((240, 240), np.uint8)
    mask[40:160, 60:180] = mask_value
    Image.fromarray(face).save(root / "face.png")
    Image.fromarray(mask).save(root / "mask.png")
    settings = LoadSettings(resolution=(128, 128))
    item = DatasetItem("face", root / "face.png", settings, root / "mask.png", "a photo of eileen")
    cache, _ = cache_latents(Dataset((item,)), DemoLatentEncoder(), root / "cache")
    return cache_text(cache, DemoTextEncoder())[0]


def trained(root: Path, cache: LatentCache, **config: object) -> TrainResult:
    chosen = TrainConfig(**{"steps": 40, "gradient_checkpointing": False, **config})
    optimizer = OptimizerConfig(learning_rate=3e-3)
    recipe = TrainingRecipe(cache, MaskLossSettings(), LoraConfig(), optimizer, chosen, validation_cache=cache)
    return train(DemoDenoiser(), recipe, root / "lora")


def test_a_cached_photograph_is_learnt(tmp_path: Path):
    result = trained(tmp_path, cached(tmp_path), caption_dropout=0.1)
    assert result.validation[-1][1] < 0.92 * result.validation[0][1]
    assert result.points[0].coverage == pytest.approx(120 * 120 / (240 * 240), abs=0.02)
    assert float(result.lora.metadata["maskloss.coverage"]) == pytest.approx(result.points[0].coverage, abs=1e-3)


def test_a_caption_without_text_is_found_before_the_first_step(tmp_path: Path):
    cached(tmp_path)
    Image.fromarray(data.astronaut()[0:240, 100:340]).save(tmp_path / "face.png")
    item = DatasetItem("face", tmp_path / "face.png", LoadSettings(resolution=(128, 128)), caption="other words")
    cache, _ = cache_latents(Dataset((item,)), DemoLatentEncoder(), tmp_path / "cache")
    recipe = TrainingRecipe(cache, None, LoraConfig(), OptimizerConfig(), TrainConfig(steps=1))
    with pytest.raises(CacheError, match=r"no text for 1 captions: 'other words'\. Run MaskLossCacheText"):
        train(DemoDenoiser(), recipe, tmp_path / "lora")
    assert not (tmp_path / "lora.safetensors").exists()


def test_an_edited_mask_is_not_trained_on_in_silence(tmp_path: Path):
    before = cached(tmp_path)
    first = trained(tmp_path, before, steps=1)
    Image.fromarray(np.full((240, 240), 9, np.uint8)).save(tmp_path / "mask.png")
    with pytest.raises(CacheError, match="face"):
        trained(tmp_path, before, steps=2)  # opened before the edit, as ComfyUI keeps it between two prompts
    with pytest.raises(CacheError, match="face"):
        trained(tmp_path, open_cache(tmp_path / "cache"), steps=1)
    again = cached(tmp_path, mask_value=128)
    assert again.fingerprint != before.fingerprint
    assert first.steps == 1
