"""The same work on every item of a dataset, by other processes: what is done already is found here, the rest goes to
them."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, Protocol, TypeVar

from ..dataset.items import DatasetItem
from ..errors import SettingError, UserError
from ..model_runs import name_picture_in_errors
from ..progress import SILENT, Progress
from ..spread import Piece, Spread
from ..workers import map_in_order, worker_count
from .each_item import Advance

Row = TypeVar("Row")
RowOut = TypeVar("RowOut", covariant=True)


class ItemSteps(Protocol[RowOut]):
    """The work on one item, which can be pickled."""

    def look(self, item: DatasetItem) -> RowOut | None:
        """The row of an item for which nothing is to be made; None for any other."""
        ...

    def photograph(self, item: DatasetItem) -> RowOut:
        """Work on a photograph."""
        ...

    def video(self, item: DatasetItem, advance: Advance) -> RowOut:
        """Work on a video."""
        ...


def each_item_elsewhere(
    items: Sequence[DatasetItem], steps: ItemSteps[Row], spread: Spread, progress: Progress
) -> list[Row]:
    """One row per item, in their order; unchanged items are sent nowhere. ItemsFailedError as `Spread.map`."""
    rows: dict[str, Row] = {}

    def pieces() -> Generator[Piece[DatasetItem]]:
        with closing(map_in_order(partial(_look, steps), items, worker_count())) as looks:
            for item, (row, problem) in zip(items, looks, strict=True):
                if row is None:
                    yield Piece((item.name,), item, problem)
                else:
                    rows[item.name] = row
                    progress.update(len(rows), len(items), item.name)

    progress.update(0, len(items))
    with closing(spread.map(_OneItem(steps), pieces())) as results:
        for piece, row in results:
            rows[piece.content.name] = row
            progress.update(len(rows), len(items), piece.content.name)
    return [rows[item.name] for item in items]


@dataclass(frozen=True, eq=False)
class CountedSteps:
    """Steps whose rows say, as `key`, by how much `count` went up in the process that worked on the item."""

    steps: ItemSteps[dict[str, Any]]
    count: Callable[[], int]
    key: str

    def look(self, item: DatasetItem) -> dict[str, Any] | None:
        return self.steps.look(item)

    def photograph(self, item: DatasetItem) -> dict[str, Any]:
        before = self.count()
        return {**self.steps.photograph(item), self.key: self.count() - before}

    def video(self, item: DatasetItem, advance: Advance) -> dict[str, Any]:
        before = self.count()
        return {**self.steps.video(item, advance), self.key: self.count() - before}


@dataclass(frozen=True, eq=False)
class _OneItem(Generic[Row]):
    steps: ItemSteps[Row]

    def __call__(self, item: DatasetItem) -> Row:
        with name_picture_in_errors(item.name):
            return self.steps.video(item, Advance(SILENT, 1)) if item.is_video else self.steps.photograph(item)


def _look(steps: ItemSteps[Row], item: DatasetItem) -> tuple[Row | None, str]:
    """The row of an unchanged item, or what is wrong with it."""
    try:
        return steps.look(item), ""
    except SettingError:
        raise  # it is wrong for all of them
    except UserError as error:
        return None, str(error)
