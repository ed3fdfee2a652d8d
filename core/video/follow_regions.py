"""Regions of one frame of a video, followed through the frames behind it: where what they show moves, they move along.

Corners in and, where a region is bare, around it are tracked from frame to frame (pyramidal Lucas–Kanade, Bouguet
2000), there and back; those that come back agree on a shift, a turn and a scale, or the region is lost, as at a cut.
Where the region still looks as in its own frame it is found from there, so that small errors do not add up. It fails
closed: a region that is lost is not found again. `_HW` is a frame's pixel grid, `_hw` the same frame at no
more than 640 pixels, `_23` an affine map of the former: (x, y) → A·(x, y, 1).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import cv2
import numpy as np

TRACK_PX = 640
VERSION = 1
_CORNERS = 160
_QUALITY = 0.01  # of the best corner's
_APART_PX = 4
_LEAST_CORNERS = 8
_WINDOW = (21, 21)
_LEVELS = 3
_MARGIN_PX = 96  # around the points, which the window sees at the coarsest level
_BACK_PX = 0.7  # a corner that comes back further away than this was another one
_AGREE_PX = 1.5
_LEAST_AGREEING = 0.5
_LEAST_ALIKE = 0.6  # of a region's corners that are found from its own frame
_MOST_SCALE = 1.3  # from one frame to the next
_LEAST_INSIDE = 0.15  # of a region; one that has left the picture is over
_AROUND = (0.0, 0.04, 0.12, 1.0)  # of the longer side: how far around a bare region corners are taken from
_STILL = 1.5  # grey levels: where two frames differ by less, on the average, nothing moves
_NEAR = 0.01  # of the longer side: paint that is nearer to other paint is one region with it
_MOST_REGIONS = 12


@dataclass(eq=False)
class _Track:
    """A region at the frame it comes from, small, with that frame and the corners there; and where it is by now; None:
    lost."""

    region_hw: np.ndarray
    own_hw: np.ndarray
    corners_N12: np.ndarray | None
    moved_23: np.ndarray | None


def regions_of(painted_HW: np.ndarray) -> list[np.ndarray]:
    """The regions of what is painted (bool), each of them bool: what lies near together is one. The smallest of very
    many are one together."""
    reach = max(1, round(_NEAR * max(painted_HW.shape)))
    near_HW = cv2.dilate(painted_HW.astype(np.uint8), np.ones((2 * reach + 1, 2 * reach + 1), np.uint8))
    count, labels_HW = cv2.connectedComponents(near_HW)
    regions = [(labels_HW == label) & painted_HW for label in range(1, count)]
    regions.sort(key=lambda region_HW: -int(region_HW.sum()))
    if len(regions) > _MOST_REGIONS:
        rest_HW = np.logical_or.reduce(regions[_MOST_REGIONS - 1 :])
        regions = [*regions[: _MOST_REGIONS - 1], rest_HW]
    return regions


def follow_regions(regions: Sequence[np.ndarray], frames: Iterable[np.ndarray]) -> Iterator[list[np.ndarray | None]]:
    """Where each region (region_HW bool, of the first frame) is in each frame behind the first: how it has moved since
    then, `moved_23` float64 in pixels of the frames, or None from where it is lost on.

    `frames` are rgb_HWC uint8, of one size. Ends with the frames, or when every region is lost.
    """
    before_hw: np.ndarray | None = None
    tracks: list[_Track] = []
    scale = 1.0
    for rgb_HWC in frames:
        now_hw, scale = _small_grey(rgb_HWC)
        if before_hw is None:
            size = (now_hw.shape[1], now_hw.shape[0])
            small = [_shrunk(region_HW, size) for region_HW in regions]
            tracks = [_Track(each_hw, now_hw, _corners(each_hw, now_hw), np.eye(2, 3)) for each_hw in small]
        else:
            for track in tracks:
                track.moved_23 = _step(track, before_hw, now_hw)
            if all(track.moved_23 is None for track in tracks):
                return
            yield [None if track.moved_23 is None else _enlarged(track.moved_23, scale) for track in tracks]
        before_hw = now_hw


def move(mask_HW: np.ndarray, moved_23: np.ndarray) -> np.ndarray:
    """A mask (uint8) moved; outside of what it showed it is 0, and no value is mixed from two."""
    height, width = mask_HW.shape
    return cv2.warpAffine(mask_HW, moved_23, (width, height), flags=cv2.INTER_NEAREST)


def _step(track: _Track, before_hw: np.ndarray, now_hw: np.ndarray) -> np.ndarray | None:
    """Where a region is in the next frame; None where that cannot be told."""
    moved_23 = track.moved_23
    if moved_23 is None:
        return None
    here_hw = move(track.region_hw, moved_23)
    step_23 = _motion(before_hw, now_hw, _corners(here_hw, before_hw))
    stepped_23 = None if step_23 is None else _after(step_23, moved_23)
    found_23 = _motion(
        track.own_hw, now_hw, track.corners_N12, moved_23 if stepped_23 is None else stepped_23, _LEAST_ALIKE
    )
    found_23 = stepped_23 if found_23 is None else found_23
    if found_23 is None:
        near_hw = _around(here_hw, _AROUND[1])
        if float(cv2.absdiff(before_hw, now_hw)[near_hw > 0].mean()) >= _STILL:
            return None
        found_23 = moved_23
    whole = int(np.count_nonzero(track.region_hw))
    if np.count_nonzero(move(track.region_hw, found_23)) < _LEAST_INSIDE * whole:
        return None
    return found_23


def _after(step_23: np.ndarray, moved_23: np.ndarray) -> np.ndarray:
    """The one motion after the other."""
    return step_23 @ np.vstack([moved_23, (0.0, 0.0, 1.0)])


def _motion(
    from_hw: np.ndarray,
    to_hw: np.ndarray,
    corners_N12: np.ndarray | None,
    guess_23: np.ndarray | None = None,
    least: float = _LEAST_AGREEING / 2,
) -> np.ndarray | None:
    """How corners move from one frame to another, near the guess, where at least that share of them is found:
    `step_23` of the small grid."""
    if corners_N12 is None:
        return None
    guess_23 = np.eye(2, 3) if guess_23 is None else guess_23
    needed = max(_LEAST_CORNERS // 2, least * len(corners_N12))
    there_N12, found_N = _track(from_hw, to_hw, corners_N12, cv2.transform(corners_N12, guess_23))
    if found_N.sum() < needed:
        return None
    corners_N12, there_N12 = corners_N12[found_N], there_N12[found_N]
    back_N12 = cv2.transform(there_N12, cv2.invertAffineTransform(guess_23))
    back_N12, same_N = _track(to_hw, from_hw, there_N12, back_N12)
    same_N &= np.hypot(*(back_N12 - corners_N12)[:, 0].T) < _BACK_PX
    if same_N.sum() < needed:
        return None
    found, agree_N1 = cv2.estimateAffinePartial2D(
        corners_N12[same_N], there_N12[same_N], method=cv2.RANSAC, ransacReprojThreshold=_AGREE_PX
    )
    step_23 = cast("np.ndarray | None", found)  # OpenCV's types forget that there may be none
    if step_23 is None or float(agree_N1.mean()) < _LEAST_AGREEING:
        return None
    scale = float(np.hypot(step_23[0, 0], step_23[1, 0]) / np.hypot(guess_23[0, 0], guess_23[1, 0]))
    return step_23 if 1 / _MOST_SCALE < scale < _MOST_SCALE else None


def _corners(here_hw: np.ndarray, grey_hw: np.ndarray) -> np.ndarray | None:
    """Corners (N,1,2) of a frame in a region, or around it where it is bare; None where there are none."""
    for share in _AROUND:
        found = cv2.goodFeaturesToTrack(grey_hw, _CORNERS, _QUALITY, _APART_PX, mask=_around(here_hw, share))
        corners_N12 = cast("np.ndarray | None", found)
        if corners_N12 is not None and len(corners_N12) >= _LEAST_CORNERS:
            return corners_N12
    return None


def _around(region_hw: np.ndarray, share: float) -> np.ndarray:
    """A region and what is around it, so far as that share of the longer side."""
    reach = round(share * max(region_hw.shape))
    return cv2.dilate(region_hw, np.ones((2 * reach + 1, 2 * reach + 1), np.uint8)) if reach else region_hw


def _track(
    from_hw: np.ndarray, to_hw: np.ndarray, points_N12: np.ndarray, guess_N12: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Where points (N,1,2 float32) are in another frame, near the guess, and which of them were found (N). Nothing but
    what is around them is looked at."""
    both_M2 = np.concatenate([points_N12, guess_N12])[:, 0].clip(0, from_hw.shape[::-1])
    low, high = np.floor(both_M2.min(axis=0)) - _MARGIN_PX, np.ceil(both_M2.max(axis=0)) + _MARGIN_PX
    left, top = (max(0, int(edge)) for edge in low)
    place, corner = np.s_[top : int(high[1]), left : int(high[0])], np.array([left, top], np.float32)
    there_N12, found_N1, _ = cv2.calcOpticalFlowPyrLK(
        from_hw[place], to_hw[place], points_N12 - corner, (guess_N12 - corner).astype(np.float32),
        winSize=_WINDOW, maxLevel=_LEVELS, flags=cv2.OPTFLOW_USE_INITIAL_FLOW,
    )  # fmt: skip
    return there_N12 + corner, found_N1[:, 0] > 0


def _small_grey(rgb_HWC: np.ndarray) -> tuple[np.ndarray, float]:
    """grey_hw uint8 of a frame, and its scale."""
    grey_HW = cv2.cvtColor(rgb_HWC, cv2.COLOR_RGB2GRAY)
    scale = min(1.0, TRACK_PX / max(grey_HW.shape))
    if scale == 1.0:
        return grey_HW, scale
    size = (max(1, round(grey_HW.shape[1] * scale)), max(1, round(grey_HW.shape[0] * scale)))
    return cv2.resize(grey_HW, size, interpolation=cv2.INTER_AREA), scale


def _shrunk(region_HW: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """region_hw uint8, 255 where a pixel of the region lies; no region is lost for being small."""
    small = cv2.resize(region_HW.astype(np.uint8) * np.uint8(255), size, interpolation=cv2.INTER_AREA)
    return (small > 0).astype(np.uint8) * np.uint8(255)


def _enlarged(moved_23: np.ndarray, scale: float) -> np.ndarray:
    """The same motion in pixels of the frames. Pixels are counted from their middles, so that the grids' origins are
    half a pixel of each apart."""
    to_small = np.array([[scale, 0, (scale - 1) / 2], [0, scale, (scale - 1) / 2], [0, 0, 1]])
    whole = np.linalg.inv(to_small) @ np.vstack([moved_23, (0.0, 0.0, 1.0)]) @ to_small
    return whole[:2]
