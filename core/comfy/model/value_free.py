"""ComfyUI's networks without values, for the memory plan: as a MODEL has them, or from a configuration alone."""

from __future__ import annotations

import importlib
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch

from ...autograd.checkpointing import BlockCheckpointing
from ...autograd.gradient_check import record_mutating_blocks
from ...errors import InternalError
from ...frozen.block_order import SLOTS
from ...frozen.block_swap import slot_room
from ...frozen.config import BaseConfig
from ...plan.places import equal_runs, shorten_run
from ...plan.trial import Opened
from ...plan.value_free import run_without_values, selected_evenly, value_free_mode, zero_for_values
from ...train.config import TrainingDtype
from ...train.step import resolve_dtype
from ..backward.fused_backward import use_fused_backward
from ..backward.kernels import use_plain_kernels
from ..backward.recast import recast_layers
from ..text.collapsed_padding import watch_text_attention
from .architectures import experts_of, repeated_blocks
from .denoiser import ComfyDenoiser
from .held_model import HeldModel, held_layers
from .loading import sampling_dtype
from .references import ReferenceMethod

# Runs of fewer blocks are counted whole.
LEAST_RUN = 5
_CPU = torch.device("cpu")
_CHECKED_CELLS = 8


@dataclass(frozen=True, eq=False)
class ValueFreeNetwork:
    """What a network is built from: one of ComfyUI's configurations, with the dtype of its weights in it, and the
    `model_sampling` of a MODEL, or None for the configuration's own. `image_channels` as a `Denoiser` has them;
    references are placed by `method`."""

    configuration: Any
    sampling: Any | None = None
    image_channels: int = 0
    method: ReferenceMethod = ReferenceMethod.AUTO

    def run_lengths(self) -> tuple[int, ...]:
        """How many blocks each of its runs of equal blocks has."""
        return tuple(count for _, _, count in equal_runs(self._built.diffusion_model, LEAST_RUN))

    def block_count(self) -> int:
        """How many blocks it repeats, which are those that can be in main memory."""
        return len(repeated_blocks(self._built.diffusion_model))

    def apart_bytes(self, base: BaseConfig) -> tuple[int, int]:
        """The weights of the blocks that `base` has in main memory or sharded over processes, as they are kept; and
        what the device has for them. TrainingError where there are fewer blocks."""
        apart, swapped, sharded = 0, dict[int, int](), dict[int, int]()
        if base.blocks_in_main_memory == 0 and base.peers is None:
            return 0, 0
        with value_free_mode(), run_without_values():
            for each in held_layers(self._built, base):
                for rooms, number in ((swapped, each.block), (sharded, each.sharded)):
                    if number is not None:
                        held = each.hold(each.name, each.layer.weight, base.precision)
                        apart += held.nbytes
                        rooms[number] = rooms.get(number, 0) + slot_room(held.tensors)
        here = min(SLOTS, len(swapped)) * max(swapped.values(), default=0)
        if base.peers is not None:
            # Its part of each, and the one that is at work with the next.
            here += sum(sharded.values()) // base.peers.size
            here += min(SLOTS, len(sharded)) * max(sharded.values(), default=0)
        return apart, here

    @contextmanager
    def open(
        self,
        example: Mapping[str, torch.Tensor],
        dtype: TrainingDtype,
        lengths: Sequence[int] | None = None,
        as_on_cuda: bool = False,
        dropout: bool = False,
        base: BaseConfig | None = None,
    ) -> Generator[Opened]:
        """The network ready to be counted; `lengths` are what its runs of equal blocks are cut to. `example` is some
        caption's embeddings, `dtype` what it computes in, and not `auto`, `base` how the frozen weights are kept,
        beside which a card has none of the model's own, and main memory both. ComfyUI is as before on exit.
        TrainingError where the weights cannot be kept so."""
        base = base or BaseConfig()
        management: Any = importlib.import_module("comfy.model_management")
        mode = value_free_mode()
        with ExitStack() as stack:
            stack.callback(setattr, management, "in_training", getattr(management, "in_training", False))
            management.in_training = True
            stack.enter_context(torch.inference_mode(False))
            with mode:
                model = self._build()
                patcher = _patcher_of(model, dtype)
            patcher.pre_run()
            stack.callback(patcher.cleanup)
            network = model.diffusion_model
            if (experts := experts_of(network)) > 1:
                stack.enter_context(selected_evenly(experts))
            runs = equal_runs(network, LEAST_RUN)
            left = [count for _, _, count in runs] if lengths is None else lengths
            kept = [tuple(blocks[start : start + each]) for (blocks, start, _), each in zip(runs, left, strict=True)]
            # From the last one on, because several runs may be in one list.
            for (blocks, start, count), each in reversed(list(zip(runs, left, strict=True))):
                shorten_run(blocks, start, count, each)
            stack.enter_context(use_plain_kernels())
            stack.enter_context(use_fused_backward())
            stack.enter_context(recast_layers(network))
            apart = {each.name for each in held_layers(model, base)} if base.holds_weights else set[str]()
            with run_without_values():
                held = stack.enter_context(HeldModel(model, _CPU, base))
            checkpointing = BlockCheckpointing(repeated_blocks(network))
            stack.enter_context(checkpointing.install())
            watched = stack.enter_context(watch_text_attention(network))
            watched = None if dropout else watched
            rest = self.image_channels, watched, None, None, self.method
            denoiser = ComfyDenoiser(patcher, checkpointing, None, "planned", _lend, *rest)
            with run_without_values(as_on_cuda):
                record_mutating_blocks(checkpointing, lambda: _small_pass(denoiser, example))
            apart = apart if as_on_cuda else set[str]()
            frozen = [each for name, module in network.named_modules() if name not in apart for each in _own(module)]
            yield Opened(denoiser, tuple(kept), lambda: mode, as_on_cuda, tuple(frozen), held.nbytes, held.inside)

    @cached_property
    def _built(self) -> Any:
        """To look at, not to run."""
        with value_free_mode():
            return self._build()

    def _build(self) -> Any:
        """ComfyUI's BaseModel."""
        configuration = weights_in(self.configuration, None)
        with zero_for_values():
            model = configuration.get_model({}, "", device=_CPU)
        with _values():
            own = importlib.import_module("comfy.model_base").model_sampling(configuration, model.model_type)
        model.model_sampling = own if self.sampling is None else self.sampling
        return model


def _own(module: torch.nn.Module) -> Iterator[torch.Tensor]:
    """Its own parameters and buffers, not those of modules in it."""
    yield from module.parameters(recurse=False)
    yield from module.buffers(recurse=False)


def weights_in(configuration: Any, dtype: torch.dtype | None) -> Any:
    """A copy of one of ComfyUI's configurations, with weights of `dtype` (None: its own). Formats of other packs and
    files, whose tensors only their loaders make, become fp8."""
    # Not by `copy`, because a configuration says None to every name that it does not know.
    made = object.__new__(type(configuration))
    vars(made).update(vars(configuration), unet_config=dict(configuration.unet_config))
    formats = vars(made)
    if dtype is None and (formats.get("quant_config") or formats.get("custom_operations")):
        dtype = torch.float8_e4m3fn
    if dtype is not None:
        formats.update(quant_config=None, custom_operations=None)
        made.set_inference_dtype(dtype, torch.bfloat16 if dtype.itemsize < 2 else None)
    return made


def _values() -> AbstractContextManager[object]:
    """In it new tensors have values, also where those outside of it have none."""
    return importlib.import_module("torch._subclasses.fake_tensor").unset_fake_temporarily()


def _patcher_of(model: Any, dtype: TrainingDtype) -> Any:
    patcher = importlib.import_module("comfy.model_patcher").ModelPatcher(model, _CPU, _CPU)
    if sampling_dtype(patcher) not in (resolve_dtype(dtype, _CPU), torch.float32):
        patcher.set_model_compute_dtype(torch.float32)
        # What its loader does to make layers cast; there is nothing else to load.
        for layer in model.modules():
            if hasattr(layer, "comfy_cast_weights"):
                layer.comfy_cast_weights = True
    patcher.patch_model(load_weights=False)
    return patcher


def _small_pass(denoiser: ComfyDenoiser, example: Mapping[str, torch.Tensor]) -> torch.Tensor:
    side = max(_CHECKED_CELLS, denoiser.min_latent_size)
    latent = torch.zeros(1, denoiser.latent_channels, 1, side, side)
    return denoiser.predict(latent, latent, torch.full((1,), 0.5), [example], False)


def _lend() -> AbstractContextManager[Any]:
    raise InternalError("A model without values cannot be sampled from; please report it.")
