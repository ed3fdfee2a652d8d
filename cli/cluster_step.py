"""One step of a prompt on a cluster: what is to be done, who has it, and what came of it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..core.errors import DatasetError
from ..core.spread import Piece

_WINDOW = 4  # pieces for each worker, of which each takes those that it knows first
_MOST_FAILED = 20  # items, where no piece went well


@dataclass(eq=False)
class Pending:
    """A piece, and how many processes ended while they worked on it."""

    piece: Piece[Any]
    ends: int = 0


@dataclass(eq=False)
class Slot:
    """A place for a process. `starting` is the reference to its first answer, until that is there; `given` what it has,
    by the references to its answers; `starts` how often it was started since it last did a piece, `started` when, in
    seconds since 1970."""

    number: int
    actor: Any = None
    starting: Any = None
    starts: int = 0
    started: float = 0.0
    given: dict[Any, Pending] = field(default_factory=dict)


@dataclass(eq=False)
class Step:
    """`work` on the pieces of `source`. `sent` is the reference to the pickled work, once there is any; `ended` counts
    processes that ended."""

    number: int
    work: Callable[[Any], Any]
    source: Iterator[Piece[Any]]
    sent: Any = None
    window: deque[Pending] = field(default_factory=deque)
    failed: dict[str, str] = field(default_factory=dict)
    done: int = 0
    ended: int = 0
    is_over: bool = False
    _is_exhausted: bool = False
    _started: float = field(default_factory=time.monotonic)

    def fill(self, workers: int) -> None:
        """Take pieces until there are enough to choose from."""
        while not self._is_exhausted and len(self.window) < _WINDOW * workers:
            piece = next(self.source, None)
            if piece is None:
                self._is_exhausted = True
            elif piece.problem:
                self.fail(dict.fromkeys(piece.items, piece.problem))
            else:
                self.window.append(Pending(piece))

    def choose(self, worker: int, knows: Mapping[str, int]) -> Pending:
        """A piece whose photograph this worker knows; else one that nobody knows; else the first. `knows`: which worker
        an item was at."""

        def strangeness(index: int) -> int:
            known = knows.get(self.window[index].piece.items[0])
            return 0 if known == worker else 1 if known is None else 2

        best = min(range(len(self.window)), key=strangeness)
        pending = self.window[best]
        del self.window[best]
        return pending

    def fail(self, reasons: Mapping[str, str]) -> None:
        """Note that items failed. DatasetError where so many did, and nothing else, that it is not for the items."""
        self.failed.update(reasons)
        if self.done == 0 and len(self.failed) >= _MOST_FAILED:
            name, reason = next(iter(self.failed.items()))
            raise DatasetError(f"The first {len(self.failed)} items all failed, so no more are tried. {name}: {reason}")

    def summary(self, workers: int) -> str:
        """What was done, for people."""
        seconds = time.monotonic() - self._started
        parts = [f"{self.done} done by {workers} workers in {seconds:.1f} s, {self.done / seconds:.2f} a second"]
        parts += [f"{len(self.failed)} failed"] if self.failed else []
        parts += [f"{self.ended} workers ended and were replaced"] if self.ended else []
        return "; ".join(parts)
