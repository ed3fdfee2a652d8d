"""A stroke of the brush on a correction's file: who paints has to know its newest state, and it is changed whole.

`_HW` pixel grid; sizes are (width, height).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..errors import DatasetError, ImageError
from .override import NO_REVISION, Correction, PaintedOver, read_correction, revision_of, write_correction

Size = tuple[int, int]


class StaleRevisionError(DatasetError):
    """Somebody else, such as another browser tab, changed the correction meanwhile. `revision` is what there is now."""

    def __init__(self, path: Path, revision: str) -> None:
        super().__init__(f"The correction {path.name} was changed elsewhere meanwhile; load it again, then go on.")
        self.revision = revision


@dataclass(frozen=True, eq=False)
class Patch:
    """A rectangle of a mask after a stroke. values_HW uint8; painted_HW bool, False where a stroke takes paint away."""

    left: int
    top: int
    values_HW: np.ndarray
    painted_HW: np.ndarray


def paint_file(
    path: Path,
    size: Size,
    patch: Patch | None,
    over: PaintedOver,
    revision: str,
    start: Correction | None = None,
    keep_empty: bool = False,
) -> str:
    """As `CorrectionStore.paint`, on a file, in a folder that is locked. `start`: what lies under the stroke where
    there is no file yet. With `keep_empty` a correction without paint is a file too."""
    check_inside(patch, size)
    before = check_revision(path, revision)
    correction = start if before == NO_REVISION else read_correction(path)
    if correction is None or correction.size != size:
        correction = Correction(np.zeros(size[::-1], np.uint8), np.zeros(size[::-1], np.bool_))
    correction = replace(correction, over=over)
    if patch is not None:
        correction = _painted(correction, patch)
    if not keep_empty and not correction.painted_HW.any():
        path.unlink(missing_ok=True)
        return NO_REVISION
    write_correction(path, correction)
    return revision_of(path)


def check_revision(path: Path, revision: str) -> str:
    """The revision of a correction, which is to be this one. StaleRevisionError where it is another."""
    before = revision_of(path)
    if before != revision:
        raise StaleRevisionError(path, before)
    return before


def check_inside(patch: Patch | None, size: Size) -> None:
    """ImageError where a patch does not lie inside `size`."""
    if patch is None:
        return
    height, width = patch.values_HW.shape
    inside = patch.left >= 0 and patch.top >= 0 and patch.left + width <= size[0] and patch.top + height <= size[1]
    if not inside or patch.painted_HW.shape != patch.values_HW.shape:
        raise ImageError(
            f"a stroke of {width}x{height} at {patch.left},{patch.top} does not lie inside {size[0]}x{size[1]}"
        )


def _painted(correction: Correction, patch: Patch) -> Correction:
    values_HW, painted_HW = correction.values_HW.copy(), correction.painted_HW.copy()
    height, width = patch.values_HW.shape
    place = np.s_[patch.top : patch.top + height, patch.left : patch.left + width]
    values_HW[place], painted_HW[place] = patch.values_HW, patch.painted_HW
    return replace(correction, values_HW=values_HW, painted_HW=painted_HW)
