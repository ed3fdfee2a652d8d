"""Many pictures on one sheet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import cv2
import numpy as np
from PIL import Image, ImageDraw

from ..errors import SettingError
from .lettering import DARK, PALE, RGB, font, shorten, text_size

GAP_PX = 6
BAR_PX, BAR_LETTERS_PX = 120, 14
BAR_COLOUR: RGB = (86, 180, 233)


def contact_sheet(pictures: Sequence[tuple[np.ndarray, str]], columns: int, cell_px: int) -> np.ndarray:
    """(rgb_HWC uint8, caption) pictures in rows of `columns`, each fitted whole into cell_px, its caption below it.

    A caption may have several lines. Returns uint8 RGB. Raises SettingError without pictures or with a layout that
    cannot hold any.
    """
    if not pictures:
        raise SettingError("There is no picture to show: the dataset is empty, or offset lies behind its end.")
    if columns < 1 or cell_px < 32:
        raise SettingError(f"A sheet needs 1 column and 32 px per cell at least, got {columns} and {cell_px}.")
    size_px = max(10, cell_px // 18)
    line_px = text_size("", size_px)[1]
    lines = [caption.splitlines() or [""] for _, caption in pictures]
    caption_px = line_px * max(len(each) for each in lines) + GAP_PX
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    fitted = [shrink(rgb_HWC, cell_px, enlarge=True) for rgb_HWC, _ in pictures]
    tallest = max(fitted_HWC.shape[0] for fitted_HWC in fitted)
    pitch = (cell_px + GAP_PX, tallest + caption_px + GAP_PX)
    sheet = Image.new("RGB", (columns * pitch[0] + GAP_PX, rows * pitch[1] + GAP_PX), DARK)
    draw = ImageDraw.Draw(sheet)
    for index, fitted_HWC in enumerate(fitted):
        left = GAP_PX + index % columns * pitch[0]
        top = GAP_PX + index // columns * pitch[1]
        height, width = fitted_HWC.shape[:2]
        sheet.paste(Image.fromarray(fitted_HWC), (left + (cell_px - width) // 2, top + (tallest - height) // 2))
        for number, line in enumerate(lines[index]):
            place = (left, top + tallest + GAP_PX // 2 + number * line_px)
            draw.text(place, shorten(line, size_px, cell_px), fill=PALE, font=font(size_px))
    return np.asarray(sheet)


def add_bars_below(sheet_HWC: np.ndarray, counts: Mapping[str, int], size_px: int = BAR_LETTERS_PX) -> np.ndarray:
    """A sheet made taller by a bar for each count, from left to right in rows of as many as fit; it covers nothing.

    `counts` are above 0, in the order in which they shall stand; the longest bar is the greatest.
    """
    width, row_px = sheet_HWC.shape[1], text_size("", size_px)[1] + GAP_PX
    label_px = max(text_size(label, size_px)[0] for label in counts) + 2 * GAP_PX
    number_px = max(text_size(str(count), size_px)[0] for count in counts.values()) + 2 * GAP_PX
    pitch_px = min(width, label_px + BAR_PX + number_px)
    longest_px = max(1, pitch_px - label_px - number_px)
    columns = min(len(counts), width // pitch_px)
    rows = -(-len(counts) // columns)
    strip = Image.new("RGB", (width, rows * row_px + GAP_PX), DARK)
    draw = ImageDraw.Draw(strip)
    for index, (label, count) in enumerate(counts.items()):
        left, top = index % columns * pitch_px + GAP_PX, index // columns * row_px + GAP_PX // 2
        bar_px = max(1, round(count / max(counts.values()) * longest_px))
        draw.text((left, top), label, fill=PALE, font=font(size_px))
        draw.rectangle((left + label_px, top + 2, left + label_px + bar_px - 1, top + size_px), fill=BAR_COLOUR)
        draw.text((left + label_px + bar_px + GAP_PX, top), str(count), fill=PALE, font=font(size_px))
    return np.concatenate([sheet_HWC, np.asarray(strip)])


def side_by_side(pictures: Sequence[np.ndarray], columns: int) -> np.ndarray:
    """uint8 RGB pictures of one size in rows of `columns`, left to right, with a dark gap between."""
    height, width = pictures[0].shape[:2]
    columns = min(columns, len(pictures))
    rows = -(-len(pictures) // columns)
    joined_HWC = np.full((rows * (height + GAP_PX) - GAP_PX, columns * (width + GAP_PX) - GAP_PX, 3), DARK, np.uint8)
    for index, picture_HWC in enumerate(pictures):
        top, left = index // columns * (height + GAP_PX), index % columns * (width + GAP_PX)
        joined_HWC[top : top + height, left : left + width] = picture_HWC
    return joined_HWC


def shrink(rgb_HWC: np.ndarray, longest_px: int, enlarge: bool = False) -> np.ndarray:
    """The picture with its longer side at most longest_px (with `enlarge`: exactly that), uint8 RGB."""
    height, width = rgb_HWC.shape[:2]
    scale = longest_px / max(height, width)
    if scale >= 1 and not enlarge:
        return rgb_HWC
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    # Enlarged pictures are small ones whose pixels are to be seen (latent grids).
    return cv2.resize(rgb_HWC, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_NEAREST)
