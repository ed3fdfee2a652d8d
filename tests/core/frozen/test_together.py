"""Held weights together with what else acts on blocks: routed background tokens, checkpointing, dropout."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from maskloss.core.cache.latents import cache_latents
from maskloss.core.cache.store import LatentCache
from maskloss.core.cache.text import cache_text
from maskloss.core.dataset.items import Dataset, DatasetItem, LoadSettings
from maskloss.core.demo.denoiser import DemoDenoiser
from maskloss.core.demo.encoders import DemoLatentEncoder, DemoTextEncoder
from maskloss.core.frozen.config import BaseConfig, BasePrecision
from maskloss.core.images import save_image
from maskloss.core.mask_weights import MaskLossSettings
from maskloss.core.train.config import Algorithm, LoraConfig, OptimizerConfig, TrainConfig
from maskloss.core.train.loop import train
from maskloss.core.train.recipe import TrainingRecipe


@pytest.fixture
def cache(tmp_path: Path) -> LatentCache:
    path, mask = tmp_path / "a.png", np.zeros((64, 64), np.uint8)
    mask[16:32, 16:48] = 255
    save_image(path, np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8))
    save_image(tmp_path / "masks/a.png", mask)
    dataset = Dataset((DatasetItem("a", path, LoadSettings(resolution=(64, 64)), tmp_path / "masks/a.png", "her"),))
    latents, _ = cache_latents(dataset, DemoLatentEncoder(), tmp_path / "cache")
    return cache_text(latents, DemoTextEncoder())[0]


@pytest.mark.parametrize("checkpoint", [False, True], ids=["plain", "checkpointed"])
# nvfp4 is for ComfyUI's own models alone: tests/core/comfy.
@pytest.mark.parametrize("precision", [BasePrecision.AS_LOADED, BasePrecision.INT8])
def test_blocks_in_main_memory_change_no_bit_of_a_run_with_routed_tokens_dora_dropout_and_prior(
    precision: BasePrecision, checkpoint: bool, cache: LatentCache, tmp_path: Path
) -> None:
    def run(blocks: int) -> dict[str, torch.Tensor]:
        config = TrainConfig(steps=3, background_tokens=0.5, gradient_checkpointing=checkpoint)
        lora = LoraConfig(rank=2, alpha=2, algorithm=Algorithm.DORA, dropout=0.2)
        settings, optimizer = MaskLossSettings(prior_weight=0.3), OptimizerConfig(learning_rate=0.01)
        with DemoDenoiser().held(BaseConfig(precision, blocks)) as denoiser:
            recipe = TrainingRecipe(cache, settings, lora, optimizer, config)
            return dict(train(denoiser, recipe, tmp_path / f"{precision.value}{blocks}").lora)

    swapped, resident = run(4), run(0)
    assert swapped.keys() == resident.keys()
    assert all(torch.equal(swapped[key], resident[key]) for key in resident)
