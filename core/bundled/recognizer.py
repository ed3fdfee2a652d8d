"""The recogniser that needs no account and no hub: BlazeFace, MediaPipe's face mesh and dlib's embedding."""

from __future__ import annotations

import numpy as np

from ..people.faces import Face
from .dlib_face import align, embed
from .found_faces import FoundFace, find_faces
from .install import require
from .registry import FACE_DETECTOR, FACE_EMBEDDING, FACE_EMBEDDING_MANIFEST, FACE_MESH, combined_identity

_FILES = (FACE_DETECTOR, FACE_MESH, FACE_EMBEDDING, FACE_EMBEDDING_MANIFEST)
_METHOD = 2  # raise when the same files would give other embeddings
_MAX_DISTANCE = 0.5
_MIN_MESH_SCORE = 0.5


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
        chips_NHWC = np.stack([align(rgb_HWC, face.detection.keypoints_K2) for face in found])
        # The mean of a face and its mirror image: strangers of the sample photographs that plain embeddings put
        # at 0.499 are 0.537 apart so, the one pair of the same woman moves from 0.444 to 0.404.
        embeddings_NK = (embed(chips_NHWC) + embed(chips_NHWC[:, :, ::-1])) / 2
        return [_face(index, face, embeddings_NK[index]) for index, face in enumerate(found)]

    def similarity(self, a: np.ndarray, b: np.ndarray) -> float:
        """1 for the same embedding; people alike enough to be one person have at least `default_min_similarity`."""
        return 1.0 - float(np.linalg.norm(a - b))


def _face(index: int, face: FoundFace, embedding: np.ndarray) -> Face:
    detection = face.detection
    oval_N2 = face.mesh.oval_N2 if face.mesh.score >= _MIN_MESH_SCORE else None
    return Face(index, detection.box, detection.score, detection.keypoints_K2, oval_N2, embedding)
