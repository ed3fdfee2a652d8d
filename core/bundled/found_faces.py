"""Faces of a picture as the bundled networks find them, shared by the recogniser and the segmenters."""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from ..errors import InternalError
from .blazeface import Detection, detect
from .face_mesh import FaceMesh, fit_meshes

MIN_FACE_SCORE = 0.6
# The mesh net's word on what the detector takes for a face. False ones of 22 pictures without a face had 0.03 at most;
# of 50 faces the lowest, one turned away, had 0.21.
MIN_MESH_SCORE = 0.1

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class FoundFace:
    """One face: its detection and its mesh."""

    detection: Detection
    mesh: FaceMesh


class Recent(Generic[T]):
    """Results for the last few pictures by content: recogniser and segmenters often get the same one in turn.

    Each thread has its own, so that those who work on other pictures meanwhile push nothing out.
    """

    def __init__(self, pictures: int = 2) -> None:
        self._pictures = pictures
        self._own = threading.local()

    def get(self, rgb_HWC: np.ndarray, compute: Callable[[], T], also: bytes = b"") -> T:
        """What `compute` gave for this uint8 RGB picture (and `also`), computed when it is not among the last few."""
        check_picture(rgb_HWC)
        hashed = hashlib.blake2b(np.ascontiguousarray(rgb_HWC).data, digest_size=16)
        hashed.update(repr(rgb_HWC.shape).encode() + also)
        digest = hashed.digest()
        results: OrderedDict[bytes, T] = self._own.__dict__.setdefault("results", OrderedDict())
        if digest in results:
            results.move_to_end(digest)
            return results[digest]
        results[digest] = compute()
        while len(results) > self._pictures:
            results.popitem(last=False)
        return results[digest]


def check_picture(rgb_HWC: np.ndarray) -> None:
    """InternalError unless the array is a uint8 HWC picture with three channels and at least one pixel."""
    if rgb_HWC.ndim != 3 or rgb_HWC.shape[2] != 3 or rgb_HWC.dtype != np.uint8 or rgb_HWC.size == 0:
        raise InternalError(f"a picture must be uint8 RGB of shape (H, W, 3), got {rgb_HWC.dtype} {rgb_HWC.shape}")


def find_faces(rgb_HWC: np.ndarray) -> tuple[FoundFace, ...]:
    """Faces of an upright uint8 RGB picture, from left to right by their middles: those that score at least
    MIN_FACE_SCORE and whose mesh scores at least MIN_MESH_SCORE."""
    return _recent.get(rgb_HWC, lambda: _find(rgb_HWC))


def _find(rgb_HWC: np.ndarray) -> tuple[FoundFace, ...]:
    detections = sorted(detect(rgb_HWC, MIN_FACE_SCORE), key=lambda face: (face.box[0] + face.box[2], face.box[1]))
    faces = map(FoundFace, detections, fit_meshes(rgb_HWC, detections))
    return tuple(face for face in faces if face.mesh.score >= MIN_MESH_SCORE)


_recent: Recent[tuple[FoundFace, ...]] = Recent()
