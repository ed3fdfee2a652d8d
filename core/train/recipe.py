"""All that a training run depends on but the model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from ..cache.store import LatentCache
from ..mask_weights import MaskLossSettings
from .config import LoraConfig, OptimizerConfig, TrainConfig


@dataclass(frozen=True, eq=False)
class TrainingRecipe:
    """What is trained on, how the masks act (without `settings` every latent cell counts the same), the adapter, how
    its weights are updated, and the run itself.

    The loss on `validation_cache` is measured and never trained on; `initial_lora` is where the adapter starts instead
    of at nothing: tensors by `diffusion_model.` or kohya's file keys.
    """

    cache: LatentCache
    settings: MaskLossSettings | None
    lora: LoraConfig
    optimizer: OptimizerConfig
    config: TrainConfig
    validation_cache: LatentCache | None = None
    initial_lora: Mapping[str, torch.Tensor] | None = None
