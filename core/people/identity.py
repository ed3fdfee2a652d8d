"""Who is looked for: a person as a face recogniser knows them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np

from ..errors import InternalError
from .faces import FaceRecognizer


@dataclass(frozen=True, eq=False)
class Identity:
    """The face of the person looked for.

    embeddings_NK: float32 (N, K), one per reference face, as the recogniser gives them. recognizer: the identity of the
    recogniser that made them. sources: the name of the picture behind each. name: what the person is called, where
    somebody said so.
    """

    embeddings_NK: np.ndarray
    recognizer: str
    sources: tuple[str, ...]
    name: str = ""

    def __post_init__(self) -> None:
        shape = self.embeddings_NK.shape
        if len(shape) != 2 or 0 in shape or shape[0] != len(self.sources) or self.embeddings_NK.dtype != np.float32:
            raise InternalError(f"identity: embeddings {shape} do not fit {len(self.sources)} sources")
        if not np.isfinite(self.embeddings_NK).all():
            raise InternalError("identity: an embedding is not finite")

    @property
    def fingerprint(self) -> str:
        """Hex; equal for the same faces seen by the same recogniser, whatever they and their pictures are called."""
        digest = hashlib.sha256(f"{self.recognizer}|{self.embeddings_NK.shape}|".encode())
        digest.update(np.ascontiguousarray(self.embeddings_NK).tobytes())
        return digest.hexdigest()


def face_similarity(recognizer: FaceRecognizer, identity: Identity, embedding: np.ndarray) -> float:
    """How alike a face is to the person: to the mean of the references or to the best of them, whichever is more.

    The mean is taken in the recogniser's own embedding space, and the recogniser does all comparing.
    """
    alike = [recognizer.similarity(reference, embedding) for reference in identity.embeddings_NK]
    if len(alike) > 1:
        alike.append(recognizer.similarity(identity.embeddings_NK.mean(axis=0), embedding))
    return max(alike)
