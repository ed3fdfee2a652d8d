"""The parts of the card benchmark, each run in a process of its own: rows are written as they are found.

A case that fails, for want of memory or otherwise, is a row with the reason, and the next one goes on.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Generator, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from typing import Any

import comfy.sample
import torch
from maskloss.core.comfy.model.architectures import repeated_blocks
from maskloss.core.comfy.model.denoiser import ComfyDenoiser, open_denoiser
from maskloss.core.comfy.model.planned import ComfyPlannedModel
from maskloss.core.errors import MaskLossError
from maskloss.core.frozen.config import BaseConfig, BasePrecision
from maskloss.core.plan.setup import Weights
from maskloss.core.plan.trial import Opened, Sample, repeated_step
from maskloss.core.train.adapters import LoraAdapters
from maskloss.core.train.config import LoraConfig, TrainingDtype

from .card_cases import PARTS, Case
from .card_models import architecture, forget_models, random_model
from .card_rows import Row

CPU = torch.device("cpu")
DTYPES = {Weights.BF16: torch.bfloat16, Weights.FP8: torch.float8_e4m3fn, Weights.FP32: torch.float32}
# What a case may raise without ending its part.
FAILURES = (MaskLossError, RuntimeError, ArithmeticError, LookupError, TypeError, ValueError, OSError)
WARM_UP, MOST_STEPS, LEAST_STEPS = 2, 8, 3
SECONDS_OF_STEPS = 6.0
# Of the small models, for compiling takes its time.
COMPILED = "wan2.2-14b"
# Of a whole run, which the comparison of devices is short for.
TRAINED_STEPS = 6


@dataclass(frozen=True)
class Machine:
    """Where it runs, and whether the models are tiny ones."""

    device: torch.device
    tiny: bool

    @property
    def on_card(self) -> bool:
        return self.device.type == "cuda"


def part_rows(name: str, machine: Machine) -> Iterator[Row]:
    """What a part finds, as it finds it."""
    if name == "agreement":
        yield from agreement(machine)
        return
    model: Any = None
    kept: tuple[Weights, bool] | None = None
    for case in PARTS[name].cases:
        wanted = case.weights, case.swapped > 0 or case.precision is not BasePrecision.AS_LOADED
        try:
            if kept != wanted:
                # What is held otherwise is made from weights in main memory, which then do not count on the card.
                model = None
                give_back()
                home = CPU if wanted[1] else machine.device
                model = random_model(architecture(name, machine.tiny), DTYPES[case.weights], machine.device, home)
                kept = wanted
            yield measured(name, model, case, machine)
        except FAILURES as problem:
            yield Row(name, case.words, found=reason(problem), key=key(name, case))
        gc.collect()


def measured(name: str, model: Any, case: Case, machine: Machine) -> Row:
    """A case's step and peak of memory."""
    blocks = len(repeated_blocks(model.model.diffusion_model))
    full, setup = architecture(name, machine.tiny), case.setup(blocks, machine.tiny, machine.on_card)
    planned = ComfyPlannedModel(
        name, model.model.model_config, full.caption.embeddings(), full.stride, full.frame_stride
    )
    text, dtype = full.caption.embeddings(), setup.run.config.training_dtype
    with torch.inference_mode(), open_denoiser(model, text, dtype=dtype, base=setup.base) as denoiser:
        sample: Sample = planned.sample(setup, denoiser.latent_channels)
        with repeated_step(Opened(denoiser, (), _plain_tensors), sample, setup.run) as step:
            for _ in range(WARM_UP):
                timed(step, machine)
            if machine.on_card:
                torch.cuda.reset_peak_memory_stats()
            seconds = [timed(step, machine)]
            while len(seconds) < LEAST_STEPS or (len(seconds) < MOST_STEPS and sum(seconds) < SECONDS_OF_STEPS):
                seconds.append(timed(step, machine))
            peak = torch.cuda.max_memory_allocated() if machine.on_card else None
        return Row(name, case.words, statistics.median(seconds), peak, denoiser.compiled_note, key(name, case))


def timed(step: Any, machine: Machine) -> float:
    start = time.perf_counter()
    step()
    if machine.on_card:
        torch.cuda.synchronize()
    return time.perf_counter() - start


@contextmanager
def _plain_tensors() -> Generator[None]:
    yield


def key(name: str, case: Case) -> str:
    """What a case's plan goes by."""
    return f"{name}: {replace(case, compiled=False).words}"


def give_back() -> None:
    """What nothing holds any more."""
    gc.collect()
    forget_models()


def reason(problem: BaseException) -> str:
    """A failure in a few words, without what would break a table."""
    if isinstance(problem, torch.OutOfMemoryError):
        return "out of memory"
    line = next((line.strip() for line in str(problem).splitlines() if line.strip()), "")
    return f"failed: {type(problem).__name__}: {line}".replace("|", "/")[:300]


# The same small model on both devices, in every way that must not change what is learnt.
def agreement(machine: Machine) -> Iterator[Row]:
    """Gradients against those in fp32 on the CPU, a short run on both devices, and samples before and after."""
    part = "agreement"
    for name in ("wan2.2-14b", "flux-1-dev", "sdxl"):
        try:
            reference = gradients(name, CPU, TrainingDtype.FP32, BaseConfig())
        except FAILURES as problem:
            yield Row(part, name, found=reason(problem))
            continue
        ways: list[tuple[str, TrainingDtype, BaseConfig]] = [
            ("fp32", TrainingDtype.FP32, BaseConfig()),
            ("bf16", TrainingDtype.BF16, BaseConfig()),
            ("fp32, half the blocks in main memory", TrainingDtype.FP32, BaseConfig(blocks_in_main_memory=2)),
            ("fp32, int8", TrainingDtype.FP32, BaseConfig(BasePrecision.INT8)),
            ("fp32, nvfp4", TrainingDtype.FP32, BaseConfig(BasePrecision.NVFP4)),
        ]
        if name == COMPILED:
            ways.append(("fp32, compiled", TrainingDtype.FP32, BaseConfig(compile_blocks=True)))
        for words, dtype, base in ways:
            try:
                found = gradients(name, machine.device, dtype, base)
                error = float((found - reference).norm() / reference.norm())
                yield Row(part, f"tiny {name}, gradients {words}", found=f"{error:.1e} from fp32 on the CPU")
            except FAILURES as problem:
                yield Row(part, f"tiny {name}, gradients {words}", found=reason(problem))
        try:
            yield Row(part, f"tiny {name}, {TRAINED_STEPS} steps", found=trained_alike(name, machine))
            yield Row(part, f"tiny {name}, sample after training", found=sampled_alike(name, machine))
        except FAILURES as problem:
            yield Row(part, f"tiny {name}, trained", found=reason(problem))


@contextmanager
def adapted(
    name: str, device: torch.device, dtype: TrainingDtype, base: BaseConfig
) -> Generator[tuple[ComfyDenoiser, LoraAdapters]]:
    """A tiny model with the same weights on every device, and a LoRA that already does something."""
    full = architecture(name, tiny=True)
    model = random_model(full, torch.float32, CPU, CPU)
    model.load_device = device
    generator, config = torch.Generator().manual_seed(0), LoraConfig(rank=4, alpha=4)
    with trainable(model, full.caption.embeddings(), dtype, base) as denoiser:
        adapters = LoraAdapters(denoiser.module, config, denoiser.default_targets, generator, device, torch.float32)
        with torch.no_grad():
            for parameter in adapters.parameters:
                parameter.add_((torch.randn(parameter.shape, generator=generator) * 0.05).to(device))
        with adapters.attach():
            yield denoiser, adapters


@contextmanager
def trainable(
    model: Any, text: dict[str, torch.Tensor], dtype: TrainingDtype, base: BaseConfig
) -> Generator[ComfyDenoiser]:
    """The MODEL opened as a node opens it, for a graph to be made."""
    with ExitStack() as stack:
        stack.enter_context(torch.inference_mode())
        denoiser = stack.enter_context(open_denoiser(model, text, dtype=dtype, base=base))
        stack.enter_context(torch.inference_mode(False))
        stack.enter_context(torch.enable_grad())
        yield denoiser


def loss_of(name: str, denoiser: ComfyDenoiser, dtype: TrainingDtype, seed: int) -> torch.Tensor:
    """On noise that depends on the seed alone."""
    generator = torch.Generator().manual_seed(seed)
    shape = (2, denoiser.latent_channels, 1, 8, 8)
    clean, noise = (torch.randn(shape, generator=generator).to(denoiser.device) for _ in range(2))
    t = torch.tensor([0.3, 0.7], device=denoiser.device)
    text = [architecture(name, tiny=True).caption.embeddings()] * 2
    low = dtype is TrainingDtype.BF16
    with torch.autocast(denoiser.device.type, dtype=torch.bfloat16, enabled=low):
        return denoiser.predict(clean, noise, t, text, True).square().mean()


def gradients(name: str, device: torch.device, dtype: TrainingDtype, base: BaseConfig) -> torch.Tensor:
    """Of the LoRA, flat, on the CPU."""
    with adapted(name, device, dtype, base) as (denoiser, adapters):
        loss_of(name, denoiser, dtype, 0).backward()
        return torch.cat(
            [parameter.grad.flatten().cpu() for parameter in adapters.parameters if parameter.grad is not None]
        )


def trained(name: str, device: torch.device, dtype: TrainingDtype) -> torch.Tensor:
    """The LoRA's values after some steps of AdamW, flat, on the CPU."""
    with adapted(name, device, dtype, BaseConfig()) as (denoiser, adapters):
        optimizer = torch.optim.AdamW(adapters.parameters, lr=1e-3)
        for step in range(TRAINED_STEPS):
            optimizer.zero_grad()
            loss_of(name, denoiser, dtype, step).backward()
            optimizer.step()
        return torch.cat([parameter.detach().flatten().cpu() for parameter in adapters.parameters])


def trained_alike(name: str, machine: Machine) -> str:
    """How far short runs on both devices, and in bf16, end from one on the CPU in fp32."""
    expected = trained(name, CPU, TrainingDtype.FP32)
    errors = {
        dtype.value: float((trained(name, machine.device, dtype) - expected).norm() / expected.norm())
        for dtype in (TrainingDtype.FP32, TrainingDtype.BF16)
    }
    return ", ".join(f"{dtype} {error:.1e}" for dtype, error in errors.items()) + " from the CPU's LoRA in fp32"


def sampled_alike(name: str, machine: Machine) -> str:
    """Whether a sample after a training with everything on is the one before it, to the last bit."""
    full = architecture(name, tiny=True)
    model = random_model(full, torch.float32, CPU, CPU)
    model.load_device = machine.device
    before = sampled(model, full.caption.embeddings())
    base = BaseConfig(BasePrecision.INT8, 2)
    with trainable(model, full.caption.embeddings(), TrainingDtype.FP32, base) as denoiser:
        loss_of(name, denoiser, TrainingDtype.FP32, 0)
    after = sampled(model, full.caption.embeddings())
    return "equal to the last bit" if torch.equal(before, after) else f"differs by {float((after - before).norm()):.1e}"


def sampled(model: Any, text: dict[str, torch.Tensor]) -> torch.Tensor:
    """What ComfyUI's own sampler makes in two steps."""
    latents = model.model.latent_format
    sides = (1, 12, 12) if latents.latent_dimensions == 3 else (12, 12)
    shape = (1, latents.latent_channels, *sides)
    conditioning = [[text.pop("cross_attn"), text]]
    with torch.inference_mode():
        noise = torch.randn(shape, generator=torch.Generator().manual_seed(5))
        return comfy.sample.sample(
            model, noise, 2, 1.0, "euler", "simple", conditioning, conditioning, torch.zeros(shape), disable_pbar=True,
            seed=0,
        ).cpu()  # fmt: skip
