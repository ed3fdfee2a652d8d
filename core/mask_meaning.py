"""What a mask file means: one rule for every kind of file, and one setting for files that could mean two things.

| the file holds | `auto` reads |
|---|---|
| one channel of grey, or colour channels that are equal within 16 levels | brightness |
| label values 0 and 1, in a file without loss | 1 counts fully (`nonzero`) |
| several values up to 31 and none above, in a file without loss: labels of classes, or a very dark mask | refused |
| 16 or 32 bits that use 0 to 255 only; floats of 0 to 1, or of 0 to 255 | brightness of that range |
| 16 bits with a highest value of 256 to 4095: dark, or 10 or 12 bits | refused |
| one colour on black | how strong that colour is (`colour`) |
| several colours, or one colour with white or grey | refused |
| an alpha that has a shape, over one flat colour or over a picture of many colours | alpha |
| an alpha that has a shape, over a picture that is a mask as well and a different one | refused |
| an alpha that is the same everywhere | the colour alone; transparent everywhere over one flat colour: empty |

H, W pixel grid, C channels. Masks are uint8, 255 counts fully.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from .errors import ImageError
from .mask_readings import (
    GREY_WITHIN,
    ROUNDING,
    Reading,
    StoredMask,
    as_told,
    in_depth,
    is_flat,
    read_alpha,
    read_brightness,
    read_colour,
    read_nonzero,
)
from .mask_readings import MaskMeaning as MaskMeaning

_SAID = {
    MaskMeaning.BRIGHTNESS: "its brightness",
    MaskMeaning.ALPHA: "its alpha",
    MaskMeaning.COLOUR: "what is coloured and not grey, black or white",
    MaskMeaning.NONZERO: "everything that is not 0 (black)",
}

# How far a pixel may lie from the line between black and a colour, and still be a shade of that colour.
_SHADE_WITHIN = 32
# A lossy format smears colours over blocks of 2 pixels: only what is wider than that is a colour of its own.
_SMEARED_PX = 5
# Part and class labels of the usual tables end here (Sapiens has 28); a mask for weights is never that dark.
_MOST_LABELS = 31
# An alpha no lower than this everywhere is opaque: lossy formats leave such noise.
_OPAQUE_FROM = 250
_SEEN_FROM = 64
# Readings that differ less are one reading.
_SAME_WITHIN = 16
_TWELVE_BITS = 4095
_FEW_LEVELS = 8


@dataclass(frozen=True, eq=False)
class ReadMask:
    """mask_HW: uint8. `meaning` is what was read (never `AUTO`), `layout` what the file holds ("RGB, 8 bits"),
    `lowest` and `highest` its values as stored, `full` the value that counts fully. `key` is empty for a plain grey
    mask, and else tells readings apart. `levels` are all the values of a mask without loss that has few of them, else
    empty. `note` is a sentence for people, or empty."""

    mask_HW: np.ndarray
    meaning: MaskMeaning
    layout: str
    lowest: float
    highest: float
    full: float
    key: str
    levels: tuple[int, ...] = ()
    note: str = ""

    @property
    def fraction(self) -> float:
        """The fraction of the picture that has any weight."""
        return float((self.mask_HW > 0).mean())


def read_stored(stored: StoredMask, meaning: MaskMeaning, name: str) -> ReadMask:
    """The mask that a file holds, by the rule above or as `meaning` says.

    ImageError naming `name`, the meanings that are possible and the setting that decides, where there is more than
    one; and where the file has not what `meaning` asks for, or values without a known range.
    """
    reading = _by_rule(stored, name) if meaning is MaskMeaning.AUTO else as_told(stored, meaning, name)
    lowest, highest = float(reading.source_HW.min()), float(reading.source_HW.max())
    key = "" if reading.usual else f"{reading.meaning.value}/{reading.full:g}"
    mask_HW = np.array(reading.mask_HW)
    # np.bincount would make eight bytes of every pixel first.
    levels = np.flatnonzero(cv2.calcHist([mask_HW], [0], None, [256], [0, 256])).tolist()
    few = not stored.lossy and len(levels) <= _FEW_LEVELS
    return ReadMask(
        mask_HW, reading.meaning, stored.layout, lowest, highest, reading.full, key, tuple(levels) if few else ()
    )


def _by_rule(stored: StoredMask, name: str) -> Reading:
    alpha_HW = stored.alpha_HW
    if alpha_HW is None:
        return _colour_by_rule(stored, name)
    least, most = int(alpha_HW.min()), int(alpha_HW.max())
    if least >= in_depth(alpha_HW, _OPAQUE_FROM) or least == most > 0:
        return _colour_by_rule(stored, name)
    if most == 0 and not is_flat(stored.pixels, GREY_WITHIN):
        # Hidden everywhere, and yet a picture: an empty layer, or a mask whose alpha was lost.
        raise _several(stored, (MaskMeaning.ALPHA, *_possible(stored)), name)
    alpha = read_alpha(stored, name)
    seen = stored.pixels[alpha.mask_HW >= _SEEN_FROM][:, None]
    if is_flat(seen, GREY_WITHIN):
        return alpha
    # What lies under transparent pixels is nobody's intention.
    shown = replace(stored, pixels=_without_hidden(stored.pixels, alpha_HW), alpha_HW=None)
    if shown.is_grey:
        other = read_brightness(shown, name)
    elif _is_shades_on_black(shown, read_colour(shown, name)):
        other = read_colour(shown, name)
    else:
        return alpha  # a picture that is no mask by itself
    if int(cv2.absdiff(alpha.mask_HW, other.mask_HW).max()) <= _SAME_WITHIN:
        return alpha
    raise _several(stored, (other.meaning, MaskMeaning.ALPHA), name)


def _colour_by_rule(stored: StoredMask, name: str) -> Reading:
    if stored.is_grey:
        return _grey_by_rule(stored, name)
    coloured = read_colour(stored, name)
    if not _is_shades_on_black(stored, coloured):
        raise _several(stored, _possible(stored), name)
    return coloured


def _grey_by_rule(stored: StoredMask, name: str) -> Reading:
    if stored.grey_as is not MaskMeaning.AUTO:
        return as_told(stored, stored.grey_as, name)
    grey_HW = stored.brightness_HW
    # Of all channels: a label in one of them alone has next to no brightness.
    least, most = stored.pixels.min(), stored.pixels.max()
    dark_or_labels = False
    if stored.bits in (2, 4):
        # Tools that shrink PNG files make these of grey masks; class maps use their low numbers only.
        dark_or_labels = most * 2 < 255
    elif grey_HW.dtype.kind == "f":
        dark_or_labels = 1 + ROUNDING < most <= _MOST_LABELS
    elif stored.bits > 1 and not stored.lossy:
        if most == 1 and least >= 0:
            return read_nonzero(stored, name)
        dark_or_labels = 1 < most <= _MOST_LABELS or (stored.bits > 8 and 255 < most <= _TWELVE_BITS)
    if dark_or_labels and not is_flat(stored.pixels, 0):
        raise _several(stored, (MaskMeaning.BRIGHTNESS, MaskMeaning.NONZERO), name)
    return read_brightness(stored, name)


def _without_hidden(pixels: np.ndarray, alpha_HW: np.ndarray) -> np.ndarray:
    shown = pixels.copy()
    shown[alpha_HW == 0] = 0
    return shown


def _is_shades_on_black(stored: StoredMask, coloured: Reading) -> bool:
    """Whether every pixel is a shade of one colour, from black to its full strength."""
    rgb_HWC = stored.pixels if stored.pixels.dtype == np.uint8 else (stored.pixels // 257).astype(np.uint8)
    strength_HW = np.clip(coloured.values_HW / coloured.full, 0, 1).astype(np.float32)
    strong_HW = strength_HW >= (0.75 if stored.lossy else strength_HW.max())
    colour_C = np.median(rgb_HWC[strong_HW], axis=0).astype(np.float32)
    off_HW = np.abs(rgb_HWC - strength_HW[..., None] * colour_C).max(axis=2)
    if stored.lossy:
        off_HW = cv2.erode(off_HW, np.ones((_SMEARED_PX, _SMEARED_PX), np.uint8))
    return bool(off_HW.max() <= _SHADE_WITHIN)


def _possible(stored: StoredMask) -> tuple[MaskMeaning, ...]:
    if stored.is_grey:
        return (MaskMeaning.BRIGHTNESS,)
    on_black = bool((stored.pixels.max(axis=2) <= in_depth(stored.pixels, GREY_WITHIN)).any())
    return (MaskMeaning.BRIGHTNESS, MaskMeaning.COLOUR, *((MaskMeaning.NONZERO,) if on_black else ()))


def _several(stored: StoredMask, meanings: tuple[MaskMeaning, ...], name: str) -> ImageError:
    """The refusal of a file with several meanings, with what each would weigh on average."""
    told: list[str] = []
    for meaning in meanings:
        mean = float(as_told(stored, meaning, name).mask_HW.mean(dtype=np.float64)) / 255
        told.append(f"{_SAID[meaning]} ({meaning.value}: {mean:.1%} of full weight on average)")
    return ImageError(
        f"{name} ({stored.layout}) has {'two' if len(told) == 2 else 'several'} meanings as a mask: "
        f"{' or '.join(told)}. Set mask_meaning of Load Dataset to {' or '.join(each.value for each in meanings)}, or "
        "save the mask as a plain grey picture in which white is full weight."
    )
