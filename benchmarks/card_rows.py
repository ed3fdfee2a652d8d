"""What the card benchmark finds: rows that its parts write as lines, and the table of them beside published figures."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass

MARK = "row "
GIB = 2**30


@dataclass(frozen=True)
class Row:
    """One figure of one way to train. `seconds` of a step; `peak` in bytes, the most that PyTorch had given out;
    `found`: anything else, in words. `key` names the plan that belongs to it."""

    part: str
    case: str
    seconds: float | None = None
    peak: int | None = None
    found: str = ""
    key: str = ""

    @property
    def line(self) -> str:
        """For the process that collects rows."""
        return MARK + json.dumps(asdict(self))


@dataclass(frozen=True)
class Published:
    """A figure that somebody else has published for much the same run, and where."""

    figure: str
    where: str


# By part and beginning of the case.
PUBLISHED: Mapping[tuple[str, str], Published] = {
    ("krea-2", "bf16 batch 1, compiled"): Published("0.704 s, 63.7 GiB (H100)", "SimpleTuner, KREA2.md"),
    ("krea-2", "bf16 batch 1"): Published("0.990 s, 33.3 GiB (H100)", "SimpleTuner, KREA2.md"),
    ("krea-2", "bf16 batch 4"): Published("3.85 s, 48.4 GiB (H100)", "SimpleTuner, KREA2.md"),
    ("krea-2", "fp8 batch 1"): Published("6.70 s, 26.7 GiB (RTX 5090, masked)", "blissful-tuner, 2026-09"),
    ("krea-2", "bf16 kept in int8"): Published(
        "2.08 s, 24.3 GiB (RTX 5090, masked, rotated)", "blissful-tuner, 2026-09"
    ),
    ("z-image", "bf16 kept in int8"): Published("1.09 s, 9.7 GiB (H100, rotated)", "SimpleTuner"),
    ("wan2.2-14b", "fp8 batch 4, 29"): Published("8 s (RTX 4090)", "musubi-tuner 632"),
}


def read_row(line: str) -> Row | None:
    """A row that a part wrote; None for any other line."""
    return Row(**json.loads(line[len(MARK) :])) if line.startswith(MARK) else None


def table(rows: Iterable[Row], plans: Mapping[str, int]) -> list[str]:
    """Markdown. `plans`: planned peaks in bytes, by key."""
    lines = [
        "| part | case | step | peak | planned | planned / peak | found | published | where |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        planned = plans.get(row.key)
        published = _published(row)
        ratio = f"{planned / row.peak:.3f}" if planned and row.peak else ""
        cells = [
            row.part, row.case, "" if row.seconds is None else f"{row.seconds:.3f} s", _gib(row.peak), _gib(planned),
            ratio, row.found, published.figure, published.where,
        ]  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return lines


def _published(row: Row) -> Published:
    fitting = [case for part, case in PUBLISHED if part == row.part and row.case.startswith(case)]
    return PUBLISHED[row.part, max(fitting, key=len)] if fitting else Published("", "")


def _gib(size: int | None) -> str:
    if size is None:
        return ""
    return f"{size / GIB:.1f} GiB" if size >= GIB else f"{size / 2**20:.1f} MiB"
