"""What a LoRA file says about itself: kohya's `ss_…`, the model spec, and what the masks did."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence

from ..cache.entries import CacheEntry
from .checks import coverage
from .config import Algorithm, LoraConfig
from .denoiser import Denoiser
from .recipe import TrainingRecipe


def lora_metadata(
    denoiser: Denoiser, recipe: TrainingRecipe, entries: Sequence[CacheEntry], step: int
) -> dict[str, str]:
    """Strings only, as safetensors wants; nothing in it changes from one run of the same thing to the next. `entries`
    were trained on for `step` optimizer steps."""
    settings, lora, optimizer, config = recipe.settings, recipe.lora, recipe.optimizer, recipe.config
    values: dict[str, object] = {
        "modelspec.sai_model_spec": "1.0.0",
        "modelspec.architecture": f"{denoiser.lora_architecture}/lora",
        "modelspec.implementation": "ComfyUI-MaskLoss",
        "modelspec.title": "mask-weighted LoRA" if settings else "LoRA",
        "modelspec.prediction_type": denoiser.family.value,
        **_network(lora),
        "ss_network_dim": lora.rank,
        "ss_network_alpha": lora.alpha,
        "ss_network_dropout": lora.dropout,
        "ss_optimizer": optimizer.name.value,
        "ss_optimizer_args": optimizer.optimizer_args,
        "ss_learning_rate": optimizer.learning_rate,
        "ss_lr_scheduler": optimizer.lr_scheduler.value,
        "ss_lr_warmup_steps": optimizer.warmup_steps,
        "ss_max_grad_norm": optimizer.max_grad_norm,
        "ss_total_batch_size": config.batch_size * config.gradient_accumulation_steps,
        "ss_gradient_accumulation_steps": config.gradient_accumulation_steps,
        "ss_gradient_checkpointing": config.gradient_checkpointing,
        "ss_caption_dropout_rate": config.caption_dropout,
        "ss_seed": config.seed,
        "ss_steps": step,
        "ss_max_train_steps": config.steps,
        "ss_num_train_images": sum(entry.repeats for entry in entries),
        **({} if denoiser.guidance is None else {"ss_guidance_scale": denoiser.guidance}),
        "ss_masked_loss": settings is not None,
        "maskloss.mask_loss": json.dumps(dataclasses.asdict(settings)) if settings else "off",
        "maskloss.coverage": f"{coverage(entries):.6f}",
        "maskloss.cache": recipe.cache.fingerprint,
        "maskloss.model": denoiser.identity,
    }
    return {key: str(value) for key, value in values.items()}


def _network(lora: LoraConfig) -> dict[str, str]:
    """Module and arguments with which kohya's trainer would build such an adapter: its own for LoRA, else LyCORIS'."""
    if lora.algorithm is Algorithm.LORA:
        arguments = {"conv_dim": str(lora.rank), "conv_alpha": str(lora.alpha)} if lora.conv else {}
        return {"ss_network_module": "networks.lora", "ss_network_args": json.dumps(arguments)}
    arguments = {"algo": lora.algorithm.value, "conv_dim": str(lora.rank if lora.conv else 0)}
    if lora.algorithm is Algorithm.DORA:
        arguments |= {"algo": "lora", "dora_wd": "True", "wd_on_output": "True"}
    if lora.algorithm is Algorithm.LOKR:
        arguments |= {"factor": "-1"}
    return {"ss_network_module": "lycoris.kohya", "ss_network_args": json.dumps(arguments)}
