"""Times steps of training on a device."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch

from ..progress import Progress
from .peak import PeakMemory

# Memory is taken and kernels are chosen in the first steps.
WARM_UP = 2


@dataclass(frozen=True)
class Timed:
    """Seconds of each step, and the most bytes that were taken; None where nobody tells."""

    seconds: tuple[float, ...]
    peak: int | None

    @property
    def median(self) -> float:
        """Of the steps' seconds."""
        return statistics.median(self.seconds)

    @property
    def spread(self) -> float:
        """The standard deviation of the steps' seconds."""
        return statistics.pstdev(self.seconds)


def time_steps(
    step: Callable[[], None], steps: int, device: torch.device, memory: PeakMemory, progress: Progress
) -> Timed:
    """Make so many steps, and a few before them that do not count. `memory` is told to forget what was before."""
    taken: list[float] = []
    for number in range(steps + WARM_UP):
        if number == 1:
            memory.forget()
        _finish(device)
        started = time.perf_counter()
        step()
        _finish(device)
        taken.append(time.perf_counter() - started)
        progress.update(number + 1, steps + WARM_UP, f"{taken[-1]:.3g} s")
    return Timed(tuple(taken[WARM_UP:]), memory.peak)


def _finish(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
