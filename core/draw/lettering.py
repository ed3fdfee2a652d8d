"""Text, labels and legends on pictures, in letters that fit the picture's size."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from PIL import Image, ImageDraw, ImageFont

RGB = tuple[int, int, int]
Entry = tuple[RGB | None, str]
PALE: RGB = (245, 245, 245)
DARK: RGB = (24, 24, 27)

_Row = list[tuple[int, RGB | None, str]]


@lru_cache(maxsize=64)
def font(size_px: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's own font, so that nothing needs to be installed."""
    return ImageFont.load_default(size=size_px)


def text_size(text: str, size_px: int) -> tuple[int, int]:
    """(width, height) in pixels that a line of text takes; the height is the same for every text."""
    left, _, right, _ = font(size_px).getbbox(text or " ")
    return int(np.ceil(right - left)), round(size_px * 1.25)


def shorten(text: str, size_px: int, width_px: int) -> str:
    """The text, cut in the middle so that it fits into width_px (the end of a file's name tells it apart)."""
    if text_size(text, size_px)[0] <= width_px:
        return text
    for kept in range(len(text) - 1, 1, -1):
        cut = text[: (kept + 1) // 2] + "…" + text[len(text) - kept // 2 :]
        if text_size(cut, size_px)[0] <= width_px:
            return cut
    return "…"


def letter_size(size: tuple[int, int]) -> int:
    """Letter height for a picture of (width, height), in pixels: about 1/24 of its mean side, never below 11."""
    return max(11, round((size[0] * size[1]) ** 0.5 / 24))


def luminance(colour: RGB) -> float:
    """How bright a colour looks, 0 to 255 (ITU-R BT.601)."""
    return 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]


def draw_label(draw: ImageDraw.ImageDraw, corner: tuple[float, float], text: str, size_px: int, colour: RGB) -> None:
    """A line of text on a ground of `colour`, its upper left corner at `corner` (x, y)."""
    width, height = text_size(text, size_px)
    pad = max(2, size_px // 4)
    x, y = corner
    draw.rectangle((x, y, x + width + 2 * pad - 1, y + height + pad - 1), fill=colour)
    ink = DARK if luminance(colour) > 140 else PALE
    draw.text((x + pad, y + pad // 2), text, fill=ink, font=font(size_px))


def label_size(text: str, size_px: int) -> tuple[int, int]:
    """(width, height) in pixels of what `draw_label` draws."""
    width, height = text_size(text, size_px)
    pad = max(2, size_px // 4)
    return width + 2 * pad, height + pad


def add_legend(rgb_HWC: np.ndarray, entries: Sequence[Entry]) -> np.ndarray:
    """The picture with a legend along its lower edge; letters shrink until it takes at most 2/5 of the height.

    An entry is a colour and what it means, or None and a remark. Where even the smallest letters would take more, the
    last entries are left away.
    """
    if not entries:
        return rgb_HWC.copy()
    height, width = rgb_HWC.shape[:2]
    size_px = letter_size((width, height))
    rows = _break_rows(entries, size_px, width)
    while size_px > 9 and len(rows) * _row_px(size_px) > 0.4 * height:
        size_px -= 1
        rows = _break_rows(entries, size_px, width)
    rows = rows[: max(1, int(0.4 * height / _row_px(size_px)))]
    top = height - len(rows) * _row_px(size_px)
    return _draw_rows(_darken(rgb_HWC, top), rows, top, size_px)


def add_legend_below(rgb_HWC: np.ndarray, entries: Sequence[Entry], size_px: int) -> np.ndarray:
    """The picture made taller by a legend with letters of `size_px`, so that it covers nothing."""
    height, width = rgb_HWC.shape[:2]
    rows = _break_rows(entries, size_px, width)
    strip_HWC = np.full((len(rows) * _row_px(size_px), width, 3), DARK, np.uint8)
    return _draw_rows(np.concatenate([rgb_HWC, strip_HWC]), rows, height, size_px)


def _draw_rows(rgb_HWC: np.ndarray, rows: Sequence[_Row], top: int, size_px: int) -> np.ndarray:
    """The picture with the rows of a legend from `top` on."""
    row_px = _row_px(size_px)
    picture = Image.fromarray(rgb_HWC)
    draw = ImageDraw.Draw(picture)
    for index, row in enumerate(rows):
        y = top + index * row_px
        for x, colour, text in row:
            if colour is not None:
                box = (x, y + (row_px - size_px) // 2, x + size_px - 1, y + (row_px + size_px) // 2 - 1)
                draw.rectangle(box, fill=colour, outline=PALE)
            place = (x + _swatch_px(colour, size_px), y + (row_px - size_px * 1.25) / 2)
            draw.text(place, text, fill=PALE, font=font(size_px))
    return np.asarray(picture)


def _row_px(size_px: int) -> int:
    return round(size_px * 1.6)


def _swatch_px(colour: RGB | None, size_px: int) -> int:
    return 0 if colour is None else round(size_px * 1.4)


def _break_rows(entries: Sequence[Entry], size_px: int, width: int) -> list[_Row]:
    """Entries with their x, broken into rows that fit the width."""
    margin = size_px // 2
    rows: list[_Row] = [[]]
    x = margin
    for colour, text in entries:
        needed = _swatch_px(colour, size_px) + text_size(text, size_px)[0]
        if rows[-1] and x + needed > width - margin:
            rows.append([])
            x = margin
        rows[-1].append((x, colour, text))
        x += needed + size_px
    return rows


def _darken(rgb_HWC: np.ndarray, top: int) -> np.ndarray:
    result_HWC = rgb_HWC.copy()
    result_HWC[top:] = (rgb_HWC[top:] * 0.25).astype(np.uint8)
    return result_HWC
