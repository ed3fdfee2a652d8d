"""The recogniser that needs no account and no hub: BlazeFace, MediaPipe's face mesh and dlib's embedding."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..people.faces import Face
from .dlib_face import align, embed
from .findings import Findings
from .found_faces import FoundFace, find_faces
from .install import require
from .registry import FACE_DETECTOR, FACE_EMBEDDING, FACE_EMBEDDING_MANIFEST, FACE_MESH, combined_identity

_FILES = (FACE_DETECTOR, FACE_MESH, FACE_EMBEDDING, FACE_EMBEDDING_MANIFEST)
_METHOD = 2  # raise when the same files would give other embeddings
_MAX_DISTANCE = 0.5
_MIN_MESH_SCORE = 0.5
_MOST_BYTES = 4 << 20  # some thousand faces

_found: Findings[np.ndarray] = Findings(_MOST_BYTES, lambda embeddings_NK: embeddings_NK.nbytes + 200)


class BundledFaceRecognizer:
    """Implements FaceRecognizer. Similarity is one minus the Euclidean distance of dlib's embeddings.

    Making one raises ModelMissingError when the models are not installed; they load when first used.
    """

    name = "bundled"
    parallel = True
    default_min_similarity = 1.0 - _MAX_DISTANCE

    def __init__(self) -> None:
        for file in _FILES:
            require(file)
        self.identity = f"bundled-dlib-{_METHOD}-{combined_identity(_FILES)}"

    def detect(self, rgb_HWC: np.ndarray) -> list[Face]:
        """Faces of an upright uint8 RGB picture, numbered from left to right; embeddings are (128,) float32."""
        found = find_faces(rgb_HWC)
        if not found:
            return []
        embeddings_NK = _found.get(rgb_HWC, lambda: _embed(rgb_HWC, found))
        return [_face(index, face, embeddings_NK[index]) for index, face in enumerate(found)]

    def similarity(self, a: np.ndarray, b: np.ndarray) -> float:
        """1 for the same embedding; people alike enough to be one person have at least `default_min_similarity`."""
        return 1.0 - float(np.linalg.norm(a - b))


def _embed(rgb_HWC: np.ndarray, found: Sequence[FoundFace]) -> np.ndarray:
    """Embeddings (N, 128) float32 of the faces of a picture."""
    chips_NHWC = np.stack([align(rgb_HWC, face.detection.keypoints_K2) for face in found])
    # The mean of a face and its mirror image: strangers of the sample photographs that plain embeddings put
    # at 0.499 are 0.537 apart so, the one pair of the same woman moves from 0.444 to 0.404.
    return (embed(chips_NHWC) + embed(chips_NHWC[:, :, ::-1])) / 2


def _face(index: int, face: FoundFace, embedding: np.ndarray) -> Face:
    detection = face.detection
    oval_N2 = face.mesh.oval_N2 if face.mesh.score >= _MIN_MESH_SCORE else None
    return Face(index, detection.box, detection.score, detection.keypoints_K2, oval_N2, embedding)
