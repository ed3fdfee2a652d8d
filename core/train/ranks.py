"""The processes that train one LoRA together (torch.distributed), each on its part of every accumulation window.

Every rank plans the whole window: all its weights are read and the loss is divided by the normaliser of all of them, so
that the sum of the ranks' gradients is the gradient of one process with the same window. Only gradients travel, and
some sums for the log. Every rank then makes the same update. What is written, evaluated and sampled comes from
rank 0.

A rank in which something is raised says so in the place of its numbers: the others stop before the same update. One
that dies closes its connections, which the others see.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import Any, TypeVar

import torch
import torch.distributed as dist

from ..errors import InternalError, TrainingError

_NOBODY_ELSE = "no other rank said why"

_Item = TypeVar("_Item")


class OtherRankError(TrainingError):
    """Another rank stopped, and so does this one; the text has that rank and its error."""


class Ranks:
    """One process alone: what the others are told stays here. `rank` is from 0 to `size` − 1."""

    rank, size = 0, 1
    joins: list[Callable[[], object]] = []  # noqa: RUF012 - nobody is ever waited for
    """What is called before this rank waits for the others, who may want something of it in the middle of a pass."""
    stopping = False
    """Whether what stops the run has been told to the others, so that nothing has to stop this rank any more."""

    @property
    def leads(self) -> bool:
        """Whether this is the rank that writes, evaluates, samples and tells the user."""
        return self.rank == 0

    def share(self, items: Sequence[_Item]) -> Sequence[_Item]:
        """This rank's part of `items`: every `size`-th."""
        return items[self.rank :: self.size]

    def from_first(self, compute: Callable[[], _Item]) -> _Item:
        """What `compute` gives in rank 0, everywhere. What it raises there comes as OtherRankError to the others."""
        return compute()

    def stop(self, problem: BaseException) -> None:
        """Rank 0 does not come to its next `from_first`, because of `problem`, which the others are told."""

    def any(self, own: bool) -> bool:
        """Whether it is so in any rank."""
        return own

    def agree(self, facts: Mapping[str, object]) -> None:
        """TrainingError in every rank, naming both sides, where a rank's `facts` are not those of rank 0."""

    def exchange(self, own: tuple[int, ...]) -> list[tuple[int, ...]]:
        """The numbers of each rank, as many from each. All call this and the gathers together, in the middle of a pass
        too."""
        return [own]

    def gather(self, part: torch.Tensor, whole: torch.Tensor | None, to: int | None) -> None:
        """The parts (n,) of all ranks, one after the other, into `whole` (size · n,) in the rank `to`, or in all."""
        if whole is not None:
            whole.copy_(part)

    def gather_ahead(self, part: torch.Tensor, whole: torch.Tensor) -> Callable[[], object]:
        """Begin to `gather` in all ranks; `whole` may be read when what is given back has been called."""
        whole.copy_(part)
        return tuple

    def sum_numbers(self, numbers: Sequence[float]) -> list[float]:
        """Sums over the ranks of as many numbers as `telling` was given. OtherRankError where a rank has stopped."""
        return list(numbers)

    def sum_gradients(self, parameters: Sequence[torch.nn.Parameter]) -> None:
        """Each gradient becomes its sum over the ranks, added up in float32."""

    @contextmanager
    def telling(self, numbers: int) -> Generator[None]:
        """The steps of a run, in each of which so many `numbers` are summed; what is raised inside is told to the
        others. At its end all wait for one another, and for `saved` of rank 0."""
        yield

    def saved(self) -> None:
        """To be called by rank 0 behind `telling`: what was trained is on disk, and the others may go."""


class ProcessRanks(Ranks):
    """The ranks of torch.distributed's process group, which is there already.

    expected: facts, as `agree` takes them, of the program that started the ranks. sent_bytes: what this rank has given
    to be summed so far.
    """

    def __init__(self, expected: Mapping[str, object] | None = None) -> None:
        self.rank, self.size = dist.get_rank(), dist.get_world_size()
        self.sent_bytes = 0
        self._numbers = 0
        self.joins = []
        self._expected = dict(expected or {})

    def from_first(self, compute: Callable[[], _Item]) -> _Item:
        if not self.leads:
            [(value, problem)] = self._broadcast((None, None))
            if problem is not None:
                raise OtherRankError(f"Rank 0 stopped: {problem}")
            return value
        try:
            value = compute()
        except BaseException as problem:
            self.stop(problem)
            raise
        self._broadcast((value, None))
        return value

    def stop(self, problem: BaseException) -> None:
        self._broadcast((None, _text(problem)))

    def any(self, own: bool) -> bool:
        return any(self._gather(own))

    def agree(self, facts: Mapping[str, object]) -> None:
        everyone = self._gather(dict(facts))
        expected = {**everyone[0], **self._expected}
        sides = [("where they were started", expected), *((f"at rank {n}", each) for n, each in enumerate(everyone))]
        for where, theirs in sides:
            differing = [
                f"{name}: {everyone[0].get(name)} at rank 0, {theirs.get(name)} {where}"
                for name in sorted({*everyone[0], *theirs})
                if theirs.get(name) != everyone[0].get(name)
            ]
            if differing:
                raise TrainingError(
                    f"The ranks would not train the same: {'; '.join(differing)}. Give every machine the same cache, "
                    "settings and versions, and start again."
                )

    def sum_numbers(self, numbers: Sequence[float]) -> list[float]:
        if len(numbers) != self._numbers:
            raise InternalError(f"ranks: {len(numbers)} numbers, not {self._numbers}")
        failed, *sums = self._sum_with_flag(0.0, numbers)
        if failed:
            raise OtherRankError(self._reasons(None))
        return sums

    def sum_gradients(self, parameters: Sequence[torch.nn.Parameter]) -> None:
        flat = torch.cat(
            [(torch.zeros_like(each) if each.grad is None else each.grad).float().flatten() for each in parameters]
        )
        self._all_reduce(flat)
        for parameter, part in zip(parameters, flat.split([each.numel() for each in parameters]), strict=True):
            # What no rank has a gradient of has none afterwards, as in one process.
            if parameter.grad is not None or bool(part.any()):
                parameter.grad = part.view_as(parameter).to(parameter.dtype)

    @contextmanager
    def telling(self, numbers: int) -> Generator[None]:
        self._numbers = numbers
        try:
            try:
                yield
            except OtherRankError:
                raise
            except BaseException as problem:
                self.stopping = True
                self._sum_with_flag(1.0, [0.0] * numbers)
                self._reasons(_text(problem))
                raise
            self.sum_numbers([0.0] * numbers)
        finally:
            # torchrun ends all ranks soon after one has ended.
            self.stopping = True
            if not self.leads:
                self.saved()

    def saved(self) -> None:
        # A rank that is dead waits for nothing.
        with suppress(OtherRankError):
            self._broadcast(None)

    def _sum_with_flag(self, failed: float, numbers: Sequence[float]) -> list[float]:
        sums = torch.tensor([failed, *numbers], dtype=torch.float64)
        self._all_reduce(sums)
        return sums.tolist()

    def _reasons(self, own: str | None) -> str:
        texts = self._gather(own)
        told = [f"Rank {rank} stopped: {text}" for rank, text in enumerate(texts) if text is not None]
        return "; ".join(told) or _NOBODY_ELSE

    def exchange(self, own: tuple[int, ...]) -> list[tuple[int, ...]]:
        numbers = torch.zeros(self.size * len(own), dtype=torch.int64)
        with _lost_connections():
            dist.all_gather_into_tensor(numbers, torch.tensor(own))
        return [tuple(each) for each in numbers.view(self.size, -1).tolist()]

    def gather(self, part: torch.Tensor, whole: torch.Tensor | None, to: int | None) -> None:
        with _lost_connections():
            if to is None:
                dist.all_gather_into_tensor(whole, part)
            else:
                parts = None if whole is None else list(whole.chunk(self.size))
                dist.gather(part, parts, dst=to)

    def gather_ahead(self, part: torch.Tensor, whole: torch.Tensor) -> Callable[[], object]:
        with _lost_connections():
            work: Any = dist.all_gather_into_tensor(whole, part, async_op=True)

        def arrives() -> None:
            with _lost_connections():
                work.wait()

        return arrives

    def _all_reduce(self, values: torch.Tensor) -> None:
        self._join()
        self.sent_bytes += values.numel() * values.element_size()
        with _lost_connections():
            dist.all_reduce(values)

    def _gather(self, own: Any) -> list[Any]:
        self._join()
        everyone: list[Any] = [None] * self.size
        with _lost_connections():
            dist.all_gather_object(everyone, own)
        return everyone

    def _join(self) -> None:
        for join in self.joins:
            join()

    def _broadcast(self, own: Any) -> list[Any]:
        self._join()
        values = [own]
        with _lost_connections():
            dist.broadcast_object_list(values, src=0)
        return values


ALONE = Ranks()


@contextmanager
def _lost_connections() -> Generator[None]:
    try:
        yield
    except (RuntimeError, OSError) as problem:
        raise OtherRankError(
            f"Another rank is gone ({problem}). What was trained is saved up to the last step; look for that rank's "
            "own error, and start the same command again to go on."
        ) from problem


def _text(problem: BaseException) -> str:
    return f"{type(problem).__name__}: {problem}" if str(problem) else type(problem).__name__
