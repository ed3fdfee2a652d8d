"""Reads the next accumulation window from disk while the model works on this one."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from types import TracebackType
from typing import Generic, TypeVar

import torch

from ..workers import use_one_core

SECONDS_BETWEEN_CHECKS = 0.2

_Read = TypeVar("_Read")


class ReadAhead(Generic[_Read]):
    """What `read` returns for start, start + 1, … end − 1, read by one background thread that is one ahead.

    `read` is called for each position once and in order, so the results are those that reading in the loop would give.
    To be used in a `with` block, at whose end the thread is gone, also after an exception. The thread computes with one
    core alone: had it a team of OpenMP's threads as the training has, there were more of them than cores, and then all
    of them fall asleep after every operation and must be woken for the next.
    """

    def __init__(self, read: Callable[[int], _Read], start: int, end: int) -> None:
        self._read = read
        self._next, self._end = start, end
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="maskloss-read-ahead")
        self._pending: Future[_Read] | None = None

    def __enter__(self) -> ReadAhead[_Read]:
        threads = torch.get_num_threads()
        self._thread.submit(use_one_core).result()
        # Not for all further threads of the process.
        torch.set_num_threads(threads)
        self._pending = self._start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._thread.shutdown(wait=True, cancel_futures=True)

    def take(self, check: Callable[[], None]) -> _Read:
        """The next result, waited for where it is not there yet; `check` is called meanwhile, only to be interrupted.

        Raises what `read` raised, in the step that needs it. IndexError after the last one.
        """
        if self._pending is None:
            raise IndexError("nothing is left to read")
        while not self._pending.done():
            check()
            wait([self._pending], SECONDS_BETWEEN_CHECKS)
        result = self._pending.result()
        self._pending = self._start()
        return result

    def _start(self) -> Future[_Read] | None:
        if self._next >= self._end:
            return None
        self._next += 1
        return self._thread.submit(copy_context().run, self._read, self._next - 1)
