"""What each meaning makes of a mask file's values: brightness, alpha, colour, or everything that is not 0.

H, W pixel grid, C channels.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

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


# Channels that differ no more are one grey: lossy formats bring about as much.
GREY_WITHIN = 16
_LOSSY_NONZERO = 32
# How far resampling may lead floats out of their range.
ROUNDING = 1e-3


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
        return self.pixels.ndim == 2 or int(_chroma(self.pixels).max()) <= in_depth(self.pixels, GREY_WITHIN)

    @property
    def brightness_HW(self) -> np.ndarray:
        """Luminance of Rec. 601, of the pixels' own dtype."""
        if self.pixels.ndim == 2:
            return self.pixels
        if self.pixels.dtype == np.uint8:
            return np.asarray(Image.fromarray(self.pixels).convert("L"))
        return np.rint(self.pixels @ np.array([0.299, 0.587, 0.114])).astype(self.pixels.dtype)


@dataclass(frozen=True, eq=False)
class Reading:
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


def as_told(stored: StoredMask, meaning: MaskMeaning, name: str) -> Reading:
    """What a file weighs by a meaning that is told, which `auto` is not. `name` is what errors call the file."""
    readers = {
        MaskMeaning.ALPHA: read_alpha,
        MaskMeaning.COLOUR: read_colour,
        MaskMeaning.NONZERO: read_nonzero,
        MaskMeaning.BRIGHTNESS: read_brightness,
    }
    return readers[meaning](stored, name)


def read_brightness(stored: StoredMask, name: str) -> Reading:
    """Luminance; ImageError for values without a known range."""
    grey_HW = stored.brightness_HW
    full, usual = _full(grey_HW, stored.bits, name)
    return Reading(MaskMeaning.BRIGHTNESS, grey_HW, full, grey_HW, usual)


def read_alpha(stored: StoredMask, name: str) -> Reading:
    """Alpha; ImageError where there is none."""
    alpha_HW = stored.alpha_HW
    if alpha_HW is None:
        raise ImageError(
            f"mask_meaning is alpha, but {name} ({stored.layout}) has no alpha; set mask_meaning to auto or brightness."
        )
    # A class map of 0 and 1 may be put into alpha as well.
    full = 1.0 if alpha_HW.max() == 1 else _full(alpha_HW, 8 * alpha_HW.dtype.itemsize, name)[0]
    usual = full == 255 and is_flat(stored.pixels, 0) and not is_flat(alpha_HW, 0)
    return Reading(MaskMeaning.ALPHA, alpha_HW, full, alpha_HW, usual)


def read_colour(stored: StoredMask, name: str) -> Reading:
    """How far a pixel is from grey, as a fraction of the file's strongest colour; 0 everywhere in a black picture."""
    pixels = stored.pixels
    if stored.is_grey:
        if stored.brightness_HW.max() > in_depth(pixels, GREY_WITHIN):
            raise ImageError(
                f"mask_meaning is colour, but {name} ({stored.layout}) is grey; set mask_meaning to auto or brightness."
            )
        return Reading(MaskMeaning.COLOUR, np.zeros(pixels.shape[:2], np.uint8), 255, pixels, usual=False)
    chroma_HW = _chroma(pixels)
    strongest = float(chroma_HW.max())
    if stored.lossy:
        strongest = float(np.median(chroma_HW[chroma_HW >= 0.75 * strongest]))
    return Reading(MaskMeaning.COLOUR, chroma_HW, strongest, pixels, usual=False)


def read_nonzero(stored: StoredMask, name: str) -> Reading:
    """Everything that is not 0 counts fully; ImageError for values below 0."""
    pixels = stored.pixels
    if not pixels.min() >= 0:
        raise ImageError(f"{name} ({stored.layout}) holds values below 0 or none at all; save it as a plain grey mask.")
    values_HW = pixels if pixels.ndim == 2 else pixels.max(axis=2)
    counts_HW = values_HW >= _LOSSY_NONZERO if stored.lossy else values_HW > 0
    return Reading(MaskMeaning.NONZERO, counts_HW.astype(np.uint8), 1, pixels, usual=False)


def _full(values_HW: np.ndarray, bits: int, name: str) -> tuple[float, bool]:
    """Which value counts fully, and whether masks of so many bits were always read by it."""
    if not np.isfinite(values_HW).all():
        raise ImageError(f"{name} holds values that are not numbers; save it as an 8-bit PNG, 255 for full weight.")
    least, most = values_HW.min(), values_HW.max()
    if values_HW.dtype.kind == "f":
        if least >= -ROUNDING and most <= 1 + ROUNDING:
            return 1.0, False
        if least >= -ROUNDING and most <= 255.5:
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


def is_flat(pixels: np.ndarray, within: int) -> bool:
    """Whether all pixels of (H,W) or (H,W,3) are one value or colour, within so many levels of 255."""
    if not pixels.size:
        return True
    return float((pixels.max(axis=(0, 1)) - pixels.min(axis=(0, 1))).max()) <= in_depth(pixels, within)


def in_depth(pixels: np.ndarray, levels: int) -> int:
    """Of a difference in levels of 8 bits: how many it is in the pixels' own depth, uint8 or 16 bits."""
    return levels if pixels.dtype == np.uint8 else levels * 257


def _chroma(rgb_HWC: np.ndarray) -> np.ndarray:
    red, green, blue = (rgb_HWC[..., channel] for channel in range(3))
    return np.maximum(np.maximum(red, green), blue) - np.minimum(np.minimum(red, green), blue)
