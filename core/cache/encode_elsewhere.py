"""Encodes the missing entries of a cache by other processes, in the batches in which this one would have done it."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass

from ..dataset.load import LoadedClip
from ..errors import ItemsFailedError, UserError
from ..progress import Progress
from ..spread import Piece, Spread
from .encode_missing import Batch, encode_batch, group_batches, load_unless_made, mark_found, rewrite_weights
from .plan import Action, CachingRules, ItemPlan


def encode_elsewhere(
    plans: Sequence[ItemPlan], rules: CachingRules, batch_size: int, progress: Progress, spread: Spread
) -> list[ItemPlan]:
    """Carry out the plans, as `encode_missing` does; only what is to be made goes elsewhere. ItemsFailedError as
    `Spread.map`."""
    work = [plan for plan in plans if plan.action is not Action.NOTHING]
    done = len(plans) - len(work)
    batches: list[Batch] = [[plan] for plan in work if plan.action is Action.WEIGHTS]
    batches += group_batches(work, batch_size)
    found: set[str] = set()
    progress.update(done, len(plans))
    with closing(spread.map(_Encoding(rules), map(_piece, batches))) as results:
        for piece, names in results:
            found.update(names)
            done += len(piece.content)
            progress.update(done, len(plans), piece.content[0].name)
    return mark_found(plans, found)


def _piece(batch: Batch) -> Piece[Batch]:
    return Piece(tuple(dict.fromkeys(plan.item.name for plan in batch)), batch)


@dataclass(frozen=True, eq=False)
class _Encoding:
    """The work on one batch, or on one entry whose weights alone have changed: names of entries that were made already
    come back."""

    rules: CachingRules

    def __call__(self, batch: Batch) -> list[str]:
        if batch[0].action is Action.WEIGHTS:
            return rewrite_weights(batch[0], self.rules)
        loaded: list[tuple[ItemPlan, LoadedClip | None]] = []
        reasons: dict[str, str] = {}
        for plan in batch:
            try:
                loaded.append((plan, load_unless_made(plan)))
            except UserError as error:
                reasons[plan.item.name] = str(error)
        if reasons:
            raise ItemsFailedError(reasons)
        return encode_batch(loaded, self.rules)
