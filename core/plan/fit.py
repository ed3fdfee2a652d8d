"""Whether a training run fits a device, with a margin for what no count of tensors sees."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from .trial import StepMemory

GIB = 2**30
# Devices by their memory, in GiB.
CLASSES_GIB = (8, 12, 16, 24, 32, 48, 80)
# The CUDA context, the libraries' workspaces, and what else the driver keeps.
RESERVE_BYTES = 768 * 2**20
# Of all that is allocated: rounding to whole blocks, and gaps between them.
ROUNDING = 0.05
# Of a device's memory, kept free of weights where not all of them fit; the others are fetched as layers run.
FREE_FRACTION = 0.3


class Fit(str, Enum):
    """What happens to a training that cannot fit its device: it is refused, or tried nevertheless. With `checkpoint`
    one that does not fit whole gets gradient checkpointing, and is refused where it cannot fit with that either.
    `shard`: the frozen blocks are sharded over the devices that train together, and what cannot fit so is refused."""

    REFUSE = "refuse"
    INSIST = "insist"
    CHECKPOINT = "checkpoint"
    SHARD = "shard"


class Verdict(str, Enum):
    """`fits` whole; `fetched`: only while ComfyUI keeps weights in main memory and fetches them in every pass, which
    takes several times as long; `too_large`: not at all."""

    FITS = "fits"
    FETCHED = "fetched"
    TOO_LARGE = "too_large"


@dataclass(frozen=True)
class Device:
    """Memory in bytes that a run may take. `main_memory`: it is the computer's own, of which nothing is reserved and to
    which no weights can be fetched."""

    memory: int
    main_memory: bool = False


def needed_bytes(memory: StepMemory, device: Device | None = None) -> int:
    """The peak with its margin."""
    if device is not None and device.main_memory:
        return memory.peak
    return round(memory.peak * (1 + ROUNDING)) + RESERVE_BYTES


def verdict(memory: StepMemory, device: Device, held: bool = False) -> Verdict:
    """Whether a step fits the device. `held`: the frozen weights are ours to keep there, so that none can be fetched by
    ComfyUI."""
    needed = needed_bytes(memory, device)
    if needed <= device.memory:
        return Verdict.FITS
    beside = needed - round(memory.parameters * (1 + ROUNDING))
    if not (device.main_memory or held) and beside <= device.memory * FREE_FRACTION:
        return Verdict.FETCHED
    return Verdict.TOO_LARGE


def class_device(gib: int) -> Device:
    """A device of one of the classes."""
    return Device(gib * GIB)


def gib(count: float) -> str:
    """Bytes in GiB, for people."""
    return f"{count / GIB:.1f} GiB"
