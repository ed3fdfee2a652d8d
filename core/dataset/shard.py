"""One machine's shard of a dataset, where several fill one cache together."""

from __future__ import annotations

import re
from dataclasses import dataclass

from ..errors import SettingError
from .items import Dataset, LeftOut

_ELSEWHERE = "another shard than"


@dataclass(frozen=True)
class Shard:
    """Shard `number` (from 1) `of` so many, written "2/4". Shards differ by one item at most."""

    number: int
    of: int

    def __post_init__(self) -> None:
        if not 1 <= self.number <= self.of:
            raise SettingError(f"--shard is {self}; give i/n with i from 1 to n, such as 1/2 and 2/2.")

    def __str__(self) -> str:
        return f"{self.number}/{self.of}"

    @classmethod
    def parse(cls, text: str) -> Shard:
        """ "2/4" to Shard(2, 4). SettingError for anything else."""
        matched = re.fullmatch(r"(\d{1,6})/(\d{1,6})", text.strip())
        if matched is None:
            raise SettingError(f"--shard is {text!r}; write i/n, such as 1/2 on one machine and 2/2 on the other.")
        return cls(int(matched[1]), int(matched[2]))

    def take(self, dataset: Dataset) -> Dataset:
        """Every n-th item; the others are left out, so that their names still count where names have to be unique."""
        others = tuple(
            LeftOut(item, f"{_ELSEWHERE} {self} caches it")
            for position, item in enumerate(dataset.items)
            if position % self.of != self.number - 1
        )
        return Dataset(dataset.items[self.number - 1 :: self.of], dataset.left_out + others, dataset.found)


def is_shard(dataset: Dataset) -> bool:
    """Whether another machine works on some of its items."""
    return any(left.reason.startswith(_ELSEWHERE) for left in dataset.left_out)
