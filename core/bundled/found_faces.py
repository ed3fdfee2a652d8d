"""Faces of a picture as the bundled networks find them, shared by the recogniser and the segmenters."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from .blazeface import Detection, detect
from .face_mesh import FaceMesh, fit_meshes
from .findings import Findings

MIN_FACE_SCORE = 0.6
# The mesh net's word on what the detector takes for a face. False ones of 22 pictures without a face had 0.03 at most;
# of 50 faces the lowest, one turned away, had 0.21.
MIN_MESH_SCORE = 0.1

_MOST_BYTES = 8 << 20  # a thousand faces


@dataclass(frozen=True, eq=False)
class FoundFace:
    """One face: its detection and its mesh."""

    detection: Detection
    mesh: FaceMesh


def find_faces(rgb_HWC: np.ndarray) -> tuple[FoundFace, ...]:
    """Faces of an upright uint8 RGB picture, from left to right by their middles: those that score at least
    MIN_FACE_SCORE and whose mesh scores at least MIN_MESH_SCORE."""
    return _found.get(rgb_HWC, lambda: _find(rgb_HWC))


def _find(rgb_HWC: np.ndarray) -> tuple[FoundFace, ...]:
    detections = sorted(detect(rgb_HWC, MIN_FACE_SCORE), key=lambda face: (face.box[0] + face.box[2], face.box[1]))
    faces = map(FoundFace, detections, fit_meshes(rgb_HWC, detections))
    return tuple(face for face in faces if face.mesh.score >= MIN_MESH_SCORE)


def _size_of(faces: tuple[FoundFace, ...]) -> int:
    return sum(face.mesh.points_N2.nbytes + face.detection.keypoints_K2.nbytes + 500 for face in faces) + 500


_found: Findings[tuple[FoundFace, ...]] = Findings(_MOST_BYTES, _size_of)
