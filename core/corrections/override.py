"""A correction by hand: which pixels of a photograph's mask somebody painted, and with which values.

It lies beside the masks as an override, never in them: a grey PNG with alpha, as large as the upright photograph. Where
alpha is 255 a pixel is painted and grey is its weight; elsewhere alpha is 0 and the mask counts as it is. What it was
painted over is noted in the file itself, so that one rename changes all of it. `_HW` pixel grid; sizes are (width,
height).
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image, PngImagePlugin, UnidentifiedImageError

from ..errors import DatasetError, ImageError
from ..files import atomic_write, read_bytes

SUFFIX = ".png"
_NOTE = "maskloss"
NO_REVISION = ""


@dataclass(frozen=True)
class PaintedOver:
    """What a correction belongs to. `photograph`: its file's SHA-256. `base`: what tells the mask under it from others,
    empty where there is none. `file`: the photograph's path, for people."""

    photograph: str
    base: str = ""
    file: str = ""


@dataclass(frozen=True, eq=False)
class Correction:
    """values_HW uint8, 255 counts fully; painted_HW bool, of the upright photograph's size. `over` is None in a file
    that another program has written."""

    values_HW: np.ndarray
    painted_HW: np.ndarray
    over: PaintedOver | None = None

    @property
    def size(self) -> tuple[int, int]:
        """(width, height)."""
        return self.values_HW.shape[1], self.values_HW.shape[0]

    @property
    def fraction(self) -> float:
        """The fraction of the picture that is painted."""
        return float(self.painted_HW.mean())

    def apply(self, weights_HW: np.ndarray) -> np.ndarray:
        """The weights (float32 in [0, 1], or uint8 of 255, of this size) with the painted ones in their places.
        ImageError on another size."""
        if weights_HW.shape != self.values_HW.shape:
            height, width = weights_HW.shape
            raise ImageError(
                f"a correction is {self.size[0]}x{self.size[1]} and the mask under it {width}x{height}: it was painted "
                "over another picture; revert it (`maskloss corrections revert`) and paint it again"
            )
        corrected_HW = weights_HW.copy()
        rows = np.flatnonzero(self.painted_HW.any(axis=1))
        if len(rows):
            part = np.s_[rows[0] : rows[-1] + 1]
            values_HW = self.values_HW[part]
            if weights_HW.dtype != np.uint8:
                values_HW = values_HW.astype(np.float32) / np.float32(255)
            np.copyto(corrected_HW[part], values_HW, where=self.painted_HW[part])
        return corrected_HW


def read_correction(path: Path) -> Correction:
    """A correction's file. ImageError when it is missing, damaged or no such file."""
    try:
        with Image.open(path) as image:
            if image.format != "PNG" or image.mode != "LA":
                raise ImageError(
                    f"{path} is no correction: expected a grey PNG with alpha, found {image.format} {image.mode}"
                )
            values, alpha = image.split()
            note = getattr(image, "text", {}).get(_NOTE)
        over = None if note is None else PaintedOver(**_texts(json.loads(note)))
    except (OSError, SyntaxError, ValueError, TypeError, UnidentifiedImageError) as error:
        raise ImageError(f"The correction {path} cannot be read ({error}); revert it and paint it again.") from error
    return Correction(np.array(values), np.asarray(alpha) >= 128, over)


def write_correction(path: Path, correction: Correction) -> None:
    """Write it, whole or not at all."""
    alpha_HW = correction.painted_HW * np.uint8(255)
    planes = (Image.fromarray(plane_HW) for plane_HW in (correction.values_HW & alpha_HW, alpha_HW))
    note = PngImagePlugin.PngInfo()
    if correction.over is not None:
        note.add_text(_NOTE, json.dumps(vars(correction.over)))
    with atomic_write(path) as temporary:
        # A stroke waits for it, and tiers pack well at any level.
        Image.merge("LA", tuple(planes)).save(temporary, "PNG", pnginfo=note, compress_level=1)


def size_of(path: Path) -> tuple[int, int]:
    """(width, height) by the header. ImageError as `read_correction`."""
    try:
        with Image.open(path) as image:
            return image.size
    except (OSError, SyntaxError, ValueError) as error:
        raise ImageError(f"The correction {path} cannot be read ({error}); revert it and paint it again.") from error


def note_of(path: Path) -> PaintedOver | None:
    """What a correction was painted over, by the header. ImageError as `read_correction`."""
    try:
        with Image.open(path) as image:
            # Before the pixels, where ours is; to look behind them, Pillow decodes them.
            note = image.info.get(_NOTE) or getattr(image, "text", {}).get(_NOTE)
        return None if note is None else PaintedOver(**_texts(json.loads(note)))
    except (OSError, SyntaxError, ValueError, TypeError) as error:
        raise ImageError(f"The correction {path} cannot be read ({error}); revert it and paint it again.") from error


def revision_of(path: Path) -> str:
    """What tells this state of a correction from every other one; `NO_REVISION` where there is none."""
    try:
        return hashlib.sha256(read_bytes(path)).hexdigest()[:16]
    except FileNotFoundError:
        return NO_REVISION
    except OSError as error:
        raise DatasetError(
            f"The correction {path} cannot be read ({error.strerror}); check its permissions."
        ) from error


def _texts(stored: Any) -> dict[str, str]:
    """The texts of a note; ValueError where it is none."""
    if not isinstance(stored, dict) or not all(isinstance(value, str) for value in stored.values()):
        raise ValueError("its note is damaged")
    return stored
