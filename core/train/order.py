"""In which order the items come: a pure function of the seed and the position, so that a resumed run needs no more
than its step."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ..cache.entries import CacheEntry
from .config import TrainConfig


@dataclass(frozen=True)
class Occurrence:
    """The `repeat`-th time (0-based) in `epoch` that the entry with index `entry` comes."""

    epoch: int
    entry: int
    repeat: int


def stream_seed(*parts: int | str) -> int:
    """A generator's seed, [0, 2^63), that depends on all `parts` and on nothing else."""
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode("utf-8")).digest()[:8], "big") >> 1


class TrainingOrder:
    """Every entry, times its repeats, once per epoch, in batches whose latents have one shape.

    The items are shuffled over all shapes and a batch leaves when it is full, so that four batches of one are the
    same items as one batch of four wherever an epoch's length allows; what is left over ends the epoch, in short ones.
    """

    def __init__(self, shapes: Sequence[tuple[int, ...]], repeats: Sequence[int], batch_size: int, seed: int) -> None:
        self._shapes = tuple(shapes)
        self._items = [(entry, repeat) for entry, times in enumerate(repeats) for repeat in range(times)]
        self._batch_size = batch_size
        self._seed = seed
        self._epoch = -1
        self._batches: tuple[tuple[Occurrence, ...], ...] = ()
        self.batches_per_epoch = len(self._arrange(0))

    @classmethod
    def of(cls, entries: Sequence[CacheEntry], config: TrainConfig) -> TrainingOrder:
        """That of a run which trains on these entries."""
        shapes, repeats = [entry.latent_shape for entry in entries], [entry.repeats for entry in entries]
        return cls(shapes, repeats, config.batch_size, config.seed)

    def batch(self, position: int) -> tuple[Occurrence, ...]:
        """The `position`-th batch (0-based) since the run began."""
        epoch, index = divmod(position, self.batches_per_epoch)
        if epoch != self._epoch:
            self._epoch, self._batches = epoch, self._arrange(epoch)
        return self._batches[index]

    def _arrange(self, epoch: int) -> tuple[tuple[Occurrence, ...], ...]:
        generator = torch.Generator().manual_seed(stream_seed("order", self._seed, epoch))
        batches: list[tuple[Occurrence, ...]] = []
        open_batches: dict[tuple[int, ...], list[Occurrence]] = {}
        for index in torch.randperm(len(self._items), generator=generator).tolist():
            entry, repeat = self._items[index]
            batch = open_batches.setdefault(self._shapes[entry], [])
            batch.append(Occurrence(epoch, entry, repeat))
            if len(batch) == self._batch_size:
                batches.append(tuple(open_batches.pop(self._shapes[entry])))
        return (*batches, *(tuple(batch) for batch in open_batches.values()))
