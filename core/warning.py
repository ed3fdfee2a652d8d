"""Warnings that a user must still see when the run is over. Any code gives one with `warn`; whoever runs the work
collects them."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Generator
from contextlib import contextmanager
from contextvars import ContextVar

MOST_WARNINGS = 100
LONGEST_WARNING = 2000


class Warnings:
    """The warnings of one piece of work: each text once, in order, at most `MOST_WARNINGS` of them, which are cut after
    `LONGEST_WARNING` characters. Threads may share it."""

    def __init__(self, tell: Callable[[str], None]) -> None:
        """`tell` is given each text as it comes."""
        self._tell = tell
        self._texts: dict[str, None] = {}
        self._more = 0
        self._lock = threading.Lock()

    def add(self, text: str) -> None:
        """Add a text unless it is there already."""
        if len(text) > LONGEST_WARNING:
            text = text[: LONGEST_WARNING - 1] + "…"
        with self._lock:
            if text in self._texts:
                return
            if len(self._texts) < MOST_WARNINGS:
                self._texts[text] = None
            else:
                self._more += 1
        self._tell(text)

    @property
    def texts(self) -> list[str]:
        """The texts; where there were too many, the last one says how many more are in the log."""
        with self._lock:
            more = [f"There were {self._more} more warnings; see the log."] if self._more else []
            return [*self._texts, *more]


_collector: ContextVar[Warnings | None] = ContextVar("maskloss_warnings", default=None)


def warn(text: str) -> str:
    """Warn the user of something that does not stop the work; returns `text`.

    Threads that are started meanwhile need this one's context (`contextvars.copy_context`). Where nobody collects, the
    log has it.
    """
    collector = _collector.get()
    if collector is None:
        logging.getLogger("maskloss").warning(text)
    else:
        collector.add(text)
    return text


def given_warnings() -> list[str]:
    """The warnings given so far in the current work."""
    collector = _collector.get()
    return [] if collector is None else collector.texts


@contextmanager
def collect_warnings(tell: Callable[[str], None] | None = None) -> Generator[Warnings]:
    """Collect the warnings given inside the block. Each is passed to `tell` as well, or without one to whoever collects
    outside of the block."""
    outside = _collector.get()
    into = tell or (logging.getLogger("maskloss").warning if outside is None else outside.add)
    collector = Warnings(into)
    token = _collector.set(collector)
    try:
        yield collector
    finally:
        _collector.reset(token)
