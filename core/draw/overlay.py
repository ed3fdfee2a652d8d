"""Pictures that show what was found: faces with their scores, parts, weights. All uint8 RGB of the picture's size.

`_HW` is the pixel grid, `_hw` the latent grid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import cv2
import numpy as np
from PIL import Image, ImageDraw

from ..errors import ImageError
from ..parts.part_map import PartMap
from ..people.decision import FaceScore, PersonDecision
from ..resample import shrink_then_enlarge
from .lettering import RGB, Entry, add_legend, add_legend_below, draw_label, label_size, letter_size
from .levels import WeightLevels

CHOSEN: RGB = (34, 197, 94)
OTHERS: RGB = (220, 38, 38)
FACE_COLOUR: RGB = (239, 108, 92)
FACE_END: RGB = (140, 20, 150)
HAIR_END: RGB = (120, 70, 10)
HAIR_COLOUR: RGB = (250, 204, 64)
# Told apart by people with any colour vision as far as eight colours can be (Okabe and Ito), then repeated darker.
CLASS_COLOURS: tuple[RGB, ...] = (
    (0, 114, 178),
    (0, 158, 115),
    (86, 180, 233),
    (204, 121, 167),
    (148, 103, 189),
    (213, 94, 0),
    (127, 179, 61),
    (70, 90, 220),
)
SCALE_LETTERS_PX = 14
PARTS_OPACITY = 0.6
WEIGHTS_OPACITY = 0.5


def face_overlay(rgb_HWC: np.ndarray, decision: PersonDecision, scale: float = 1.0) -> np.ndarray:
    """Every face in a box with its number and similarity; the chosen one green, the others red.

    scale: how large `rgb_HWC` is, measured by the picture that was decided about.
    """
    height, width = rgb_HWC.shape[:2]
    faces = [replace(score, box=tuple(edge * scale for edge in score.box)) for score in decision.faces]
    # In a crop there are faces beside it.
    faces = [face for face in faces if _is_seen(face.box, width, height)]
    picture = Image.fromarray(rgb_HWC)
    draw = ImageDraw.Draw(picture)
    line = max(2, round((width * height) ** 0.5 / 250))
    for score in faces:
        x0, y0, x1, y1 = score.box
        draw.rectangle((x0, y0, x1, y1), outline=_colour(score), width=line)
    size_px = letter_size((width, height))
    taken: list[tuple[float, float, float, float]] = []
    # The chosen face's label first, so that it has the best place.
    for score in sorted(faces, key=lambda each: not each.chosen):
        text = str(score.index) if score.similarity is None else f"{score.index}: {score.similarity:.2f}"
        box = _place_label(score.box, label_size(text, size_px), (width, height), taken)
        taken.append(box)
        draw_label(draw, box[:2], text, size_px, _colour(score))
    return np.asarray(picture)


def _is_seen(box: tuple[float, float, float, float], width: int, height: int) -> bool:
    return box[0] < width and box[1] < height and box[2] > 0 and box[3] > 0


def parts_overlay(rgb_HWC: np.ndarray, parts: PartMap, opacity: float = PARTS_OPACITY) -> np.ndarray:
    """The parts in colour over the picture, with a legend of those present; the background is dimmed."""
    _check_same_size("The part map", rgb_HWC, parts.label_HW)
    colours = part_colours(parts)
    tinted_HWC = _blend(rgb_HWC, colours[parts.label_HW], opacity)
    present = [int(index) for index in np.unique(parts.label_HW) if index]
    entries: list[Entry] = [(_to_rgb(colours[index]), parts.scheme.names[index]) for index in present]
    if parts.approximate:
        entries.append((None, "approximate"))
    return add_legend(tinted_HWC, entries)


def part_colours(parts: PartMap) -> np.ndarray:
    """One colour per class of the scheme, uint8 (classes, 3); faces reddish, hair yellow, the background black."""
    scheme = parts.scheme
    colours = np.zeros((len(scheme.names), 3), np.uint8)
    for tier, first, last in (("face", FACE_COLOUR, FACE_END), ("hair", HAIR_COLOUR, HAIR_END)):
        ids = scheme.tier_ids(tier)
        for step, index in enumerate(ids):
            colours[index] = np.array(first) + (np.array(last) - np.array(first)) * step / len(ids)
    for step, index in enumerate(scheme.tier_ids("body")):
        colours[index] = np.array(CLASS_COLOURS[step % len(CLASS_COLOURS)]) * 0.75 ** (step // len(CLASS_COLOURS))
    return colours


def weights_overlay(rgb_HWC: np.ndarray, weights_HW: np.ndarray, opacity: float = WEIGHTS_OPACITY) -> np.ndarray:
    """Weights in [0, 1] as colour over the picture, dark for 0 to pale yellow for 1, with the tiers that occur."""
    return add_weights_legend(weights_tint(rgb_HWC, weights_HW, opacity), weights_HW)


def weights_tint(rgb_HWC: np.ndarray, weights_HW: np.ndarray, opacity: float = WEIGHTS_OPACITY) -> np.ndarray:
    """As `weights_overlay`, without the legend: for pictures that share one."""
    _check_same_size("The weights", rgb_HWC, weights_HW)
    return _blend(rgb_HWC, weight_colours(weights_HW), opacity)


def add_weights_legend(picture_HWC: np.ndarray, weights: np.ndarray) -> np.ndarray:
    """The picture with a legend of the weights (in [0, 1], any shape) that occur, or of round ones where many do."""
    levels = WeightLevels()
    levels.add(weights)
    return add_legend(picture_HWC, _weight_entries(levels.values()))


def add_scale_below(sheet_HWC: np.ndarray, levels: WeightLevels) -> np.ndarray:
    """A sheet of pictures made taller by a line that says which colour stands for which weight; it covers nothing.
    `levels` are those of its pictures."""
    return add_legend_below(sheet_HWC, _weight_entries(levels.values()), SCALE_LETTERS_PX)


def _weight_entries(values: Sequence[int]) -> list[Entry]:
    colours_NC = weight_colours(np.asarray(values)[None] / 255.0)[0]
    return [(_to_rgb(colour), f"{value / 255:.2f} ({value})") for colour, value in zip(colours_NC, values, strict=True)]


def heat_map(
    weights_hw: np.ndarray, size: tuple[int, int], rgb_HWC: np.ndarray | None = None, opacity: float = 0.7
) -> np.ndarray:
    """Weights of the latent grid, every cell a block of one colour, at `size` (width, height).

    With `rgb_HWC`, a picture of that size, they lie over it.
    """
    blocks_hw = np.clip(weights_hw, 0, 1).astype(np.float32)
    weights_HW = shrink_then_enlarge(blocks_hw, size, cv2.INTER_NEAREST_EXACT)
    colours_HWC = weight_colours(weights_HW)
    if rgb_HWC is None:
        return colours_HWC
    _check_same_size("The heat map", rgb_HWC, weights_HW)
    return _blend(rgb_HWC, colours_HWC, opacity)


def weight_colours(weights_HW: np.ndarray) -> np.ndarray:
    """uint8 RGB (H,W,3) for weights in [0, 1]: black, purple, red, orange, pale yellow."""
    levels_HW = np.round(np.clip(weights_HW, 0, 1) * 255).astype(np.uint8)
    bgr_HWC = cv2.applyColorMap(levels_HW, cv2.COLORMAP_INFERNO)
    return np.ascontiguousarray(bgr_HWC[..., ::-1])


def _blend(rgb_HWC: np.ndarray, colours_HWC: np.ndarray, opacity: float) -> np.ndarray:
    return cv2.addWeighted(rgb_HWC, 1.0 - opacity, np.ascontiguousarray(colours_HWC), opacity, 0.0)


def _to_rgb(colour: np.ndarray) -> RGB:
    return int(colour[0]), int(colour[1]), int(colour[2])


def _colour(score: FaceScore) -> RGB:
    return CHOSEN if score.chosen else OTHERS


def _check_same_size(what: str, rgb_HWC: np.ndarray, grid_HW: np.ndarray) -> None:
    if rgb_HWC.shape[:2] != grid_HW.shape:
        (height, width), (rows, columns) = rgb_HWC.shape[:2], grid_HW.shape
        raise ImageError(
            f"{what} must have the picture's size, but they are {columns} x {rows} and {width} x {height} pixels: "
            "make both from the same picture."
        )


def _place_label(
    face: tuple[float, float, float, float],
    label: tuple[int, int],
    size: tuple[int, int],
    taken: list[tuple[float, float, float, float]],
) -> tuple[float, float, float, float]:
    """The label's box: above the face, below, or inside, wherever no other label is; always in the picture."""
    x0, y0, x1, y1 = face
    width, height = label
    right, bottom = max(0, size[0] - width), max(0, size[1] - height)
    places = [(x0, y0 - height), (x1 - width, y0 - height), (x0, y1), (x1 - width, y1), (x0, y0), (x0, y1 - height)]
    boxes = [
        (x, y, x + width, y + height) for x, y in ((min(max(x, 0), right), min(max(y, 0), bottom)) for x, y in places)
    ]
    free = [a for a in boxes if not any(a[0] < b[2] and b[0] < a[2] and a[1] < b[3] and b[1] < a[3] for b in taken)]
    return (free or boxes)[0]
