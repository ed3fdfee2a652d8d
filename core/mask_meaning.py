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
from enum import Enum

import cv2
import numpy as np
from PIL import Image

from .errors import ImageError


class MaskMeaning(str, Enum):
    """What of a mask file is the weight. All but `AUTO` are the same for every file."""

    AUTO = "auto"
    BRIGHTNESS = "brightness"
    ALPHA = "alpha"
    COLOUR = "colour"
    NONZERO = "nonzero"


_SAID = {
    MaskMeaning.BRIGHTNESS: "its brightness",
    MaskMeaning.ALPHA: "its alpha",
    MaskMeaning.COLOUR: "what is coloured and not grey, black or white",
    MaskMeaning.NONZERO: "everything that is not 0 (black)",
}

# Channels that differ no more are one grey: lossy formats bring about as much.
_GREY_WITHIN = 16
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
_LOSSY_NONZERO = 32
_TWELVE_BITS = 4095
_FEW_LEVELS = 8
# How far resampling may lead floats out of their range.
_ROUNDING = 1e-3


@dataclass(frozen=True, eq=False)
class StoredMask:
    """What a file holds, before it means anything. `pixels` is (H,W) of any integer or float dtype, or (H,W,3) uint8 or
    uint16 RGB; `bits` is of one channel. `lossy`: the format changes values. `layout` is for people. `grey_as`: what
    grey values mean by the rule, where the other pictures of a sequence have settled that."""

    layout: str
    bits: int
    pixels: np.ndarray
    alpha_HW: np.ndarray | None = None
    lossy: bool = False
    grey_as: MaskMeaning = MaskMeaning.AUTO

    @property
    def is_grey(self) -> bool:
        """Whether there is one channel, or three that are the same but for what a lossy format adds."""
        return self.pixels.ndim == 2 or int(_chroma(self.pixels).max()) <= _levels(self.pixels, _GREY_WITHIN)

    @property
    def brightness_HW(self) -> np.ndarray:
        """Luminance of Rec. 601, of the pixels' own dtype."""
        if self.pixels.ndim == 2:
            return self.pixels
        if self.pixels.dtype == np.uint8:
            return np.asarray(Image.fromarray(self.pixels).convert("L"))
        return np.rint(self.pixels @ np.array([0.299, 0.587, 0.114])).astype(self.pixels.dtype)


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
    def share(self) -> float:
        """The share of the picture that has any weight."""
        return float((self.mask_HW > 0).mean())


@dataclass(frozen=True, eq=False)
class _Reading:
    """`values_HW` from 0 to `full`; `source_HW` is what the lowest and highest value are told of."""

    meaning: MaskMeaning
    values_HW: np.ndarray
    full: float
    source_HW: np.ndarray
    usual: bool = True

    @property
    def mask_HW(self) -> np.ndarray:
        if self.full == 255 and self.values_HW.dtype == np.uint8:
            return self.values_HW
        # 64 bits, because 32 round values of 32 bits.
        return np.rint(np.clip(self.values_HW.astype(np.float64) / self.full, 0, 1) * 255).astype(np.uint8)


def read_stored(stored: StoredMask, meaning: MaskMeaning, name: str) -> ReadMask:
    """The mask that a file holds, by the rule above or as `meaning` says.

    ImageError naming `name`, the meanings that are possible and the setting that decides, where there is more than
    one; and where the file has not what `meaning` asks for, or values without a known range.
    """
    reading = _by_rule(stored, name) if meaning is MaskMeaning.AUTO else _as_told(stored, meaning, name)
    lowest, highest = float(reading.source_HW.min()), float(reading.source_HW.max())
    key = "" if reading.usual else f"{reading.meaning.value}/{reading.full:g}"
    mask_HW = np.array(reading.mask_HW)
    levels = np.flatnonzero(np.bincount(mask_HW.ravel(), minlength=256)).tolist()
    few = not stored.lossy and len(levels) <= _FEW_LEVELS
    return ReadMask(
        mask_HW, reading.meaning, stored.layout, lowest, highest, reading.full, key, tuple(levels) if few else ()
    )


def _by_rule(stored: StoredMask, name: str) -> _Reading:
    alpha_HW = stored.alpha_HW
    if alpha_HW is None:
        return _colour_by_rule(stored, name)
    least, most = int(alpha_HW.min()), int(alpha_HW.max())
    if least >= _levels(alpha_HW, _OPAQUE_FROM) or least == most > 0:
        return _colour_by_rule(stored, name)
    if most == 0 and not _is_flat(stored.pixels, _GREY_WITHIN):
        # Hidden everywhere, and yet a picture: an empty layer, or a mask whose alpha was lost.
        raise _several(stored, (MaskMeaning.ALPHA, *_possible(stored)), name)
    alpha = _alpha(stored, name)
    seen = stored.pixels[alpha.mask_HW >= _SEEN_FROM]
    if _is_flat(seen, _GREY_WITHIN):
        return alpha
    # What lies under transparent pixels is nobody's intention.
    shown = replace(stored, pixels=_without_hidden(stored.pixels, alpha_HW), alpha_HW=None)
    if shown.is_grey:
        other = _brightness(shown, name)
    elif _is_shades_on_black(shown, _colour(shown, name)):
        other = _colour(shown, name)
    else:
        return alpha  # a picture that is no mask by itself
    if int(cv2.absdiff(alpha.mask_HW, other.mask_HW).max()) <= _SAME_WITHIN:
        return alpha
    raise _several(stored, (other.meaning, MaskMeaning.ALPHA), name)


def _colour_by_rule(stored: StoredMask, name: str) -> _Reading:
    if stored.is_grey:
        return _grey_by_rule(stored, name)
    coloured = _colour(stored, name)
    if not _is_shades_on_black(stored, coloured):
        raise _several(stored, _possible(stored), name)
    return coloured


def _grey_by_rule(stored: StoredMask, name: str) -> _Reading:
    if stored.grey_as is not MaskMeaning.AUTO:
        return _as_told(stored, stored.grey_as, name)
    grey_HW = stored.brightness_HW
    most = grey_HW.max()
    dark_or_labels = False
    if stored.bits in (2, 4):
        # Tools that shrink PNG files make these of grey masks; class maps use their low numbers only.
        dark_or_labels = most * 2 < 255
    elif grey_HW.dtype.kind == "f":
        dark_or_labels = 1 + _ROUNDING < most <= _MOST_LABELS
    elif stored.bits > 1 and not stored.lossy:
        if most == 1 and grey_HW.min() >= 0:
            return _nonzero(stored, name)
        dark_or_labels = 1 < most <= _MOST_LABELS or (stored.bits > 8 and 255 < most <= _TWELVE_BITS)
    if dark_or_labels and not _is_flat(grey_HW, 0):
        raise _several(stored, (MaskMeaning.BRIGHTNESS, MaskMeaning.NONZERO), name)
    return _brightness(stored, name)


def _as_told(stored: StoredMask, meaning: MaskMeaning, name: str) -> _Reading:
    readers = {MaskMeaning.ALPHA: _alpha, MaskMeaning.COLOUR: _colour, MaskMeaning.NONZERO: _nonzero}
    return readers.get(meaning, _brightness)(stored, name)


def _brightness(stored: StoredMask, name: str) -> _Reading:
    grey_HW = stored.brightness_HW
    full, usual = _full(grey_HW, stored.bits, name)
    return _Reading(MaskMeaning.BRIGHTNESS, grey_HW, full, grey_HW, usual)


def _alpha(stored: StoredMask, name: str) -> _Reading:
    alpha_HW = stored.alpha_HW
    if alpha_HW is None:
        raise ImageError(
            f"mask_meaning is alpha, but {name} ({stored.layout}) has no alpha; set mask_meaning to auto or brightness."
        )
    # A class map of 0 and 1 may be put into alpha as well.
    full = 1.0 if alpha_HW.max() == 1 else _full(alpha_HW, 8 * alpha_HW.dtype.itemsize, name)[0]
    usual = full == 255 and _is_flat(stored.pixels, 0) and not _is_flat(alpha_HW, 0)
    return _Reading(MaskMeaning.ALPHA, alpha_HW, full, alpha_HW, usual)


def _colour(stored: StoredMask, name: str) -> _Reading:
    """How far a pixel is from grey, as a share of the file's strongest colour; 0 everywhere in a black picture."""
    pixels = stored.pixels
    if stored.is_grey:
        if stored.brightness_HW.max() > _levels(pixels, _GREY_WITHIN):
            raise ImageError(
                f"mask_meaning is colour, but {name} ({stored.layout}) is grey; set mask_meaning to auto or brightness."
            )
        return _Reading(MaskMeaning.COLOUR, np.zeros(pixels.shape[:2], np.uint8), 255, pixels, usual=False)
    chroma_HW = _chroma(pixels)
    strongest = float(chroma_HW.max())
    if stored.lossy:
        strongest = float(np.median(chroma_HW[chroma_HW >= 0.75 * strongest]))
    return _Reading(MaskMeaning.COLOUR, chroma_HW, strongest, pixels, usual=False)


def _nonzero(stored: StoredMask, name: str) -> _Reading:
    pixels = stored.pixels
    if not pixels.min() >= 0:
        raise ImageError(f"{name} ({stored.layout}) holds values below 0 or none at all; save it as a plain grey mask.")
    values_HW = pixels if pixels.ndim == 2 else pixels.max(axis=2)
    counts_HW = values_HW >= _LOSSY_NONZERO if stored.lossy else values_HW > 0
    return _Reading(MaskMeaning.NONZERO, counts_HW.astype(np.uint8), 1, pixels, usual=False)


def _full(values_HW: np.ndarray, bits: int, name: str) -> tuple[float, bool]:
    """Which value counts fully, and whether masks of so many bits were always read by it."""
    if not np.isfinite(values_HW).all():
        raise ImageError(f"{name} holds values that are not numbers; save it as an 8-bit PNG, 255 for full weight.")
    least, most = values_HW.min(), values_HW.max()
    if values_HW.dtype.kind == "f":
        if least >= -_ROUNDING and most <= 1 + _ROUNDING:
            return 1.0, False
        if least >= -_ROUNDING and most <= 255.5:
            return 255.0, False
    elif bits <= 8:
        return 255.0, True
    elif least >= 0 and most <= 255:
        return 255.0, bits > 16
    elif least >= 0 and most <= 65535:
        # Shifted by 8 bits instead of scaled: 255 became 65280.
        shifted = most == 65280 and not (values_HW & 255).any()
        return (65280.0, False) if shifted else (65535.0, True)
    elif least >= 0 and most in (2**31 - 1, 2**32 - 1):
        return float(most), False
    raise ImageError(
        f"{name} holds values from {least:g} to {most:g}, and it is not known which of them counts fully; expected 0 "
        "to 1, 0 to 255 or 0 to 65535: save it as an 8- or 16-bit PNG."
    )


def _is_flat(pixels: np.ndarray, within: int) -> bool:
    """Whether all pixels of (N,), (N,3), (H,W) or (H,W,3) are one colour."""
    if not pixels.size:
        return True
    colours = pixels.reshape(-1, pixels.shape[-1] if pixels.shape[-1] == 3 and pixels.ndim != 1 else 1)
    return float((colours.max(axis=0) - colours.min(axis=0)).max()) <= _levels(pixels, within)


def _levels(pixels: np.ndarray, levels: int) -> int:
    return levels if pixels.dtype == np.uint8 else levels * 257


def _chroma(rgb_HWC: np.ndarray) -> np.ndarray:
    red, green, blue = (rgb_HWC[..., channel] for channel in range(3))
    return np.maximum(np.maximum(red, green), blue) - np.minimum(np.minimum(red, green), blue)


def _without_hidden(pixels: np.ndarray, alpha_HW: np.ndarray) -> np.ndarray:
    shown = pixels.copy()
    shown[alpha_HW == 0] = 0
    return shown


def _is_shades_on_black(stored: StoredMask, coloured: _Reading) -> bool:
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
    on_black = bool((stored.pixels.max(axis=2) <= _levels(stored.pixels, _GREY_WITHIN)).any())
    return (MaskMeaning.BRIGHTNESS, MaskMeaning.COLOUR, *((MaskMeaning.NONZERO,) if on_black else ()))


def _several(stored: StoredMask, meanings: tuple[MaskMeaning, ...], name: str) -> ImageError:
    """The refusal of a file with several meanings, with what each would weigh on average."""
    told: list[str] = []
    for meaning in meanings:
        mean = float(_as_told(stored, meaning, name).mask_HW.mean(dtype=np.float64)) / 255
        told.append(f"{_SAID[meaning]} ({meaning.value}: {mean:.1%} of full weight on average)")
    return ImageError(
        f"{name} ({stored.layout}) has {'two' if len(told) == 2 else 'several'} meanings as a mask: "
        f"{' or '.join(told)}. Set mask_meaning of Load Dataset to {' or '.join(each.value for each in meanings)}, or "
        "save the mask as a plain grey picture in which white is full weight."
    )
