"""In which order the items come: a pure function of the seed and the position, so that a resumed run needs no more
than its step."""

from __future__ import annotations

import hashlib
import math
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from ..cache.chosen_entries import ChosenEntries
from ..cache.entries import CacheEntry
from ..dataset.items import MaskOrigin
from ..errors import TrainingError
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


def learnt_entries(entries: Sequence[CacheEntry]) -> Sequence[CacheEntry]:
    """All but regularisation images."""
    marks = [not entry.regularisation for entry in entries]
    return entries if all(marks) else ChosenEntries(entries, marks)


def regularisation_notes(entries: Sequence[CacheEntry]) -> list[str]:
    """What is said of regularisation images before training. TrainingError where they have several fractions, or there
    is nothing else."""
    learnt = learnt_entries(entries)
    apart = [entry for entry in entries if entry.regularisation]
    count = _regularisation_per_epoch(sum(entry.repeats for entry in learnt), {each.regularisation for each in apart})
    if not apart:
        return []
    masked = sum(entry.origin is not MaskOrigin.NONE for entry in apart)
    return [
        f"Regularisation images: {len(apart)}, {masked} of them with a mask; {count:.4g} in each epoch, "
        f"{apart[0].regularisation:.0%} of it. Inside, outside and coverage are without them."
    ]


class TrainingOrder:
    """Every entry, times its repeats, once per epoch, in batches whose latents have one shape.

    The items are shuffled over all shapes and a batch leaves when it is full, so that four batches of one are the
    same items as one batch of four wherever an epoch's length allows; what is left over ends the epoch, in short ones.

    Regularisation images come for the fraction of each epoch that they have, in passes through all of them, each
    shuffled anew; where a pass is longer than an epoch's part, the next epoch goes on with it.
    """

    def __init__(
        self,
        shapes: Sequence[tuple[int, ...]],
        repeats: Sequence[int],
        batch_size: int,
        seed: int,
        regularisation: Sequence[float] = (),
    ) -> None:
        """By entry: latent shapes, repeats, and what fraction of an epoch regularisation images make up, 0 for others
        (empty: there are none). TrainingError where the fractions differ, or there is nothing else."""
        fractions = tuple(regularisation) or (0.0,) * len(shapes)
        self._shapes = tuple(shapes)
        occurrences = [(entry, repeat) for entry, times in enumerate(repeats) for repeat in range(times)]
        self._items = [each for each in occurrences if fractions[each[0]] == 0]
        self._kept = [each for each in occurrences if fractions[each[0]] > 0]
        self._repeats = tuple(repeats)
        self._per_epoch = _regularisation_per_epoch(len(self._items), {value for value in fractions if value > 0})
        self._batch_size = batch_size
        self._seed = seed
        self._turn: tuple[int, list[int]] = (-1, [])
        self._epoch = -1
        self._batches: tuple[tuple[Occurrence, ...], ...] = ()
        # Where each epoch begins, as far as it is known: with regularisation images not all have as many batches.
        self._starts = [0, len(self._arrange(0))]
        self.batches_per_epoch = self._starts[1]

    @classmethod
    def of(cls, entries: Sequence[CacheEntry], config: TrainConfig) -> TrainingOrder:
        """That of a run which trains on these entries."""
        shapes, repeats = [entry.latent_shape for entry in entries], [entry.repeats for entry in entries]
        regularisation = [entry.regularisation for entry in entries]
        return cls(shapes, repeats, config.batch_size, config.seed, regularisation)

    def batch(self, position: int) -> tuple[Occurrence, ...]:
        """The `position`-th batch (0-based) since the run began."""
        epoch, index = self._place(position)
        if epoch != self._epoch:
            self._epoch, self._batches = epoch, self._arrange(epoch)
        return self._batches[index]

    def epoch_of(self, position: int) -> int:
        """The epoch (0-based) that the `position`-th batch belongs to."""
        return self._place(position)[0]

    def _place(self, position: int) -> tuple[int, int]:
        if not self._kept:
            return divmod(position, self.batches_per_epoch)
        while self._starts[-1] <= position:
            self._starts.append(self._starts[-1] + len(self._arrange(len(self._starts) - 1)))
        epoch = bisect_right(self._starts, position) - 1
        return epoch, position - self._starts[epoch]

    def _arrange(self, epoch: int) -> tuple[tuple[Occurrence, ...], ...]:
        generator = torch.Generator().manual_seed(stream_seed("order", self._seed, epoch))
        items = [Occurrence(epoch, entry, repeat) for entry, repeat in self._items]
        items += [Occurrence(epoch, entry, repeat) for entry, repeat in self._regularisation(epoch)]
        batches: list[tuple[Occurrence, ...]] = []
        open_batches: dict[tuple[int, ...], list[Occurrence]] = {}
        for index in torch.randperm(len(items), generator=generator).tolist():
            shape = self._shapes[items[index].entry]
            batch = open_batches.setdefault(shape, [])
            batch.append(items[index])
            if len(batch) == self._batch_size:
                batches.append(tuple(open_batches.pop(shape)))
        return (*batches, *(tuple(batch) for batch in open_batches.values()))

    def _regularisation(self, epoch: int) -> Iterator[tuple[int, int]]:
        """The regularisation images of an epoch, and which time in it each comes."""
        first, end = (math.floor(number * self._per_epoch + 1e-9) for number in (epoch, epoch + 1))
        for number in range(first, end):
            turn, index = divmod(number, len(self._kept))
            if turn != self._turn[0]:
                generator = torch.Generator().manual_seed(stream_seed("regularisation", self._seed, turn))
                self._turn = turn, torch.randperm(len(self._kept), generator=generator).tolist()
            entry, repeat = self._kept[self._turn[1][index]]
            yield entry, repeat + self._repeats[entry] * (turn - first // len(self._kept))


def _regularisation_per_epoch(learnt: int, fractions: set[float]) -> float:
    """How many regularisation images come beside so many others, so that they are that fraction of all: a mean over the
    epochs."""
    if not fractions:
        return 0.0
    if learnt == 0:
        raise TrainingError(
            "Everything in the cache is a regularisation image, so there is nothing to learn; set regularisation to 0 "
            "for the photographs that are to be learnt."
        )
    if len(fractions) > 1:
        named = " and ".join(f"{fraction:g}" for fraction in sorted(fractions))
        raise TrainingError(
            f"The regularisation images of the cache have the fractions {named}; give them all the same, which they "
            "have together."
        )
    (fraction,) = fractions
    return learnt * fraction / (1.0 - fraction)
