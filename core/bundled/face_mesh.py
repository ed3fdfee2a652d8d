"""MediaPipe's face mesh: 468 points of one face, of which this pack uses the outline, the forehead and the chin."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from .blazeface import Detection
from .nets import load_net, sigmoid
from .registry import FACE_MESH

_INPUT_PX = 192
_AT_ONCE = 8  # faces that the net is shown together
_REGION = 1.5  # side of the upright square around the face, in sides of its box
_OUTPUTS = ("conv2d_21", "conv2d_31")
# FACEMESH_FACE_OVAL of MediaPipe, clockwise from the middle of the forehead.
_OVAL = (10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
         152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109)  # fmt: skip


@dataclass(frozen=True, eq=False)
class FaceMesh:
    """`points_N2`: 468 points in pixels of the picture, float64. `score`: how sure the net is that a face is there."""

    points_N2: np.ndarray
    score: float

    @property
    def oval_N2(self) -> np.ndarray:
        """36 points around the face, from the middle of the forehead."""
        return self.points_N2[list(_OVAL)]


def fit_meshes(rgb_HWC: np.ndarray, faces: Sequence[Detection]) -> list[FaceMesh]:
    """Fit the mesh to each detected face of an RGB uint8 picture."""
    meshes: list[FaceMesh] = []
    for first in range(0, len(faces), _AT_ONCE):
        forward = [_forward(face) for face in faces[first : first + _AT_ONCE]]
        crops_NHWC = np.stack(
            [
                cv2.warpAffine(rgb_HWC, forward_23, (_INPUT_PX, _INPUT_PX), flags=cv2.INTER_LINEAR)
                for forward_23 in forward
            ]
        )
        found = load_net(FACE_MESH, _OUTPUTS).run(crops_NHWC.astype(np.float32) / 255.0)
        for forward_23, points, logit in zip(forward, *found, strict=True):
            back_23 = cv2.invertAffineTransform(forward_23)
            points_N2 = points.reshape(468, 3)[:, :2].astype(np.float64) @ back_23[:, :2].T + back_23[:, 2]
            meshes.append(FaceMesh(points_N2, float(sigmoid(logit.reshape(-1))[0])))
    return meshes


def _forward(face: Detection) -> np.ndarray:
    """From the picture to the net's input."""
    eyes = face.keypoints_K2[1] - face.keypoints_K2[0]
    return square_to_input(face.centre, face.side_px * _REGION, float(np.arctan2(eyes[1], eyes[0])), _INPUT_PX)


def square_to_input(centre: np.ndarray, side_px: float, angle: float, input_px: int) -> np.ndarray:
    """2 x 3 affine matrix that takes a square of the picture, turned by `angle` radians, to a net's input."""
    cos, sin = np.cos(angle), np.sin(angle)
    corners = np.array([[-0.5, -0.5], [0.5, -0.5], [0.5, 0.5]]) * side_px
    source = (corners @ np.array([[cos, -sin], [sin, cos]]).T + centre).astype(np.float32)
    target = np.array([[0, 0], [input_px, 0], [input_px, input_px]], np.float32)
    return cv2.getAffineTransform(source, target)
