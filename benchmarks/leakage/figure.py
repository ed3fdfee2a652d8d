"""The figure: pictures of some contenders, and every contender's paired difference from training without a mask."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from maskloss.core.draw.lettering import font, text_size
from PIL import Image, ImageDraw

from .contenders import Contender
from .experiment import Pictures
from .statistics import Difference

RGB = tuple[int, int, int]
_PAPER: RGB = (255, 255, 255)
_INK: RGB = (30, 30, 36)
_FAINT: RGB = (205, 205, 212)
_BAND: RGB = (244, 244, 247)
_BETTER: RGB = (0, 114, 178)
_WORSE: RGB = (213, 94, 0)
_UNSURE: RGB = (135, 135, 145)
_WIDTH, _LEFT, _MARGIN = 1480, 330, 24
_ROW, _LETTERS = 27, 17
_SCALE = 3  # of the pictures
# Which of a contender's pictures are shown: hers before other backgrounds, then other subjects'.
_OURS, _OTHERS = (0, 4, 8, 9, 13, 17), (0, 4, 8, 10, 14)

# Higher is better for the first alone.
COLUMNS = (
    ("fit", "fit (right is better)"),
    ("leak", "leak (left is better)"),
    ("bleed", "bleed (left is better)"),
    ("drift", "drift (left is better)"),
)


def draw_figure(
    training_NHWC: np.ndarray,
    shown: Mapping[str, Pictures],
    contenders: Sequence[Contender],
    differences: Mapping[str, Mapping[str, Difference]],
    title: str,
) -> np.ndarray:
    """uint8 RGB. `training` are the first pictures that the LoRAs learn from, `shown` what is drawn, by label;
    `differences` by contender and score, without the reference."""
    parts = [_headline(title), _training(training_NHWC), _pictures(shown), _forest(contenders, differences)]
    return np.concatenate([np.asarray(part) for part in parts])


def _headline(text: str) -> Image.Image:
    image = Image.new("RGB", (_WIDTH, 44), _PAPER)
    ImageDraw.Draw(image).text((_MARGIN, 14), text, fill=_INK, font=font(22))
    return image


def _training(pictures_NHWC: np.ndarray) -> Image.Image:
    side = 32 * _SCALE
    image = Image.new("RGB", (_WIDTH, side + 16), _PAPER)
    ImageDraw.Draw(image).text((_MARGIN, side // 2 - 10), "training pictures", fill=_INK, font=font(_LETTERS))
    for column, picture_HWC in enumerate(pictures_NHWC[: len(_OURS) + len(_OTHERS)]):
        image.paste(_enlarged(picture_HWC), (_LEFT + column * (side + 4) + (16 if column >= len(_OURS) else 0), 0))
    return image


def _pictures(shown: Mapping[str, Pictures]) -> Image.Image:
    side = 32 * _SCALE
    pitch, top = side + 4, 34
    image = Image.new("RGB", (_WIDTH, top + len(shown) * (side + 6) + 10), _PAPER)
    draw = ImageDraw.Draw(image)
    second = _LEFT + len(_OURS) * pitch + 16
    draw.text((_LEFT, 8), "trigger word before other backgrounds", fill=_INK, font=font(_LETTERS))
    draw.text((second, 8), "other subjects, no trigger word", fill=_INK, font=font(_LETTERS))
    for row, (label, pictures) in enumerate(shown.items()):
        y = top + row * (side + 6)
        draw.text((_MARGIN, y + side // 2 - 10), label, fill=_INK, font=font(_LETTERS))
        for column, index in enumerate(_OURS):
            image.paste(_enlarged(pictures.ours_NHWC[index]), (_LEFT + column * pitch, y))
        for column, index in enumerate(_OTHERS):
            image.paste(_enlarged(pictures.others_NHWC[index]), (second + column * pitch, y))
    return image


def _enlarged(picture_HWC: np.ndarray) -> Image.Image:
    picture = Image.fromarray((picture_HWC * 255).round().astype(np.uint8))
    return picture.resize((32 * _SCALE, 32 * _SCALE), Image.Resampling.NEAREST)


def _forest(contenders: Sequence[Contender], differences: Mapping[str, Mapping[str, Difference]]) -> Image.Image:
    groups: dict[str, list[str]] = {}
    for contender in contenders:
        if contender.name in differences:
            groups.setdefault(contender.group, []).append(contender.name)
    rows = sum(1 + len(names) for names in groups.values())
    top = 62
    image = Image.new("RGB", (_WIDTH, top + rows * _ROW + 46), _PAPER)
    draw = ImageDraw.Draw(image)
    text = "Difference from training without a mask: median over seeds, 95 % interval"
    draw.text((_MARGIN, 8), text, fill=_INK, font=font(_LETTERS))
    pitch = (_WIDTH - _LEFT - _MARGIN) // len(COLUMNS)
    axes = [_Axis(_LEFT + index * pitch, pitch - 22, [each[name] for each in differences.values()])
            for index, (name, _) in enumerate(COLUMNS)]  # fmt: skip
    bottom = top + rows * _ROW
    for axis, (_, label) in zip(axes, COLUMNS, strict=True):
        axis.draw_frame(draw, label, top, bottom)
    y = top
    for group, names in groups.items():
        draw.rectangle((_MARGIN // 2, y + 2, _WIDTH - _MARGIN // 2, y + _ROW - 2), fill=_BAND)
        draw.text((_MARGIN, y + 3), group, fill=_INK, font=font(_LETTERS))
        y += _ROW
        for name in names:
            draw.text((_MARGIN + 14, y + 3), name, fill=_INK, font=font(_LETTERS))
            for axis, (score, _) in zip(axes, COLUMNS, strict=True):
                axis.draw_mark(draw, differences[name][score], y + _ROW // 2, score == "fit")
            y += _ROW
    _draw_key(draw, bottom + 24)
    return image


def _draw_key(draw: ImageDraw.ImageDraw, y: int) -> None:
    x = _LEFT
    for colour, text in (
        (_BETTER, "better than no mask"),
        (_WORSE, "worse"),
        (_UNSURE, "the interval contains 0"),
    ):
        draw.ellipse((x, y + 4, x + 11, y + 15), fill=colour)
        draw.text((x + 18, y), text, fill=_INK, font=font(_LETTERS))
        x += 48 + text_size(text, _LETTERS)[0]


class _Axis:
    """One column of the plot: from differences to pixels."""

    def __init__(self, left: int, width: int, values: Sequence[Difference]) -> None:
        self._left, self._width = left, width
        low, high = min(0.0, *(each.low for each in values)), max(0.0, *(each.high for each in values))
        room = 0.06 * max(high - low, 0.05)
        self._low, self._high = low - room, high + room

    def _x(self, value: float) -> float:
        return self._left + (value - self._low) / (self._high - self._low) * self._width

    def draw_frame(self, draw: ImageDraw.ImageDraw, label: str, top: int, bottom: int) -> None:
        draw.text((self._left, top - 28), label, fill=_INK, font=font(_LETTERS))
        step = next(each for each in (0.02, 0.05, 0.1, 0.2, 0.5) if (self._high - self._low) / each <= 5.5)
        for number in range(int(np.ceil(self._low / step)), int(np.floor(self._high / step)) + 1):
            x = self._x(number * step)
            draw.line((x, top, x, bottom), fill=_INK if number == 0 else _FAINT, width=1)
            text = f"{number * step:+.2f}" if number else "0"
            draw.text((x - text_size(text, 13)[0] / 2, bottom + 3), text, fill=_INK, font=font(13))

    def draw_mark(self, draw: ImageDraw.ImageDraw, value: Difference, y: int, more_is_better: bool) -> None:
        good = (value.median > 0) == more_is_better
        colour = _UNSURE if not value.certain else _BETTER if good else _WORSE
        draw.line((self._x(value.low), y, self._x(value.high), y), fill=colour, width=3)
        x = self._x(value.median)
        draw.ellipse((x - 5, y - 5, x + 5, y + 5), fill=colour)
