"""Loads a ComfyUI MODEL for training: without dynamic memory, and in the wanted compute dtype.

`management` is ComfyUI's `model_management`; what is undone at the end goes onto `stack`.
"""

from __future__ import annotations

import importlib
from collections.abc import Generator
from contextlib import ExitStack, contextmanager
from typing import Any

import torch

from ...autograd.compiled_blocks import CompiledBlocks
from ...autograd.inference_parameters import DifferentiableParameters
from ...errors import TrainingError
from ...train.config import TrainingDtype
from ...train.step import resolve_dtype
from .held_model import HeldModel

# Of a device's memory, kept free of weights for activations, gradients and the optimizer.
_FREE_FRACTION = 0.3


def unload_models() -> None:
    """Have ComfyUI take all models from their device, which others are to use now."""
    management = importlib.import_module("comfy.model_management")
    management.unload_all_models()
    management.soft_empty_cache()


def disable_dynamic_memory(model: Any, management: Any, stack: ExitStack) -> Any:
    """The patcher without ComfyUI's dynamic memory, which moves weights at any time."""
    patcher = model
    if getattr(model, "is_dynamic", bool)():
        if model.cached_patcher_init is None:
            raise TrainingError(
                "The loader of this model offers no way to load it without dynamic memory; load it with ComfyUI's own "
                "loader, or start ComfyUI with --disable-dynamic-vram."
            )
        patcher = model.clone(disable_dynamic=True)
        stack.callback(management.unload_model_and_clones, patcher)
    if not management.is_device_cpu(patcher.load_device):
        management.unload_all_models()
    return patcher


def set_compute_dtype(dtype: TrainingDtype | None, patcher: Any, management: Any, stack: ExitStack) -> Any:
    """The patcher, or a clone that computes in fp32 where its own 16-bit dtype is not `dtype`."""
    wanted = None if dtype is None else resolve_dtype(dtype, torch.device(patcher.load_device))
    if wanted is None or sampling_dtype(patcher) in (wanted, torch.float32):
        return patcher
    clone = patcher.clone()
    clone.set_model_compute_dtype(torch.float32)
    stack.callback(management.unload_model_and_clones, clone)
    return clone


def sampling_dtype(patcher: Any) -> torch.dtype:
    """The dtype that the model computes in when it samples."""
    return patcher.get_model_object("manual_cast_dtype") or patcher.model.get_dtype()


def load(patcher: Any, management: Any, held: bool = False) -> None:
    """Load all weights onto the device, or as many as leave room to train; layers fetch the rest as they run. With
    `held` as few as ComfyUI may: they are held otherwise."""
    device = patcher.load_device
    if management.is_device_cpu(device):
        management.load_models_gpu([patcher], force_full_load=True)
        return
    if held:
        management.load_models_gpu([patcher], memory_required=management.get_total_memory(device))
        return
    room = management.get_total_memory(device) * _FREE_FRACTION
    free = management.get_free_memory(device) + patcher.loaded_size()
    fits = patcher.model_size() + room <= free
    management.load_models_gpu([patcher], memory_required=room, force_full_load=fits)


@contextmanager
def lend_model(
    patcher: Any, weights: DifferentiableParameters, held: HeldModel, compiled: CompiledBlocks, management: Any
) -> Generator[Any]:
    """Give the patcher back to ComfyUI's samplers, which may unload it; ready for training again on exit."""
    with ExitStack() as stack:
        stack.callback(patcher.pre_run)
        stack.callback(setattr, management, "in_training", management.in_training)
        stack.enter_context(compiled.set_active(False))
        stack.enter_context(held.suspend())
        stack.enter_context(weights.suspend())
        stack.callback(load, patcher, management, held.holds_weights)
        management.in_training = False
        yield patcher


def transformer_options(patcher: Any) -> dict[str, Any]:
    """What the user's nodes have put on the MODEL: patches, wrappers, rope options."""
    extension = importlib.import_module("comfy.patcher_extension")
    options = importlib.import_module("comfy.model_patcher").create_model_options_clone(patcher.model_options)
    transformer: dict[str, Any] = options.get("transformer_options", {})
    for name, own in (("wrappers", patcher.wrappers), ("callbacks", patcher.callbacks)):
        extension.merge_nested_dicts(transformer.setdefault(name, {}), own, copy_dict1=False)
    return transformer
