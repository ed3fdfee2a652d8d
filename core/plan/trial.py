"""One training step whose memory is counted, by the code that trains: on tensors without values, or on real ones.

Shapes: B batch, C channels, T latent frames, h, w latent grid. Memory is in bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Mapping
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from ..cache.entries import CacheEntry
from ..cache.store import LatentCache
from ..dataset.items import MaskOrigin
from ..loss import loss_normaliser
from ..mask_weights import MaskLossSettings, Normalization
from ..train.config import LoraConfig, OptimizerConfig, TrainConfig, TrainingDtype
from ..train.denoiser import Denoiser
from ..train.optimizer_step import optimizer_step
from ..train.prior import prior_factors
from ..train.recipe import TrainingRecipe
from ..train.state import TrainState
from ..train.window import ClassSamples, MicroBatch, Window, weigh_samples
from .counting import MemoryCount, Place, storage_key
from .places import Blocks, mark_places
from .value_free import run_without_values

# What a further micro-batch adds is there in the second one already: the gradients of those before.
_MOST_MICRO_BATCHES = 2


@dataclass(frozen=True, eq=False)
class Sample:
    """What one sample is: the shape (C,T,h,w) of its latent and the model conditioning that goes with it."""

    latent_shape: tuple[int, int, int, int]
    conditioning: Mapping[str, torch.Tensor]


@dataclass(frozen=True)
class RunSettings:
    """The settings of a training run that its memory depends on."""

    lora: LoraConfig
    optimizer: OptimizerConfig
    config: TrainConfig
    settings: MaskLossSettings | None = None

    def computing_in(self, dtype: TrainingDtype) -> RunSettings:
        """The same in another compute dtype, and without token routing, which only ever needs less."""
        return replace(self, config=replace(self.config, training_dtype=dtype, background_tokens=1.0))


@dataclass(frozen=True, eq=False)
class Opened:
    """A model to be counted: ready to train, its runs of equal blocks, and in what new tensors are made. `frozen` are
    its weights on the device (None: all of the network's), `held_bytes` those that are kept there in another form, and
    `inside` what an operation takes at most to make a weight of these, beside its result."""

    denoiser: Denoiser
    runs: tuple[Blocks, ...]
    new_tensors: Callable[[], AbstractContextManager[object]]
    as_on_cuda: bool = False
    frozen: tuple[torch.Tensor, ...] | None = None
    held_bytes: int = 0
    inside: int = 0

    def hold_weights(self, count: MemoryCount) -> int:
        """Count the frozen weights, which are there all along; their bytes."""
        network = self.denoiser.module
        own = (*network.parameters(), *network.buffers()) if self.frozen is None else self.frozen
        count.live += self.held_bytes
        return count.track(own) + self.held_bytes


@dataclass(frozen=True)
class StepMemory:
    """The memory of a step: what is there all along, and the most at each place of the step, with all of that in it.
    `operations` are its multiplications and additions (see `MemoryCount`)."""

    parameters: int
    adapters: int
    optimizer: int
    peaks: Mapping[Place, int]
    operations: int = 0

    @property
    def peak(self) -> int:
        """The most at any place."""
        return max(self.peaks.values())

    @property
    def activations(self) -> int:
        """What the peak has beside parameters, adapters and optimizer: activations, gradients, copies."""
        return self.peak - self.parameters - self.adapters - self.optimizer

    def with_parameters(self, parameters: int) -> StepMemory:
        """The same with frozen weights of so many bytes."""
        more = parameters - self.parameters
        peaks = {place: peak + more for place, peak in self.peaks.items()}
        return replace(self, parameters=parameters, peaks=peaks)


def count_step(opened: Opened, sample: Sample, run: RunSettings) -> StepMemory:
    """Train one step and count. The optimizer's state is made before it, as it is in every step but the first."""
    count = MemoryCount()
    denoiser = opened.denoiser
    with torch.inference_mode(False), torch.enable_grad(), count, run_without_values(opened.as_on_cuda):
        parameters = opened.hold_weights(count)
        state, window = _ready(opened, sample, run, count)
        count.track(state.adapters.parameters)
        adapters = _storage_bytes(state.adapters.parameters)
        state.make_optimizer_state(opened.new_tensors)
        optimizer = count.live - parameters - adapters - window_bytes(window)
        count.forget_peaks()
        with state.adapters.attach(), mark_places(count, opened.runs):
            optimizer_step(denoiser, state, window, run.settings, run.config, lambda: None)
        peaks = {place: peak + opened.inside for place, peak in count.peaks.items()}
        return StepMemory(parameters, adapters, optimizer, peaks, count.operations)


@contextmanager
def repeated_step(opened: Opened, sample: Sample, run: RunSettings) -> Generator[Callable[[], None]]:
    """A function that trains a step on noise whenever it is called, for it to be timed."""
    with torch.inference_mode(False), torch.enable_grad():
        state, window = _ready(opened, sample, run, MemoryCount())
        generator = torch.Generator().manual_seed(0)
        for micro in window.micro_batches:
            micro.raw_BCThw.normal_(generator=generator)
            micro.noise_BCThw.normal_(generator=generator)
        with state.adapters.attach():

            def step() -> None:
                optimizer_step(opened.denoiser, state, window, run.settings, run.config, lambda: None)

            yield step


def _ready(opened: Opened, sample: Sample, run: RunSettings, count: MemoryCount) -> tuple[_CountedState, Window]:
    recipe = TrainingRecipe(_no_cache(), run.settings, run.lora, run.optimizer, run.config)
    with opened.new_tensors():
        state = _CountedState(opened.denoiser, recipe, count)
        shape = (run.config.batch_size, *sample.latent_shape)
        latents_BCThw, noise_BCThw = torch.zeros(shape), torch.ones(shape)
    return state, _window(opened.denoiser, sample, run, latents_BCThw, noise_BCThw)


def window_bytes(window: Window) -> int:
    """Bytes of what a window holds, each storage once."""
    tensors: list[torch.Tensor] = []
    for micro in window.micro_batches:
        tensors += [micro.raw_BCThw, micro.noise_BCThw, micro.t_B]
        tensors += [micro.mask_B1Thw, micro.weights_B1Thw, micro.prior_B1Thw, micro.scale_B]
        tensors += [micro.of_class.region_K1Thw] if micro.of_class else []
    return _storage_bytes(tensors)


def _storage_bytes(tensors: Iterable[torch.Tensor]) -> int:
    return sum({storage_key(each): each.untyped_storage().nbytes() for each in tensors}.values())


class _CountedState(TrainState):
    def __init__(self, denoiser: Denoiser, recipe: TrainingRecipe, count: MemoryCount) -> None:
        super().__init__(denoiser, recipe)
        self._count = count

    def make_optimizer_state(self, new_tensors: Callable[[], AbstractContextManager[object]]) -> None:
        """By an update with gradients of zero."""
        with new_tensors():
            for parameter in self.adapters.parameters:
                parameter.grad = torch.zeros_like(parameter)
        self.update(0.0, None, None, 1.0, 0.0, ())
        self.zero_grad()

    def clip(self) -> float | None:
        self._count.place = ("update", 0, 0)
        return super().clip()


def _no_cache() -> LatentCache:
    return LatentCache(Path(), "", "", ())


def _window(
    denoiser: Denoiser, sample: Sample, run: RunSettings, latents_BCThw: torch.Tensor, noise_BCThw: torch.Tensor
) -> Window:
    """Masks over the left half of each latent. They have values, because a step reads them."""
    batch = run.config.batch_size
    half_B1Thw = torch.zeros(batch, 1, *sample.latent_shape[1:])
    half_B1Thw[..., : max(1, sample.latent_shape[-1] // 2)] = 1.0
    every = torch.ones(batch, dtype=torch.bool)
    t_B = torch.full((batch,), _timestep(run.settings))
    weighed = weigh_samples(half_B1Thw, every, every, t_B, run.settings, run.config, denoiser)
    micro = MicroBatch(
        tuple(_entry(sample) for _ in range(batch)), latents_BCThw, (sample.conditioning,) * batch, noise_BCThw, t_B,
        tuple(range(batch)), weighed.mask_B1Thw, weighed.weights_B1Thw, weighed.prior_B1Thw, weighed.scale_B,
        weighed.prior_scale_B, of_class=_of_class(sample, run, weighed.dop_B1Thw),
    )  # fmt: skip
    count = min(run.config.gradient_accumulation_steps, _MOST_MICRO_BATCHES)
    normalization = run.settings.normalization if run.settings else Normalization.PER_SAMPLE
    normaliser = loss_normaliser(weighed.weights_B1Thw.double(), sample.latent_shape[0], normalization) * count
    prior = torch.tensor(float(batch * count), dtype=torch.float64)
    return Window((micro,) * count, normaliser, prior, (), 0.5)


def _of_class(sample: Sample, run: RunSettings, region_B1Thw: torch.Tensor) -> ClassSamples | None:
    """As if every caption had a trigger."""
    if run.settings is None or not run.settings.triggers:
        return None
    rows = range(len(region_B1Thw))
    return ClassSamples(tuple(rows), tuple(sample.conditioning for _ in rows), region_B1Thw)


def _timestep(settings: MaskLossSettings | None) -> float:
    """One at which prior preservation acts, where it is on."""
    if settings is None:
        return 0.5
    t_B = torch.linspace(0.01, 0.99, 99)
    return float(t_B[prior_factors(settings, t_B).argmax()])


def _entry(sample: Sample) -> CacheEntry:
    return CacheEntry("planned", "", MaskOrigin.FILE, 0.5, 1, (0, 0), (0, 0), sample.latent_shape, "", "", "", 0)
