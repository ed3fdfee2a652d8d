"""Work on many pieces by other processes, of this machine or of several: what goes there, and what comes back."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

from .errors import ItemsFailedError, SettingError, UserError

A = TypeVar("A")
B = TypeVar("B")


@dataclass(frozen=True, eq=False)
class Piece(Generic[A]):
    """`content` is what is worked on, `items` are the names of the dataset's items in it. Where a `problem` was met
    already, an error's text, nothing is sent anywhere: the piece counts as failed."""

    items: tuple[str, ...]
    content: A
    problem: str = ""


class Spread(Protocol):
    """Other processes that do pieces of a step's work."""

    def map(self, work: Callable[[A], B], pieces: Iterable[Piece[A]]) -> Generator[tuple[Piece[A], B]]:
        """`work` on the content of each piece, in whichever process is free; results come as they get done, and pieces
        are taken as there is room for them.

        `work` and contents are pickled: models in them are loaded anew where they are needed, ledgers opened there. A
        piece whose process ended is done again by another one, so that work must bear to be done twice. Warnings of the
        work are given here. ItemsFailedError after the last piece, where some failed.
        """
        ...


def map_here(work: Callable[[A], B], pieces: Iterable[Piece[A]]) -> Generator[tuple[Piece[A], B]]:
    """The same work in this process, one piece after the other; what goes wrong is raised as it comes."""
    for piece in pieces:
        yield piece, work(piece.content)


class Failures:
    """What went wrong with which items, where the work goes on without them."""

    def __init__(self, spread: Spread | None) -> None:
        """Without `spread` the first failure stops the work, as ever."""
        self._stops = spread is None
        self.reasons: dict[str, str] = {}

    @contextmanager
    def of(self, name: str) -> Generator[None]:
        """Work on the item `name`. A SettingError, which is wrong for all of them, always stops the work."""
        try:
            yield
        except SettingError:
            raise
        except UserError as error:
            if self._stops:
                raise
            self.reasons[name] = str(error)


@contextmanager
def collect_failures(spread: Spread | None) -> Generator[Failures]:
    """Failures of the block's work on items; ItemsFailedError at its end where there were some."""
    failures = Failures(spread)
    yield failures
    if failures.reasons:
        raise ItemsFailedError(failures.reasons)
