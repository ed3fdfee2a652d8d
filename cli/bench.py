"""`maskloss bench`: how long a step of training takes on this computer, for the table of measured devices."""

from __future__ import annotations

import datetime
from contextlib import nullcontext, suppress
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch

from ..core.comfy.find import comfyui_version, require_comfyui
from ..core.comfy.model.denoiser import open_denoiser
from ..core.comfy.model.planned import ComfyPlannedModel, device_memory, planned_by_name
from ..core.comfy.model.random_model import random_model
from ..core.errors import TrainingError
from ..core.host import LocalHost
from ..core.plan.bench import Timed, time_steps
from ..core.plan.fit import GIB, Verdict, gib, needed_bytes, verdict
from ..core.plan.measured import OWN, Measurement, add_measurement, device_name
from ..core.plan.peak import PeakMemory
from ..core.plan.setup import Setup
from ..core.plan.trial import Opened, StepMemory, repeated_step
from .plan import Asked, setup_of, with_cache


def bench(asked: Asked, steps: int, table: Path | None) -> None:
    """Time steps of a published model with random weights, print the entry, and append it to the table. TrainingError
    where it does not fit the device."""
    setup = setup_of(asked)
    require_comfyui(gpu=True)
    device = torch.device("cuda", torch.cuda.current_device()) if torch.cuda.is_available() else torch.device("cpu")
    planned = replace(planned_by_name(asked.model, setup.weights), on_cuda=device.type == "cuda")
    setup = with_cache(setup, asked, planned)
    host = LocalHost()
    host.label = "bench"
    memory, room = planned.count(setup), device_memory(device)
    if verdict(memory, room, setup.base.holds_weights) is Verdict.TOO_LARGE:
        raise TrainingError(
            f"{planned.name} with these settings ({setup.words}) needs {gib(needed_bytes(memory, room))}, and the "
            f"device has {gib(room.memory)}; `maskloss plan {planned.name}` says what needs less."
        )
    print(f"{planned.name}: {setup.words}; planned peak {gib(memory.peak)}.")
    measured = _entry(planned, setup, memory, _timed(planned, setup, steps, device, host), device)
    print(f"\n{measured.to_toml()}")
    path = table or OWN
    add_measurement(path, measured)
    print(f"Written to {path}; the memory plan reads it." if table is None else f"Written to {path}.")


def _timed(planned: ComfyPlannedModel, setup: Setup, steps: int, device: torch.device, host: LocalHost) -> Timed:
    memory = PeakMemory(device)
    run = setup.run.computing_in(planned.training_dtype(setup))
    generator = torch.Generator().manual_seed(1)
    example = {
        name: torch.randn(each.shape, generator=generator) if each.is_floating_point() else each
        for name, each in planned.example.items()
    }
    with open_denoiser(
        random_model(planned.configuration), example, dtype=run.config.training_dtype, base=setup.base
    ) as denoiser:
        sample = planned.sample(setup, denoiser.latent_channels)
        with repeated_step(Opened(denoiser, (), nullcontext), replace(sample, conditioning=example), run) as step:
            return time_steps(step, steps, device, memory, host.progress())


def _entry(
    planned: ComfyPlannedModel, setup: Setup, memory: StepMemory, timed: Timed, device: torch.device
) -> Measurement:
    run, config = setup.run, setup.run.config
    return Measurement(
        device=device_name(device),
        device_gib=round(_device_bytes(device) / GIB, 1),
        model=planned.name,
        width=setup.size[0],
        height=setup.size[1],
        frames=setup.frames,
        batch_size=config.batch_size,
        rank=run.lora.rank,
        algorithm=run.lora.algorithm.value,
        optimizer=run.optimizer.name.value,
        gradient_checkpointing=config.gradient_checkpointing,
        training_dtype=planned.training_dtype(setup).value,
        weights=setup.weights.value,
        base_precision=setup.base.precision.value,
        blocks_in_main_memory=setup.base.blocks_in_main_memory,
        compile_blocks=setup.base.compile_blocks,
        operations=round(memory.operations / 1e12, 4),
        steps=len(timed.seconds),
        seconds=round(timed.median, 4),
        spread=round(timed.spread, 4),
        peak_gib=round((timed.peak or 0) / GIB, 3),
        planned_gib=round(memory.peak / GIB, 3),
        versions=_versions(),
        date=datetime.datetime.now(datetime.timezone.utc).date().isoformat(),
    )


def _device_bytes(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.get_device_properties(device).total_memory
    return device_memory(device).memory


def _versions() -> str:
    known: list[Any] = [f"torch {torch.__version__}", f"ComfyUI {comfyui_version()}"]
    with suppress(PackageNotFoundError):
        known.append(f"maskloss {version('maskloss')}")
    return ", ".join(known)
