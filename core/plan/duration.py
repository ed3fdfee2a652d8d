"""How long a run still takes, from the steps that it has made."""

from __future__ import annotations

import math
import statistics
from collections import deque
from dataclasses import dataclass

# Fewer steps say too little, and the first is no step like the others: memory is taken, kernels are chosen.
LEAST_STEPS = 10
# Of the last steps: a machine may become busy, or free.
_REMEMBERED = 200
# Within so many standard deviations on either side nineteen of twenty runs end.
_SPREAD = 2.0


@dataclass(frozen=True)
class TimeLeft:
    """Seconds that the rest of a run takes: most likely, and between which two."""

    seconds: float
    least: float
    most: float

    @property
    def words(self) -> str:
        """Such as "12 min left (10 min to 15 min)"."""
        least, most = duration(self.least), duration(self.most)
        return f"{duration(self.seconds)} left" + ("" if least == most else f" ({least} to {most})")


class StepTimes:
    """The times at which steps ended, in seconds of any clock; what lies between two belongs to the later one: samples,
    evaluations and saving too."""

    def __init__(self) -> None:
        self._last: float | None = None
        self._seconds: deque[float] = deque(maxlen=_REMEMBERED)

    def step(self, now: float) -> None:
        """A step ended."""
        if self._last is not None:
            self._seconds.append(now - self._last)
        self._last = now

    def left(self, steps: int) -> TimeLeft | None:
        """The time that so many more steps take; None until `LEAST_STEPS` are known, and where none is left."""
        known = len(self._seconds)
        if known < LEAST_STEPS or steps < 1:
            return None
        mean, deviation = statistics.fmean(self._seconds), statistics.stdev(self._seconds)
        # Of the steps to come, and of the mean that they are expected to have.
        spread = _SPREAD * deviation * math.sqrt(steps + steps * steps / known)
        return TimeLeft(mean * steps, max(0.0, mean * steps - spread), mean * steps + spread)


def duration(seconds: float) -> str:
    """For people: "45 s", "12 min", "3.5 h"."""
    if seconds < 99.5:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 99.5 * 60 else f"{seconds / 3600:.1f} h"
