"""Reference pictures become the identity of the person looked for."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, overload

import numpy as np

from ..errors import PathError, PersonError, SettingError
from ..images import IMAGE_SUFFIXES, load_image
from ..model_runs import name_picture_in_errors
from ..warning import warn
from .faces import Face, FaceRecognizer, crop_face
from .identity import Identity

MIN_REFERENCE_FACE_PX = 32.0


def reference_identity(
    recognizer: FaceRecognizer, pictures: Sequence[tuple[str, np.ndarray]], face_index: int | None = -1
) -> tuple[Identity, dict[str, Any], list[np.ndarray]]:
    """Who the (name, rgb_HWC uint8) `pictures` show: the identity, a report, and a crop of each face (256, 256, 3).

    The report: {"recognizer", "references": [{"name", "faces", "face_index", "box", "score"}], "agreement": similarity
    of every two references, "warnings": [...]}. `face_index`: the number of the face, -1 the only one; None where the
    user has no way to choose one. Raises PersonError for a picture without a face, with several while
    none is chosen, without the face that face_index names, or whose face is below 32 px; SettingError for no picture.
    """
    if not pictures:
        raise SettingError("No reference picture was given: connect images or name a directory that holds some.")
    if face_index is not None and face_index < -1:
        raise SettingError(f"face_index must be -1 (the only face) or the number of a face, got {face_index}.")
    chosen: list[Face] = []
    crops: list[np.ndarray] = []
    references: list[dict[str, Any]] = []
    for name, rgb_HWC in pictures:
        with name_picture_in_errors(name):
            faces = recognizer.detect(rgb_HWC)
        face = _the_face(name, faces, face_index)
        chosen.append(face)
        crops.append(crop_face(rgb_HWC, face))
        references.append(
            {
                "name": name,
                "faces": len(faces),
                "face_index": face.index,
                "box": [round(edge, 2) for edge in face.box],
                "score": round(face.score, 4),
            }
        )
    names = tuple(str(reference["name"]) for reference in references)
    embeddings_NK = np.stack([face.embedding for face in chosen]).astype(np.float32)
    agreement, warnings = _agreement(recognizer, names, embeddings_NK)
    report: dict[str, Any] = {
        "recognizer": recognizer.identity,
        "references": references,
        "agreement": agreement,
        "warnings": warnings,
    }
    return Identity(embeddings_NK, recognizer.identity, names), report, crops


class PictureFiles(Sequence[tuple[str, np.ndarray]]):
    """(name, rgb_HWC uint8) of picture files, each read when it is asked for: one is in memory at a time. Asking raises
    ImageError where the file cannot be read."""

    def __init__(self, files: Sequence[Path]) -> None:
        self._files = tuple(files)

    def __len__(self) -> int:
        return len(self._files)

    @overload
    def __getitem__(self, index: int) -> tuple[str, np.ndarray]: ...
    @overload
    def __getitem__(self, index: slice) -> PictureFiles: ...
    def __getitem__(self, index: int | slice) -> tuple[str, np.ndarray] | PictureFiles:
        if isinstance(index, slice):
            return PictureFiles(self._files[index])
        return self._files[index].name, load_image(self._files[index])[0]


def read_pictures(path: Path) -> PictureFiles:
    """One picture file, or every one in a folder, by name; subfolders are not read. PathError when there is none."""
    files = sorted(each for each in path.iterdir() if each.is_file()) if path.is_dir() else [path]
    pictures = [each for each in files if each.suffix.lower() in IMAGE_SUFFIXES]
    if not pictures:
        raise PathError(f"{path} holds no picture; name a picture, or a folder that holds some.")
    return PictureFiles(pictures)


def _the_face(name: str, faces: Sequence[Face], face_index: int | None) -> Face:
    listed = ", ".join(f"face {f.index} at ({f.box[0]:.0f}, {f.box[1]:.0f}), {f.side_px:.0f} px" for f in faces)
    if not faces:
        raise PersonError(f"No face was found in the reference picture {name}: give one that shows the face clearly.")
    index = -1 if face_index is None else face_index
    if index >= len(faces):
        raise PersonError(f"face_index is {index}, but the reference picture {name} shows only these: {listed}.")
    if index < 0 and len(faces) > 1:
        if face_index is None:
            raise PersonError(
                f"The reference picture {name} shows {len(faces)} faces ({listed}): crop it to the one person."
            )
        raise PersonError(
            f"The reference picture {name} shows {len(faces)} faces ({listed}): crop it to the one person, "
            "or choose one with face_index."
        )
    face = faces[max(index, 0)]
    if face.side_px < MIN_REFERENCE_FACE_PX:
        raise PersonError(
            f"The face in the reference picture {name} is {face.side_px:.0f} px, and {MIN_REFERENCE_FACE_PX:.0f} px "
            "are needed to know a person by it: give a larger picture."
        )
    return face


def _agreement(
    recognizer: FaceRecognizer, names: Sequence[str], embeddings_NK: np.ndarray
) -> tuple[list[dict[str, Any]], list[str]]:
    """The similarity of every two references, and a warning for each two that look like different people."""
    agreement: list[dict[str, Any]] = []
    warnings: list[str] = []
    needed = recognizer.default_min_similarity
    for i, first in enumerate(names):
        for j in range(i + 1, len(names)):
            similarity = recognizer.similarity(embeddings_NK[i], embeddings_NK[j])
            agreement.append({"first": first, "second": names[j], "similarity": round(similarity, 4)})
            if not similarity >= needed:
                warnings.append(
                    warn(
                        f"The references {first} and {names[j]} agree by {similarity:.2f} only ({needed:.2f} is one "
                        "person): check that both show the same person."
                    )
                )
    return agreement, warnings
