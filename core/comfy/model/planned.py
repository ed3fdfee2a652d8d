"""Models of ComfyUI behind the memory plan's protocol: a MODEL, or a published one by its name, without any weights."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import accumulate
from itertools import count as count_from
from math import prod
from typing import Any

import torch

from ...cache.image_conditioning import IMAGE
from ...cache.inpainting import holes_of
from ...cache.store import LatentCache
from ...errors import MaskLossError, PlanError, SettingError, TrainingError
from ...frozen.config import BaseConfig, BasePrecision
from ...plan.extrapolate import extrapolate_step
from ...plan.fit import Device
from ...plan.setup import Setup, Weights
from ...plan.trial import Sample, StepMemory, count_step
from ...train.config import TrainingDtype
from .four_bits import has_nvfp4
from .full_size import caption_shape_of, full_size_models
from .predictions import supported_image_channels
from .references import ReferenceMethod, effective_method, takes_references
from .sound import frame_cycle
from .value_free import ValueFreeNetwork, weights_in

_DTYPES = {
    Weights.BF16: torch.bfloat16,
    Weights.FP16: torch.float16,
    Weights.FP32: torch.float32,
    Weights.FP8: torch.float8_e4m3fn,
}
# What is raised where a network cannot be run without values.
_FAILURES = (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
# Of a MODEL's weights; a larger difference from its configuration's means another format.
_SAME_SIZE = 0.01


@dataclass(frozen=True, eq=False)
class ComfyPlannedModel:
    """What steps are counted of: a configuration of ComfyUI's, its `sampling` (None: its own), and a caption's
    embeddings. A latent cell is `stride` pixels wide and stands for `frame_stride` frames, or for as many as
    `frame_cycle` says, over and over. `weight_bytes`: of a MODEL's weights, 0 where there are none. `references`: the
    control images that an edit model is shown with every sample, placed by `method`. `on_cuda` decides what the compute
    dtype `auto` is and what norms keep."""

    name: str
    configuration: Any
    example: Mapping[str, torch.Tensor]
    stride: int
    frame_stride: int
    on_cuda: bool = True
    sampling: Any | None = None
    weight_bytes: int = 0
    image_channels: int = 0
    references: Mapping[str, torch.Tensor] = field(default_factory=dict[str, torch.Tensor])
    method: ReferenceMethod = ReferenceMethod.AUTO
    frame_cycle: Sequence[int] = ()
    _counted: dict[str, StepMemory] = field(default_factory=dict[str, StepMemory], init=False, repr=False)
    _networks: dict[Weights, ValueFreeNetwork] = field(
        default_factory=dict[Weights, ValueFreeNetwork], init=False, repr=False
    )

    @property
    def smaller_precisions(self) -> tuple[BasePrecision, ...]:
        """Values of base_precision that need less and less memory; none on the CPU, where the MODEL's own weights are
        there besides."""
        dtype: torch.dtype | None = weights_in(self.configuration, None).unet_config.get("dtype")
        if not self.on_cuda or (dtype is not None and dtype.itemsize == 1):
            return ()
        return (BasePrecision.INT8, *([BasePrecision.NVFP4] if has_nvfp4() else []))

    @cached_property
    def block_count(self) -> int:
        """How many blocks can be in main memory, apart from the device's: none where they are the same."""
        return self._network(Weights.MODEL).block_count() if self.on_cuda else 0

    def count(self, setup: Setup) -> StepMemory:
        """The memory of a step. PlanError where the network cannot be run without values, TrainingError where it cannot
        be trained so."""
        network = self._network(setup.weights)
        try:
            memory = self._whole(network, setup)
            apart, here = network.apart_bytes(setup.base)
        except MaskLossError:
            raise
        except _FAILURES as problem:
            raise PlanError(
                f"The memory of {self.name} cannot be planned ({type(problem).__name__}: {problem}). See that the "
                "cache's captions are by this model's CLIP, and report the model if they are."
            ) from problem
        precision, own = setup.base.precision, setup.weights is Weights.MODEL and self.weight_bytes > 0
        as_loaded = own and precision is BasePrecision.AS_LOADED
        differs = abs(self.weight_bytes - memory.parameters) > _SAME_SIZE * memory.parameters
        parameters = self.weight_bytes if as_loaded and differs else memory.parameters
        return memory.with_parameters(max(here, parameters - (apart if self.on_cuda else 0) + here))

    def training_dtype(self, setup: Setup) -> TrainingDtype:
        """What it computes in, which is never `auto`."""
        dtype = setup.run.config.training_dtype
        if dtype is not TrainingDtype.AUTO:
            return dtype
        return TrainingDtype.BF16 if self.on_cuda else TrainingDtype.FP32

    def sample(self, setup: Setup, channels: int) -> Sample:
        """What a sample of latents with so many channels is."""
        width, height = (side // self.stride for side in setup.size)
        shape = (channels, self._latent_frames(setup.frames), height, width)
        given = {**self.example, **{name: torch.zeros(value.shape) for name, value in self.references.items()}}
        if self.image_channels:
            given[holes_of(self.image_channels, channels) or IMAGE] = torch.zeros(1, self.image_channels, *shape[1:])
        return Sample(shape, given)

    def largest_size(self, cache: LatentCache) -> tuple[tuple[int, int], int]:
        """(width, height) in pixels and frames of the cache's largest latents."""
        _, frames, height, width = max((entry.latent_shape for entry in cache.entries), key=lambda each: prod(each[1:]))
        whole = next(count for count in count_from(1) if self._latent_frames(count) == frames)
        return (width * self.stride, height * self.stride), whole

    def _latent_frames(self, frames: int) -> int:
        if not self.frame_cycle:
            return (frames - 1) // self.frame_stride + 1
        whole, rest = divmod(frames, sum(self.frame_cycle))
        return whole * len(self.frame_cycle) + sum(end <= rest for end in accumulate(self.frame_cycle))

    def _network(self, weights: Weights) -> ValueFreeNetwork:
        if weights not in self._networks:
            dtype = None if weights is Weights.MODEL else _DTYPES[weights]
            configuration = weights_in(self.configuration, dtype)
            self._networks[weights] = ValueFreeNetwork(configuration, self.sampling, self.image_channels, self.method)
        return self._networks[weights]

    def _whole(self, network: ValueFreeNetwork, setup: Setup) -> StepMemory:
        """With all blocks on the device; counted once."""
        key = repr(replace(setup, base=BaseConfig(setup.base.precision)))
        if key not in self._counted:
            lengths = network.run_lengths()
            self._counted[key] = extrapolate_step(lengths, lambda short: self._count(network, short, setup))
        return self._counted[key]

    def _count(self, network: ValueFreeNetwork, lengths: Sequence[int], setup: Setup) -> StepMemory:
        dtype = self.training_dtype(setup)
        run = setup.run.computing_in(dtype)
        dropout = run.lora.dropout > 0
        base = BaseConfig(setup.base.precision)
        with network.open(self.example, dtype, lengths, self.on_cuda, dropout, base) as opened:
            return count_step(opened, self.sample(setup, opened.denoiser.latent_channels), run)


def planned_by_name(name: str, weights: Weights = Weights.MODEL) -> ComfyPlannedModel:
    """A published model without any weights, kept in `weights`, `model` being bf16. SettingError for another name."""
    model = full_size_models().get(name)
    if model is None:
        raise SettingError(f"{name!r} is no model that is known by name; choose {', '.join(full_size_models())}.")
    configuration = model.configuration(_DTYPES.get(weights, torch.bfloat16))
    return ComfyPlannedModel(name, configuration, model.caption.embeddings(), model.stride, model.frame_stride)


def device_memory(device: torch.device) -> Device:
    """What training on it may take: on a card all that other programs leave, for ComfyUI's own is given back."""
    management: Any = importlib.import_module("comfy.model_management")
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return Device(free + torch.cuda.memory_reserved(device))
    return Device(int(management.get_total_memory(device)), main_memory=device.type == "cpu")


def free_memory(device: torch.device) -> Device:
    """The same, but of the computer's own memory only what is free now."""
    whole = device_memory(device)
    management: Any = importlib.import_module("comfy.model_management")
    return replace(whole, memory=int(management.get_free_memory(device))) if whole.main_memory else whole


def planned_model(
    model: Any, cache: LatentCache | None, method: ReferenceMethod = ReferenceMethod.AUTO
) -> ComfyPlannedModel:
    """A MODEL, with the longest caption and the most control images of the cache; nothing of it is loaded or changed.
    TrainingError where it cannot be trained, or without a cache where it is not known what its captions look like."""
    image_channels = supported_image_channels(model)
    configuration = model.model.model_config
    kind = type(configuration).__name__
    references: Mapping[str, torch.Tensor] = {}
    if cache is None:
        caption = caption_shape_of(kind)
        if caption is None:
            raise TrainingError(f"It is not known what captions of {kind} look like; connect a cache with captions.")
        example: Mapping[str, torch.Tensor] = caption.embeddings()
    else:
        example = cache.text(max(cache.entries, key=lambda entry: len(entry.caption)))
        if takes_references(model.model, method):
            references = cache.references(max(cache.entries, key=lambda entry: entry.references))
    known = next((each for each in full_size_models().values() if each.kind == kind), None)
    latents = model.model.latent_format
    return ComfyPlannedModel(
        type(model.model).__name__,
        configuration,
        example,
        known.stride if known else int(getattr(latents, "spacial_downscale_ratio", 8)),
        known.frame_stride if known else int(getattr(latents, "temporal_downscale_ratio", 1)),
        torch.device(model.load_device).type == "cuda",
        model.get_model_object("model_sampling"),
        int(model.model_size()),
        image_channels,
        references,
        effective_method(model.model, method),
        frame_cycle(model.model),
    )
