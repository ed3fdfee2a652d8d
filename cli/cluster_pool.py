"""Processes of a Ray cluster that work on the pieces of a prompt's steps, as many as asked for.

Ray starts them, where there is room, carries what is sent, and says which one has ended. Which piece goes to which is
decided here: to the one that had the same photograph in the step before where it can be, whose models have found the
faces in it already.
"""

from __future__ import annotations

import logging
import os
import socket
import sys
import time
from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

import ray
from ray.exceptions import RayError, RayTaskError

from ..core.errors import ItemsFailedError, ServerError
from ..core.spread import Piece
from ..core.warning import warn
from .cluster_models import ModelPlaces
from .cluster_step import Pending, Slot, Step
from .cluster_worker import Answer, Job, Worker

A = TypeVar("A")
B = TypeVar("B")

_PER_WORKER = 2  # one piece is worked on, and one is there when that is done
_MOST_ENDS = 5  # of processes that worked on the same piece
_MOST_STARTS = 5  # of one worker in turn, without a piece done
_WAIT_S = 1.0
_REACH_S = 20.0
_STORE_BYTES = 200 << 20


@dataclass(frozen=True)
class PoolOptions:
    """`address`: "local" for a Ray of its own on this machine, "auto" for the cluster that this one belongs to, or a
    cluster's address. `workers`: how many processes, 0 for one on each core, or on each part of a GPU. `gpus`: how much
    of a GPU each has."""

    address: str = "local"
    workers: int = 0
    gpus: float = 0.0


class RayWorker(Worker):
    """A worker as Ray's actor."""

    def do_sent(self, step: int, sent: list[Any], content: Any) -> Answer:
        """`sent`: a reference to the step's work, in a list so that Ray does not fetch it with every piece."""
        return self.do(step, lambda: ray.get(sent[0]), content)


class WorkerPool:
    """Implements `Spread`. Nothing is started before there is a piece to work on."""

    def __init__(self, options: PoolOptions, job: Job, models: ModelPlaces, tell: Callable[[str], None]) -> None:
        self._options, self._job, self._models, self._tell = options, job, models, tell
        self._slots: list[Slot] = []
        self._knows: dict[str, int] = {}
        self._steps = 0
        self._own_ray = False
        self.memory_bytes = 0

    def map(self, work: Callable[[A], B], pieces: Iterable[Piece[A]]) -> Generator[tuple[Piece[A], B]]:
        self._steps += 1
        step = Step(self._steps, work, iter(pieces))
        try:
            while True:
                step.fill(max(1, len(self._slots)))
                if not step.window and not any(slot.given for slot in self._slots):
                    break
                self._start()
                self._give(step)
                yield from self._collect(step)
            step.is_over = True
        finally:
            self._finish(step)
        if step.failed:
            raise ItemsFailedError(step.failed)

    def close(self) -> None:
        """End the processes, and Ray where it was started here."""
        for slot in self._slots:
            self._drop(slot)
        self._slots = []
        if self._own_ray:
            ray.shutdown()

    def _start(self) -> None:
        """See that there is a process, or one that starts, in every place."""
        if not self._slots:
            self._connect()
            self._slots = [Slot(number) for number in range(self._count())]
        for slot in self._slots:
            if slot.actor is None:
                kind = ray.remote(RayWorker).options(
                    num_cpus=1, num_gpus=self._options.gpus, max_restarts=0, max_task_retries=0,
                    scheduling_strategy="SPREAD",
                )  # fmt: skip
                slot.actor = kind.remote(self._job)
                slot.starting, slot.started = slot.actor.ready.remote(), time.time()
                slot.starts += 1

    def _connect(self) -> None:
        if ray.is_initialized():
            return
        own: dict[str, Any] = {}
        if self._options.address == "local":
            cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
            own = {
                "num_cpus": max(cores, self._options.workers), "include_dashboard": False,
                "object_store_memory": _STORE_BYTES,
            }  # fmt: skip
            # Of a Ray that only this program uses nobody is told, and its workers are as important as this process:
            # Ray would have them yield to every other one.
            os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
            os.environ.setdefault("RAY_worker_niceness", "0")
        try:
            _reach(self._options.address)
            ray.init(self._options.address, log_to_driver=False, logging_level=logging.ERROR, **own)
        except (RuntimeError, ValueError, OSError, OverflowError) as error:
            raise ServerError(
                f"There is no Ray to work with at {self._options.address!r} ({_one_line(error)}); start one with `ray "
                f"start` and the same versions of Ray and Python, give its address, or --address local.{self._token()}"
            ) from error
        self._own_ray = True

    def _token(self) -> str:
        """What to do about a cluster that asks for a token, which Ray gives unasked to one that it finds by itself."""
        if self._options.address in ("local", "auto") or "RAY_AUTH_MODE" in os.environ:
            return ""
        return " Where it was started with a token, as where there is ~/.ray/auth_token, set RAY_AUTH_MODE=token."

    def _count(self) -> int:
        if self._options.workers:
            return self._options.workers
        resources = ray.cluster_resources()
        if self._options.gpus:
            return max(1, int(resources.get("GPU", 0) / self._options.gpus))
        return max(1, int(resources.get("CPU", 1)))

    def _give(self, step: Step) -> None:
        """Give out pieces, the first one to each before anybody gets a second."""
        if step.sent is None and step.window:
            step.sent = ray.put(self._models.pickled(step.work))
        for most in range(1, _PER_WORKER + 1):
            for slot in self._slots:
                if slot.actor is None or slot.starting is not None or len(slot.given) >= most or not step.window:
                    continue
                pending = step.choose(slot.number, self._knows)
                ref = slot.actor.do_sent.remote(step.number, [step.sent], pending.piece.content)
                slot.given[ref] = pending

    def _collect(self, step: Step) -> Generator[tuple[Piece[Any], Any]]:
        """The results that are there; it waits until there is something."""
        slots = {ref: slot for slot in self._slots for ref in (slot.starting, *slot.given) if ref is not None}
        ready, _ = ray.wait(list(slots), num_returns=1, timeout=_WAIT_S)
        if ready:
            ready, _ = ray.wait(list(slots), num_returns=len(slots), timeout=0)
        ended: dict[Slot, str] = {}
        for ref in ready:
            slot = slots[ref]
            try:
                answer = ray.get(ref)
            except RayTaskError as error:
                answer = Answer(problem=f"{type(error.cause).__name__}: {error.cause}")
            except RayError as error:
                ended[slot] = str(error)
                continue
            if ref == slot.starting:
                slot.starting = None
                self._check_ready(slot, answer)
                continue
            yield from self._take(step, slot, slot.given.pop(ref), answer)
        for slot, why in ended.items():
            self._replace(step, slot, why)

    def _check_ready(self, slot: Slot, answer: Any) -> None:
        # Another version of this pack may answer otherwise.
        problem = answer.problem if isinstance(answer, Answer) else str(answer)
        if not problem and isinstance(answer, Answer):
            problem = answer.value.problem(slot.started, time.time())
        if problem:
            raise ServerError(problem)

    def _take(self, step: Step, slot: Slot, pending: Pending, answer: Answer) -> Generator[tuple[Piece[Any], Any]]:
        if answer.fatal:
            raise ServerError(answer.fatal)
        slot.starts = 0
        self.memory_bytes = max(self.memory_bytes, answer.memory_bytes)
        for text in answer.warnings:
            warn(text)
        reasons = answer.reasons or (dict.fromkeys(pending.piece.items, answer.problem) if answer.problem else {})
        if reasons:
            step.fail(reasons)
            return
        step.done += 1
        self._knows.update(dict.fromkeys(pending.piece.items, slot.number))
        yield pending.piece, answer.value

    def _replace(self, step: Step, slot: Slot, why: str) -> None:
        """Give what a process had, which has ended, to others; another one takes its place."""
        step.ended += 1
        given = list(slot.given.values())
        self._drop(slot)
        if slot.starts >= _MOST_STARTS:
            last = (why.strip().splitlines() or ["without a word"])[-1]
            raise ServerError(
                f"A worker ended {slot.starts} times in turn without having done anything ({last}); see that the "
                "machines of the cluster have memory for it, and this pack installed as here."
            )
        if not given:
            return
        suspect, *waited = given
        step.window.extendleft(reversed(waited))
        suspect.ends += 1
        if suspect.ends < _MOST_ENDS:
            step.window.append(suspect)  # if it is to blame, the others come first
        else:
            reason = f"{_MOST_ENDS} processes ended while they worked on it, perhaps for want of memory"
            step.fail(dict.fromkeys(suspect.piece.items, reason))

    def _drop(self, slot: Slot) -> None:
        if slot.actor is not None:
            ray.kill(slot.actor)
        slot.actor, slot.starting = None, None
        slot.given.clear()

    def _finish(self, step: Step) -> None:
        """End the step in every process. Those that are in the middle of something, after an error, are ended."""
        if not step.is_over:
            for slot in self._slots:
                self._drop(slot)
            return
        if step.sent is None:
            return
        open_slots = [slot for slot in self._slots if slot.actor is not None and slot.starting is None]
        finishing = [(slot, slot.actor.finish.remote()) for slot in open_slots]
        for slot, ref in finishing:
            try:
                problem = ray.get(ref)
            except RayError:
                step.ended += 1
                self._drop(slot)  # what it noted is in its journal
                continue
            if problem:
                raise ServerError(problem)
        self._tell(step.summary(len(self._slots)))


def _reach(address: str) -> None:
    """OSError where nobody listens at `address`, a host and a port, for which Ray itself would wait for minutes."""
    host, _, port = address.rpartition(":")
    if host and port.isdecimal() and "/" not in host:
        socket.create_connection((host.strip("[]"), int(port)), _REACH_S).close()


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split()).rstrip(".") or type(error).__name__


def tell_on_stderr(text: str) -> None:
    """A line of what the pool has done."""
    sys.stderr.write(f"  {text}\n")
