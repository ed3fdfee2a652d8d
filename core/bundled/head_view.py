"""One head and shoulders at a standard scale, with coordinates measured in face heights.

`up` and `aside` follow the head's own tilt, `below_chin` and `from_chin` follow gravity, as long hair does.
"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from ..resample import shrink_then_enlarge

FACE_PX = 72  # height of the mesh's oval in a view
_LEFT, _ABOVE, _BELOW = 2.2, 1.8, 4.0  # extent of a view from the face's middle, in face heights
_FOREHEAD, _CHIN = 10, 152  # mesh points


@dataclass(frozen=True, eq=False)
class HeadView:
    """All arrays share the view's grid. Lengths are in face heights (mid-forehead to chin), float32.

    rgb_HWC uint8. person_HW bool: this person, nobody else. taken_HW bool: someone else, or outside the picture.
    background_HW bool: surely nobody. oval_HW bool: the mesh's oval; it ends at mid-forehead.
    inner_HW bool: the oval without its border. up_HW: 0 at the face's middle, 0.5 at mid-forehead, -0.5 at the chin.
    aside_HW: distance from the face's axis. below_chin_HW, from_chin_HW: downwards and sideways from the chin.
    """

    rgb_HWC: np.ndarray
    person_HW: np.ndarray
    taken_HW: np.ndarray
    background_HW: np.ndarray
    oval_HW: np.ndarray
    inner_HW: np.ndarray
    up_HW: np.ndarray
    aside_HW: np.ndarray
    below_chin_HW: np.ndarray
    from_chin_HW: np.ndarray
    picture_to_view_23: np.ndarray

    def to_picture(self, mask_HW: np.ndarray, size: tuple[int, int]) -> np.ndarray:
        """A mask of the view on the picture of `size` (width, height), softened by a pixel: float32 HW in [0, 1]."""
        soft_HW = cv2.GaussianBlur(mask_HW.astype(np.float32), (3, 3), 0)
        return cv2.warpAffine(soft_HW, cv2.invertAffineTransform(self.picture_to_view_23), size)


def view_head(
    rgb_HWC: np.ndarray, points_N2: np.ndarray, oval_N2: np.ndarray, own_HW: np.ndarray, others_HW: np.ndarray
) -> HeadView:
    """Cut out the head whose mesh points and oval are given in pixels of this RGB uint8 picture.

    `own_HW`, `others_HW`: how surely a pixel of the picture is this person, and anybody else; float32 in [0, 1].
    """
    forehead, chin = points_N2[_FOREHEAD], points_N2[_CHIN]
    height_px = max(float(np.linalg.norm(forehead - chin)), 1.0)
    up = (forehead - chin) / height_px
    middle, scale = (forehead + chin) / 2, FACE_PX / height_px
    corner = middle - np.array([_LEFT, _ABOVE]) * height_px
    to_view_23 = np.array([[scale, 0, -corner[0] * scale], [0, scale, -corner[1] * scale]])
    size = (round(2 * _LEFT * FACE_PX), round((_ABOVE + _BELOW) * FACE_PX))
    oval_HW = np.zeros((size[1], size[0]), np.uint8)
    cv2.fillPoly(oval_HW, [np.rint(oval_N2 * scale + to_view_23[:, 2]).astype(np.int32)], 1)
    inner_HW = cv2.erode(oval_HW, np.ones((9, 9), np.uint8))
    y, x = np.mgrid[: size[1], : size[0]].astype(np.float32)
    centre, chin_at = middle * scale + to_view_23[:, 2], chin * scale + to_view_23[:, 2]
    dx, dy = x - np.float32(centre[0]), y - np.float32(centre[1])
    own_view_HW = cv2.warpAffine(own_HW, to_view_23, size)
    outside_HW = cv2.warpAffine(np.ones_like(own_HW), to_view_23, size) < 0.9
    taken_HW = (cv2.warpAffine(others_HW, to_view_23, size) > 0.5) | outside_HW
    return HeadView(
        rgb_HWC=_shrunk_crop(rgb_HWC, to_view_23, size),
        person_HW=own_view_HW > 0.5,
        taken_HW=taken_HW,
        background_HW=(own_view_HW < 0.2) & ~taken_HW,
        oval_HW=oval_HW > 0,
        inner_HW=inner_HW > 0,
        up_HW=((dx * up[0] + dy * up[1]) / FACE_PX).astype(np.float32),
        aside_HW=np.abs((dx * -up[1] + dy * up[0]) / FACE_PX).astype(np.float32),
        below_chin_HW=(y - np.float32(chin_at[1])) / FACE_PX,
        from_chin_HW=np.abs(x - np.float32(chin_at[0])) / FACE_PX,
        picture_to_view_23=to_view_23,
    )


def _shrunk_crop(rgb_HWC: np.ndarray, to_view_23: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    scale = float(to_view_23[0, 0])
    if scale < 1.0:
        # warpAffine does not average; shrink the picture first and place the rest of the transform on top.
        height, width = rgb_HWC.shape[:2]
        rgb_HWC = shrink_then_enlarge(rgb_HWC, (max(1, round(width * scale)), max(1, round(height * scale))))
        ratio = np.array([rgb_HWC.shape[1] / width, rgb_HWC.shape[0] / height])
        to_view_23 = np.concatenate([to_view_23[:, :2] / ratio, to_view_23[:, 2:]], axis=1)
    return cv2.warpAffine(rgb_HWC, to_view_23, size, borderMode=cv2.BORDER_REPLICATE)
