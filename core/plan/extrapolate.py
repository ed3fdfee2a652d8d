"""The memory of a network with many equal blocks, from such with few of them.

Every block that is added to a run of equal ones adds the same at each place of a step: its parameters, its adapters,
what it keeps for the backward pass. So two lengths tell all others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from .counting import Place
from .trial import StepMemory

# A first, an inner and a last block: what an inner one adds shows with the next.
SHORTEST = 3

CountStep = Callable[[Sequence[int]], StepMemory]


def extrapolate_step(lengths: Sequence[int], count: CountStep) -> StepMemory:
    """The memory of a step with runs of so many blocks each; `count` counts one with runs of the lengths that it is
    given. Runs of one length are made longer together."""
    fewest = [min(SHORTEST, length) for length in lengths]
    base = count(fewest)
    result = _Sum(base)
    for length in sorted({each for each in lengths if each > SHORTEST}):
        longer = [few + (each == length) for few, each in zip(fewest, lengths, strict=True)]
        result.add(count(longer), base, length - SHORTEST)
    return result.memory()


class _Sum:
    def __init__(self, base: StepMemory) -> None:
        self._kept = [base.parameters, base.adapters, base.optimizer, base.operations]
        self._peaks: dict[Place, int] = dict(base.peaks)

    def add(self, longer: StepMemory, base: StepMemory, times: int) -> None:
        pairs = zip(
            (longer.parameters, longer.adapters, longer.optimizer, longer.operations),
            (base.parameters, base.adapters, base.optimizer, base.operations),
            strict=True,
        )
        self._kept = [kept + times * (more - less) for kept, (more, less) in zip(self._kept, pairs, strict=True)]
        for place, peak in self._peaks.items():
            self._peaks[place] = peak + times * (longer.peaks[place] - base.peaks[place])

    def memory(self) -> StepMemory:
        parameters, adapters, optimizer, operations = self._kept
        return StepMemory(parameters, adapters, optimizer, self._peaks, operations)
