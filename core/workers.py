"""Maps work over pieces in several threads: results in order, a bounded number held at once."""

from __future__ import annotations

import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from contextvars import copy_context
from typing import TypeVar

import cv2
import torch

from .progress import WorkStopped, check_interrupted, set_interrupt_check

A = TypeVar("A")
B = TypeVar("B")

# Each has a photograph and its masks in memory.
MAX_WORKERS = 8
# Pixels of the photographs that are in memory at once with a mask for everyone in them, up to 100 bytes a pixel.
MAX_PIXELS = 48_000_000
_CHECK_S = 0.05


def worker_count(*models: object) -> int:
    """How many pictures may be worked on at once: one per core, at most 8.

    It is 1 unless every model says `parallel = True`, that several threads may use it at once. Models on a GPU do not,
    nor do those whose library spreads one picture over all cores by itself.
    """
    if not all(getattr(model, "parallel", False) for model in models):
        return 1
    affinity = getattr(os, "sched_getaffinity", None)
    cores = os.cpu_count() or 1 if affinity is None else len(affinity(0))
    return min(cores, MAX_WORKERS)


def map_in_order(work: Callable[[A], B], pieces: Iterable[A], workers: int) -> Generator[B]:
    """`work` on each piece, in `workers` threads; results come in the order of the pieces, equal for any number.

    Work in another thread has the caller's context (`contextvars`), so that its warnings arrive where the caller's do.
    At most one piece per worker and one result more per worker are held, so memory does not grow with the pieces. When
    a piece raises, the work is interrupted, or whoever takes the results stops taking them, nothing new is begun and
    what is under way ends at its next `check_interrupted`. With one worker everything runs in the calling thread, as
    the results are taken.
    """
    if workers == 1:
        for piece in pieces:
            yield work(piece)
        return
    stopped = threading.Event()

    def check() -> None:
        if stopped.is_set():
            raise WorkStopped

    def stoppable(piece: A) -> B:
        with set_interrupt_check(check):
            return work(piece)

    with _use_one_thread_each(), ThreadPoolExecutor(workers, "maskloss", use_one_core) as pool:
        waiting: deque[Future[B]] = deque()
        try:
            for piece in pieces:
                waiting.append(pool.submit(copy_context().run, stoppable, piece))
                if len(waiting) >= 2 * workers:
                    yield _wait_for(waiting.popleft())
            while waiting:
                yield _wait_for(waiting.popleft())
        finally:
            stopped.set()
            for future in waiting:
                future.cancel()


def _wait_for(future: Future[B]) -> B:
    """The future's result; this thread's work can be interrupted while it waits."""
    while not wait((future,), _CHECK_S).done:
        check_interrupted()
    return future.result()


def use_one_core() -> None:
    """Torch computes with one core in the calling thread from now on.

    PyTorch takes this for the number with which all further threads of the process begin, until another is set.
    """
    # Asked for first: a thread takes the process's number when it needs one, whatever was set before.
    torch.get_num_threads()
    torch.set_num_threads(1)


class Budget:
    """An amount of something, shared by threads: a thread that needs more than is left waits until others are done."""

    def __init__(self, total: int) -> None:
        self._total = self._left = total
        self._changed = threading.Condition()

    @contextmanager
    def reserve(self, amount: int) -> Generator[None]:
        """Reserve `amount` inside the block; more than the total reserves all of it, so that the thread works alone."""
        amount = min(amount, self._total)
        with self._changed:
            self._changed.wait_for(lambda: self._left >= amount)
            self._left -= amount
        try:
            yield
        finally:
            with self._changed:
                self._left += amount
                self._changed.notify_all()


@contextmanager
def _use_one_thread_each() -> Generator[None]:
    """OpenCV and torch use one thread for each picture while several are worked on, and as many as before afterwards.

    On two cores two pictures at once are 1.6 times as fast as one picture spread over both.
    """
    opencv, pytorch = cv2.getNumThreads(), torch.get_num_threads()
    cv2.setNumThreads(1)
    try:
        yield
    finally:
        cv2.setNumThreads(opencv)
        # The workers set theirs; the number that threads begin with is one for the whole process.
        torch.set_num_threads(pytorch)
