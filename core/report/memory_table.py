"""A memory plan as a picture: one row for each way to train, one column for each size of device."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from ..draw.lettering import DARK, PALE, RGB, font, text_size
from ..plan.fit import CLASSES_GIB, Verdict, gib, needed_bytes
from ..plan.plan import MemoryPlan, Row

_SIZE_PX, _PAD_PX = 16, 8
_GROUNDS: dict[Verdict, RGB] = {
    Verdict.FITS: (22, 101, 52), Verdict.FETCHED: (133, 77, 14), Verdict.TOO_LARGE: (63, 63, 70),
}  # fmt: skip
_WORDS = {Verdict.FITS: "fits", Verdict.FETCHED: "fetched", Verdict.TOO_LARGE: "too large"}


def memory_table(plan: MemoryPlan) -> np.ndarray:
    """The plan's rows; uint8 RGB (H,W,3)."""
    memory = plan.asked.memory
    parts = ("parameters", "adapters", "optimizer", "activations")
    heading = [
        f"{plan.model}: {plan.asked.setup.words}",
        ", ".join(f"{part} {gib(getattr(memory, part))}" for part in parts),
    ]
    table = [["", "needed", *(f"{size} GiB" for size in CLASSES_GIB)]]
    table += [[row.change or "as it is", gib(needed_bytes(row.memory)), *_words(row)] for row in plan.rows]
    columns = range(len(table[0]))
    widths = [max(text_size(cells[column], _SIZE_PX)[0] for cells in table) + 2 * _PAD_PX for column in columns]
    row_px = text_size("", _SIZE_PX)[1] + _PAD_PX
    width = max(sum(widths), *(text_size(line, _SIZE_PX)[0] for line in heading)) + 2 * _PAD_PX
    picture = Image.new("RGB", (width, (len(table) + len(heading)) * row_px + 3 * _PAD_PX), DARK)
    draw = ImageDraw.Draw(picture)
    for number, line in enumerate(heading):
        draw.text((2 * _PAD_PX, _PAD_PX + number * row_px), line, fill=PALE, font=font(_SIZE_PX))
    top = len(heading) * row_px + 2 * _PAD_PX
    for cells, row in zip(table, (None, *plan.rows), strict=True):
        grounds = [None, None, *(_GROUNDS[found] for found in row.verdicts().values())] if row else [None] * len(cells)
        left = _PAD_PX
        for cell, ground, cell_px in zip(cells, grounds, widths, strict=True):
            if ground is not None:
                draw.rectangle((left + 1, top + 1, left + cell_px - 2, top + row_px - 2), fill=ground)
            draw.text((left + _PAD_PX, top + _PAD_PX // 2), cell, fill=PALE, font=font(_SIZE_PX))
            left += cell_px
        top += row_px
    return np.asarray(picture)


def _words(row: Row) -> list[str]:
    return [_WORDS[found] for found in row.verdicts().values()]
