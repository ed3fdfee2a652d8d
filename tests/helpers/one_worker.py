"""Clusters of this process alone: what is sent is pickled and read as between machines, without Ray."""

from __future__ import annotations

import pickle
from collections.abc import Callable, Generator, Iterable
from contextlib import ExitStack
from typing import Any

from maskloss.cli.cluster_models import ModelPlaces, unpickled
from maskloss.cli.cluster_worker import Job, Worker
from maskloss.core.errors import ItemsFailedError, ServerError, UserError
from maskloss.core.spread import Piece
from maskloss.core.warning import warn

# A process that is killed closes nothing. If these were collected they would close their ledgers, at any moment: in the
# middle of another's writing to the same folder, which then would wait for itself.
_KILLED: list[Worker] = []


class OneWorker:
    """Implements Spread. `sent` are the items of every piece that was sent, step by step; before each of the pieces
    numbered in `restarts` the worker is another one, as after a kill."""

    def __init__(self, job: Job, models: ModelPlaces, restarts: frozenset[int] = frozenset()) -> None:
        self._job, self._models, self._restarts = job, models, restarts
        self.worker = Worker(job)
        self.sent: list[list[tuple[str, ...]]] = []
        self._pieces = 0

    def map(self, work: Callable[[Any], Any], pieces: Iterable[Piece[Any]]) -> Generator[tuple[Piece[Any], Any]]:
        content, failed = self._models.pickled(work), {}
        self.sent.append([])
        for piece in pieces:
            if piece.problem:
                failed.update(dict.fromkeys(piece.items, piece.problem))
                continue
            self._pieces += 1
            if self._pieces in self._restarts:
                _KILLED.append(self.worker)
                self.worker = Worker(self._job)
            self.sent[-1].append(piece.items)
            answer = self.worker.do(len(self.sent), lambda: content, pickle.loads(pickle.dumps(piece.content)))
            if answer.fatal:
                raise ServerError(answer.fatal)
            for text in answer.warnings:
                warn(text)
            if answer.problem or answer.reasons:
                failed.update(answer.reasons or dict.fromkeys(piece.items, answer.problem))
            else:
                yield piece, pickle.loads(pickle.dumps(answer.value))
        assert self.worker.finish() == ""
        if failed:
            raise ItemsFailedError(failed)


class PickledHere:
    """Implements Spread without a prompt: `models` are not pickled, everything else of the work is. `sent` are the
    items of every piece."""

    def __init__(self, *models: object) -> None:
        self._models = models
        self.sent: list[tuple[str, ...]] = []

    def map(self, work: Callable[[Any], Any], pieces: Iterable[Piece[Any]]) -> Generator[tuple[Piece[Any], Any]]:
        places, failed = ModelPlaces(), {}
        places.note("models", ("VAE",), [self._models])
        with ExitStack() as opened:
            there = unpickled(places.pickled(work), lambda place: self._models[place.item], opened)
            for piece in pieces:
                if piece.problem:
                    failed.update(dict.fromkeys(piece.items, piece.problem))
                    continue
                self.sent.append(piece.items)
                try:
                    value = there(pickle.loads(pickle.dumps(piece.content)))
                except ItemsFailedError as error:
                    failed.update(error.reasons)
                    continue
                except UserError as error:
                    failed.update(dict.fromkeys(piece.items, str(error)))
                    continue
                yield piece, pickle.loads(pickle.dumps(value))
        if failed:
            raise ItemsFailedError(failed)
