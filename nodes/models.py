"""ComfyUI's own models, or the built-in demo ones, behind the protocols that `core` works with."""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch

from ..core.autograd.compiler import check_compiling
from ..core.cache.encoders import LatentEncoder, TextEncoder
from ..core.cache.store import LatentCache
from ..core.comfy.encoders import SAME_NETWORK, ComfyLatentEncoder, ComfyTextEncoder
from ..core.comfy.model.denoiser import open_denoiser
from ..core.comfy.model.identity import model_identity
from ..core.comfy.model.loading import unload_models
from ..core.comfy.model.planned import device_memory, free_memory, planned_model
from ..core.comfy.model.references import ReferenceMethod, heeds_method, takes_references
from ..core.comfy.text.shown import EditModel
from ..core.demo.denoiser import DemoDenoiser
from ..core.demo.encoders import DemoLatentEncoder, DemoTextEncoder
from ..core.errors import CacheError, PlanError
from ..core.frozen.config import BaseConfig
from ..core.plan.fit import Fit, gib, needed_bytes
from ..core.plan.measured import device_name, expected, known_measurements
from ..core.plan.plan import COMPILED, checkpointing_to_fit, refuse_too_large, work_of
from ..core.plan.setup import Setup
from ..core.plan.trial import RunSettings
from ..core.train.config import TrainingDtype
from ..core.train.denoiser import Denoiser
from ..core.train.recipe import TrainingRecipe
from ..core.warning import warn

AUTO = "auto"
# What a cache can be named after, where a VAE alone does not tell.
ARCHITECTURES = (AUTO, *(name for own, others in SAME_NETWORK.items() for name in (own, *others)))


def latent_encoder(vae: Any, architecture: str = AUTO) -> LatentEncoder:
    """Of a VAE socket. CacheError when the VAE is not that architecture's; `AUTO`: what the VAE goes by."""
    if not isinstance(vae, DemoLatentEncoder):
        return ComfyLatentEncoder(vae, "" if architecture == AUTO else architecture)
    if architecture != AUTO:
        raise CacheError(f"The demo VAE is not {architecture}'s; set architecture to {AUTO}.")
    return vae


def text_encoder(clip: Any, edit_model: EditModel = EditModel.AUTO) -> TextEncoder:
    """Of a CLIP socket. CacheError when the CLIP is not that edit model's."""
    if not isinstance(clip, DemoTextEncoder):
        return ComfyTextEncoder(clip, edit_model)
    if edit_model is not EditModel.AUTO:
        raise CacheError(f"The demo CLIP is not {edit_model.value}'s; set edit_model to {EditModel.AUTO.value}.")
    return clip


def identity_of(
    model: Any,
    guidance: float | None,
    base: BaseConfig | None = None,
    method: ReferenceMethod = ReferenceMethod.AUTO,
) -> str:
    """The `identity` of what `opened` will give."""
    if isinstance(model, DemoDenoiser):
        return model.identity + (base or BaseConfig()).identity
    return model_identity(model, guidance, base, method)


def warn_of_method(model: Any, method: ReferenceMethod, cache: LatentCache) -> None:
    """Warn where a MODEL socket's model places references in one way whatever it is told, or ignores those of the cache
    until it is told how."""
    heeds = not isinstance(model, DemoDenoiser) and heeds_method(model.model)
    kind = "the demo model" if isinstance(model, DemoDenoiser) else type(model.model).__name__
    if method is not ReferenceMethod.AUTO and not heeds:
        warn(f"reference_method is {method.value}, but {kind} takes none and ignores it.")
    if heeds and not takes_references(model.model, method) and any(entry.references for entry in cache.entries):
        warn(f"reference_method is {method.value}, with which {kind} ignores control images; set it to index.")


def open_model(
    model: Any,
    cache: LatentCache,
    dtype: TrainingDtype,
    guidance: float | None,
    dropout: bool = False,
    base: BaseConfig | None = None,
    method: ReferenceMethod = ReferenceMethod.AUTO,
) -> AbstractContextManager[Denoiser]:
    """A MODEL socket's model, ready to be trained on `cache` inside of the context, and as it was after it.

    Its `guidance` is the given one, or None where the model takes none. `dropout`: its adapters will have some. `base`:
    how its frozen weights are kept and run. `method`: how references are placed. TrainingError where this machine
    cannot.
    """
    if isinstance(model, DemoDenoiser):
        base = base or BaseConfig()
        check_compiling(base.compile_blocks, model.device, dropout)
        return model.held(base)
    return open_denoiser(model, cache.example_text(), guidance, dtype, dropout, base, method)


def unload(model: Any) -> None:
    """Free the device that a MODEL socket's model is on, for other processes."""
    if not isinstance(model, DemoDenoiser):
        unload_models()


@dataclass(frozen=True)
class Beginning:
    """How a training begins: whether with gradient checkpointing, and what is said of it."""

    checkpoint: bool
    said: tuple[str, ...] = ()


def check_fit(
    model: Any,
    recipe: TrainingRecipe,
    base: BaseConfig,
    fit: Fit,
    method: ReferenceMethod = ReferenceMethod.AUTO,
) -> Beginning:
    """With what checkpointing a training begins, what it will need, and how long it takes where this device has been
    measured. Where that is not known there is a warning, and checkpointing where `fit` asks for as much as it takes.
    TrainingError, with the nearest settings that fit, where it cannot fit. Nothing is loaded."""
    asked = Beginning(recipe.config.gradient_checkpointing)
    if fit is Fit.INSIST or isinstance(model, DemoDenoiser):
        return asked
    decides = fit is Fit.CHECKPOINT
    said: list[str] = []
    try:
        planned, here = planned_model(model, recipe.cache, method), torch.device(model.load_device)
        run = RunSettings(recipe.lora, recipe.optimizer, recipe.config, recipe.settings)
        size, frames = planned.largest_size(recipe.cache)
        setup = Setup(run, size, frames, base=base)
        if decides:
            setup, why = checkpointing_to_fit(planned, setup, free_memory(here))
            said.append(why)
        device = device_memory(here)
        memory = refuse_too_large(planned, setup, device)
    except PlanError as problem:
        with_it = " with gradient_checkpointing on," if decides else ""
        warn(f"{problem} Training begins{with_it} without knowing whether it fits.")
        return Beginning(True) if decides else asked
    known = [each for each in known_measurements() if each.device == device_name(here)]
    times = [each.words(recipe.config.steps) for each in expected(work_of(planned, setup, memory), known)]
    need = f"Planned memory: {gib(needed_bytes(memory, device))} of {gib(device.memory)}."
    said.append(" ".join([need, *([COMPILED] if base.compile_blocks else []), *times]))
    return Beginning(setup.run.config.gradient_checkpointing, tuple(said))
