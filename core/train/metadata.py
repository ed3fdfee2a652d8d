"""What a LoRA file says about itself: kohya's `ss_…`, the model spec, and what the masks did."""

from __future__ import annotations

import dataclasses
import json
from collections import Counter
from collections.abc import Sequence

import torch

from ..cache.entries import WHOLE, CacheEntry
from ..scores.checkpoint_scores import CheckpointScores
from .checks import coverage
from .config import Algorithm, LoraConfig, TrainConfig
from .denoiser import Denoiser, Family
from .order import TrainingOrder, learnt_entries
from .recipe import TrainingRecipe
from .routed_window import routing_settings
from .step import resolve_dtype

# `ss_base_model_version`, by which kohya's trainers and web UIs tell what a LoRA is for; for others the architecture.
_BASE_VERSIONS = {
    "stable-diffusion-v1": "sd_v1",
    "stable-diffusion-v2": "sd_v2",
    "stable-diffusion-xl-v1-base": "sdxl_base_v1-0",
    "stable-diffusion-xl-v1-refiner": "sdxl_refiner_v1-0",
    "stable-diffusion-3": "sd3",
    "flux-1-dev": "flux1",
    "flux-1-schnell": "flux1",
    "wan2.1": "wan",
    "wan2.2": "wan",
    "kandinsky-5": "kandinsky5",
    "krea-2": "krea2",
}
# As the model spec names them; it has no name for flow.
_PREDICTIONS = {Family.EPS: "epsilon", Family.V: "v"}
_PRECISIONS = {torch.bfloat16: "bf16", torch.float16: "fp16", torch.float32: "no"}
# Of a caption's parts, which are tags or sentences: enough to find the word that calls what was learnt.
_MOST_TAGS = 200


def lora_metadata(
    denoiser: Denoiser,
    recipe: TrainingRecipe,
    entries: Sequence[CacheEntry],
    step: int,
    name: str,
    scores: CheckpointScores | None = None,
) -> dict[str, str]:
    """Strings only, as safetensors wants; nothing in it changes from one run of the same thing to the next. `entries`
    were trained on for `step` optimizer steps, under the output name `name`; `scores` are this checkpoint's."""
    settings, lora, optimizer, config = recipe.settings, recipe.lora, recipe.optimizer, recipe.config
    values: dict[str, object] = {
        "modelspec.sai_model_spec": "1.0.0",
        "modelspec.architecture": f"{denoiser.lora_architecture}/lora",
        "modelspec.implementation": "ComfyUI-MaskLoss",
        "modelspec.title": name,
        "modelspec.description": "mask-weighted LoRA" if settings else "LoRA",
        **_model_spec(denoiser, config, entries),
        **_base_model(denoiser.lora_architecture),
        "ss_output_name": name,
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
        "ss_mixed_precision": _PRECISIONS[resolve_dtype(config.training_dtype, denoiser.device)],
        "ss_timestep_sampling": config.timestep_sampling.value,
        "ss_min_snr_gamma": config.min_snr_gamma or None,
        "ss_caption_dropout_rate": config.caption_dropout,
        "ss_seed": config.seed,
        "ss_steps": step,
        "ss_max_train_steps": config.steps,
        **_epochs(config, entries, step),
        "ss_num_train_images": sum(entry.repeats for entry in entries if not entry.regularisation),
        "ss_num_reg_images": sum(entry.repeats for entry in entries if entry.regularisation),
        "ss_bucket_info": _buckets(entries),
        "ss_tag_frequency": _tags(entries, name),
        "ss_guidance_scale": denoiser.guidance,
        "ss_masked_loss": settings is not None,
        "maskloss.mask_loss": json.dumps(dataclasses.asdict(settings)) if settings else "off",
        "maskloss.coverage": f"{coverage(learnt_entries(entries)):.6f}",
        "maskloss.crops": _crops(entries),
        "maskloss.background_tokens": _routing(recipe),
        "maskloss.cache": recipe.cache.fingerprint,
        "maskloss.model": denoiser.identity,
        "maskloss.scores": None if scores is None else json.dumps(scores.to_json()),
    }
    return {key: str(value) for key, value in values.items() if value is not None}


def _routing(recipe: TrainingRecipe) -> str | None:
    """The fraction of the background's tokens that ran, and how they were chosen; None where all did."""
    routing = routing_settings(recipe.settings, recipe.config)
    return None if routing is None else json.dumps(dataclasses.asdict(routing))


def _crops(entries: Sequence[CacheEntry]) -> str | None:
    """How many entries show what, with repeats; None where all are whole."""
    counts: Counter[str] = Counter()
    for entry in entries:
        counts[entry.kind] += entry.repeats
    return json.dumps(dict(sorted(counts.items()))) if set(counts) - {WHOLE} else None


def _model_spec(denoiser: Denoiser, config: TrainConfig, entries: Sequence[CacheEntry]) -> dict[str, str]:
    sizes = _sizes(entries)
    # The size that most were trained at; of several the largest.
    width, height = max(sizes, key=lambda size: (sizes[size], size[0] * size[1], size))
    values = {"modelspec.resolution": f"{width}x{height}"}
    if denoiser.family in _PREDICTIONS:
        values["modelspec.prediction_type"] = _PREDICTIONS[denoiser.family]
    if (config.timestep_min, config.timestep_max) != (0, 1):
        least, most = round(1000 * config.timestep_min), round(1000 * config.timestep_max)
        values["modelspec.timestep_range"] = f"{least},{most}"
    return values


def _epochs(config: TrainConfig, entries: Sequence[CacheEntry], step: int) -> dict[str, int]:
    """How often every item has come until `step`, and how often it will have been begun at the end."""
    order, per_step = TrainingOrder.of(entries, config), config.gradient_accumulation_steps
    return {
        "ss_epoch": order.epoch_of(step * per_step),
        "ss_num_epochs": order.epoch_of(config.steps * per_step - 1) + 1,
        "ss_num_batches_per_epoch": order.batches_per_epoch,
    }


def _base_model(architecture: str) -> dict[str, object]:
    version = _BASE_VERSIONS.get(architecture, architecture.replace("-", "_").replace(".", "_"))
    return {"ss_base_model_version": version, "ss_v2": version == "sd_v2"}


def _sizes(entries: Sequence[CacheEntry]) -> Counter[tuple[int, int]]:
    sizes = Counter[tuple[int, int]]()
    for entry in entries:
        sizes[entry.bucket] += entry.repeats
    return sizes


def _buckets(entries: Sequence[CacheEntry]) -> str:
    """As kohya's trainer writes them: {"buckets": {"0": {"resolution": [width, height], "count": n}, …}}."""
    counts = _sizes(entries)
    buckets = {
        str(index): {"resolution": list(size), "count": counts[size]} for index, size in enumerate(sorted(counts))
    }
    return json.dumps({"buckets": buckets})


def _tags(entries: Sequence[CacheEntry], name: str) -> str:
    """What the captions say between commas, with how many items say it, the most frequent ones, as kohya has it."""
    counts = Counter(
        tag for entry in entries for tag in dict.fromkeys(part.strip() for part in entry.caption.split(",")) if tag
    )
    most = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))[:_MOST_TAGS]
    return json.dumps({name: dict(most)}, ensure_ascii=False)


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
