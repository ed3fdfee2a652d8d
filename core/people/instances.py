"""One person's mask, taken from among everyone's. `_HW` is the pixel grid, `_hw` a window of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np

from ..errors import ImageError, InternalError, PersonError, SettingError
from .faces import Face


@dataclass(frozen=True, eq=False)
class PersonMask:
    """probability_HW: float32 in [0, 1], how surely a pixel is this person. `face_index`: whose it is, when known."""

    probability_HW: np.ndarray
    face_index: int | None = None

    def __post_init__(self) -> None:
        probability_HW = self.probability_HW
        if probability_HW.ndim != 2 or probability_HW.dtype != np.float32:
            raise InternalError(f"a person mask is float32 (H,W), got {probability_HW.dtype} {probability_HW.shape}")


class PersonSegmenter(Protocol):
    """Gives one mask per person. With `parallel = True` several threads may use it at once; with `needs_faces = False`
    it finds people by itself."""

    @property
    def name(self) -> str:
        """What a person calls it."""
        ...

    @property
    def identity(self) -> str:
        """Changes whenever the same picture could give another result."""
        ...

    def segment(self, rgb_HWC: np.ndarray, faces: Sequence[Face]) -> list[PersonMask]:
        """rgb_HWC: uint8 RGB, upright; `faces` are those found in it. Masks have the picture's size."""
        ...


# A mask is a person's when it covers at least half of the face.
MIN_FACE_COVER = 0.5
# Coverages closer than this are equal, and the smaller mask wins: a group's mask covers every face in it.
COVER_STEP = 0.05
# A mask that nobody's face claims is a part of the person (a shirt, a duplicate) when so much of it lies inside.
PART_INSIDE = 0.8
KEEP_COMPONENT = 0.05
FILL_HOLE = 0.01
REMEDY = "Use another person segmenter, or draw this mask by hand."


def isolate_person(faces: Sequence[Face], masks: Sequence[PersonMask], chosen: int) -> np.ndarray:
    """mask_HW bool of the person with face number `chosen`, without anybody else.

    Masks go to faces one to one, by how much of the face they cover (a mask that knows its face goes to it); where
    masks overlap the more probable one has the pixel; components that touch neither the head nor make up 5 % of the
    area are dropped; holes below 1 % of the area that are nobody else's are filled.
    Raises PersonError when the face is not there, has no mask, or its mask also holds another face; ImageError when the
    masks differ in size.
    """
    if not 0 <= chosen < len(faces):
        raise PersonError(f"Face {chosen} was asked for, but the picture shows {len(faces)} faces.")
    if not masks:
        raise PersonError(f"Face {chosen} has no person mask: the person segmenter found nobody in the picture.")
    shapes = {mask.probability_HW.shape for mask in masks}
    if len(shapes) > 1:
        sizes = " and ".join(sorted(f"{width} x {height}" for height, width in shapes))
        raise ImageError(f"The person masks must all have the picture's size, but they are {sizes} pixels.")
    owners, cover_FM = _owners(faces, masks)
    mine = [m for m, owner in enumerate(owners) if owner == chosen]
    if not mine:
        best = max((cover_FM[chosen, m] for m, owner in enumerate(owners) if owner is None), default=0.0)
        raise PersonError(
            f"Face {chosen} has no person mask: of {len(masks)} masks, the best that is not somebody else's covers "
            f"{best:.0%} of it, and {MIN_FACE_COVER:.0%} is needed. {REMEDY}"
        )
    # Outside the window that holds the person's masks nothing is theirs.
    window, own_hw, others_hw = _win(masks, owners, mine)
    kept_hw = _keep_components(own_hw, faces[chosen], window, masks[0].probability_HW.shape)
    if not kept_hw.any():
        raise PersonError(
            f"Face {chosen} has no person mask of its own: where the face is, another person's mask is more probable. "
            f"{REMEDY}"
        )
    isolated_HW = np.zeros(masks[0].probability_HW.shape, bool)
    isolated_HW[window] = _fill_holes(kept_hw, others_hw)
    also = [face.index for face in faces if face.index != chosen and _shows(isolated_HW, face, faces[chosen])]
    if also:
        raise PersonError(
            f"Face {chosen} has no person mask of its own: its mask also holds face {', '.join(map(str, also))}, so "
            f"somebody else would be kept. {REMEDY}"
        )
    return isolated_HW


def apply_instance(
    weights_HW: np.ndarray, instance_HW: np.ndarray, dilate_px: float = 0, feather_px: float = 0
) -> np.ndarray:
    """Weights of everyone, kept where one person is: weights_HW float32 in [0, 1].

    instance_HW: bool, uint8 or float, counts from one half on. It grows by dilate_px; from its edge outwards the
    weights fall off as a Gaussian and reach nothing at feather_px. Inside, and with 0 everywhere, values stay exact.
    Raises ImageError when sizes differ, SettingError on a negative distance.
    """
    if weights_HW.shape != instance_HW.shape:
        sizes = [" x ".join(str(side) for side in reversed(each.shape)) for each in (weights_HW, instance_HW)]
        raise ImageError(
            f"The weights and the person's mask must have the same size, but they are {sizes[0]} and {sizes[1]} "
            "pixels: make both from the same picture."
        )
    for name, value in (("dilate_px", dilate_px), ("feather_px", feather_px)):
        if not 0 <= value < float("inf"):
            raise SettingError(f"{name} must be 0 or more pixels, got {value}.")
    inside_HW = instance_HW >= (128 if instance_HW.dtype == np.uint8 else 0.5)
    if (dilate_px == 0 and feather_px == 0) or not inside_HW.any():
        return np.where(inside_HW, weights_HW, np.float32(0)).astype(np.float32)
    outside_HW = np.logical_not(inside_HW).astype(np.uint8)
    distance_HW = cv2.distanceTransform(outside_HW, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    beyond_HW = np.maximum(distance_HW - np.float32(dilate_px), 0)
    if feather_px == 0:
        return np.where(beyond_HW <= 0, weights_HW, np.float32(0)).astype(np.float32)
    # The Gaussian's sigma is a third of the width, so that what is cut off at the end is about 1 %.
    share_HW = np.exp(-0.5 * np.square(beyond_HW * np.float32(3.0 / feather_px)))
    share_HW[beyond_HW > feather_px] = 0
    return (weights_HW * share_HW).astype(np.float32)


def mask_owners(faces: Sequence[Face], masks: Sequence[PersonMask]) -> list[int | None]:
    """Whose each mask is, as `isolate_person` says: a face's number, or None. The masks have one size."""
    return _owners(faces, masks)[0] if masks else []


def _owners(faces: Sequence[Face], masks: Sequence[PersonMask]) -> tuple[list[int | None], np.ndarray]:
    """Whose each mask is (a face's number or None), and cover_FM: how much of each face each mask covers."""
    owners: list[int | None] = [mask.face_index for mask in masks]
    claimed = {owner for owner in owners if owner is not None}
    free = [m for m, owner in enumerate(owners) if owner is None]
    areas = {m: int(np.count_nonzero(masks[m].probability_HW > 0.5)) for m in free}
    cover_FM = np.zeros((len(faces), len(masks)))
    claims: list[tuple[int, int, int, int]] = []
    for f, face in enumerate(faces):
        window, oval_hw = _oval(face, masks[0].probability_HW.shape)
        for m in free if oval_hw.any() else []:
            cover_FM[f, m] = (masks[m].probability_HW[window] > 0.5)[oval_hw].mean()
            if cover_FM[f, m] >= MIN_FACE_COVER and f not in claimed:
                claims.append((-round(cover_FM[f, m] / COVER_STEP), areas[m], f, m))
    for _, _, f, m in sorted(claims):
        if owners[m] is None and f not in owners:
            owners[m] = f
    return owners, cover_FM


def _oval(face: Face, shape: tuple[int, ...]) -> tuple[tuple[slice, slice], np.ndarray]:
    """The window of the picture that holds the face, and the face's oval in it (bool)."""
    height, width = shape
    x0, y0, x1, y1 = face.box
    left, top = int(np.clip(np.floor(x0), 0, width)), int(np.clip(np.floor(y0), 0, height))
    right, bottom = int(np.clip(np.ceil(x1), left, width)), int(np.clip(np.ceil(y1), top, height))
    ys, xs = np.mgrid[top:bottom, left:right]
    if face.oval_N2 is None:
        across, down = (xs + 0.5 - (x0 + x1) / 2) * 2 / (x1 - x0), (ys + 0.5 - (y0 + y1) / 2) * 2 / (y1 - y0)
        inside = across**2 + down**2 <= 1
    else:
        canvas = np.zeros((bottom - top, right - left), np.uint8)
        points = np.round(face.oval_N2 - np.array([left, top])).astype(np.int32)
        if canvas.size:
            cv2.fillPoly(canvas, [points], 1)
        inside = canvas.astype(bool)
    return (slice(top, bottom), slice(left, right)), inside


def _shows(mask_HW: np.ndarray, face: Face, own: Face) -> bool:
    """Whether the mask covers `face`, unless that is `own` detected a second time."""
    window, oval_hw = _oval(face, mask_HW.shape)
    if not oval_hw.any() or not mask_HW[window][oval_hw].mean() >= MIN_FACE_COVER:
        return False
    (a0, b0, a1, b1), (x0, y0, x1, y1) = face.box, own.box
    shared = max(0.0, min(a1, x1) - max(a0, x0)) * max(0.0, min(b1, y1) - max(b0, y0))
    return shared < 0.5 * min(face.area_px, own.area_px)


def _win(
    masks: Sequence[PersonMask], owners: Sequence[int | None], mine: Sequence[int]
) -> tuple[tuple[slice, slice], np.ndarray, np.ndarray]:
    """The window of the picture that holds the person's masks; in it the pixels that the person wins (own_hw bool), and
    those that lie in anybody else's mask (others_hw bool)."""
    probability_HW = masks[mine[0]].probability_HW
    for m in mine[1:]:
        probability_HW = np.maximum(probability_HW, masks[m].probability_HW)
    inside_HW = probability_HW > 0.5
    area = np.count_nonzero(inside_HW)
    left, top, width, height = cv2.boundingRect(inside_HW.view(np.uint8))
    window = (slice(top, top + height), slice(left, left + width))
    probability_hw, inside_hw = probability_HW[window], inside_HW[window]
    own_hw = inside_hw.copy()
    others_hw = np.zeros_like(own_hw)
    for m, owner in enumerate(owners):
        if m in mine:
            continue
        theirs_HW = masks[m].probability_HW > 0.5
        their_area, theirs_hw = np.count_nonzero(theirs_HW), theirs_HW[window]
        if owner is None and np.count_nonzero(theirs_hw & inside_hw) >= PART_INSIDE * their_area:
            continue
        # Where two masks are equally sure the smaller one has the pixel: it is the more particular.
        rival_hw = masks[m].probability_HW[window]
        stronger_hw = rival_hw >= probability_hw if their_area < area else rival_hw > probability_hw
        own_hw &= ~(theirs_hw & stronger_hw)
        others_hw |= theirs_hw
    return window, own_hw, others_hw


def _keep_components(own_hw: np.ndarray, face: Face, window: tuple[slice, slice], shape: tuple[int, ...]) -> np.ndarray:
    """The components, in this window of the picture, that touch the head or exceed 5 % of the area; nothing at all when
    none touches the head."""
    if not own_hw.any():
        return own_hw
    count, label_hw, stats, _ = cv2.connectedComponentsWithStats(own_hw.astype(np.uint8), connectivity=8)
    areas = stats[:, cv2.CC_STAT_AREA]
    head_HW = np.zeros(shape, bool)
    place, oval_hw = _oval(face, shape)
    head_HW[place] = oval_hw
    at_head = np.bincount(label_hw[head_HW[window]], minlength=count) > 0
    at_head[0] = False
    if not at_head.any():
        return np.zeros_like(own_hw)
    keep = at_head | (areas > KEEP_COMPONENT * areas[1:].sum())
    keep[0] = False
    return keep[label_hw]


def _fill_holes(kept_hw: np.ndarray, others_hw: np.ndarray) -> np.ndarray:
    """Fill enclosed holes below 1 % of the area, unless a part of the hole is somebody else's."""
    # A frame of outside around the picture makes everything that reaches the edge one component, label of the corner.
    framed = np.pad(np.logical_not(kept_hw).astype(np.uint8), 1, constant_values=1)
    count, label_hw, stats, _ = cv2.connectedComponentsWithStats(framed, connectivity=4)
    fill = stats[:, cv2.CC_STAT_AREA] < FILL_HOLE * np.count_nonzero(kept_hw)
    fill[label_hw[0, 0]] = False
    label_hw = label_hw[1:-1, 1:-1]
    fill[0] = False
    fill &= np.bincount(label_hw[others_hw], minlength=count) == 0
    return kept_hw | fill[label_hw]
