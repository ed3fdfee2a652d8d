"""Faces through insightface, with a pack of weights that the user has (buffalo_l and its kin)."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ModelMissingError, UserError
from ..model_runs import convert_model_errors, onnx_errors
from ..people.faces import Face
from .model_files import ModelSource, file_digest, locate, missing_library, unusable
from .onnx_session import import_onnxruntime, providers

INSIGHTFACE = ModelSource(
    purpose="recognising faces with insightface",
    example="models/insightface/models/buffalo_l/*.onnx",
    folder="models/insightface/models/<pack>",
    source="the release buffalo_l.zip of deepinsight/insightface on GitHub, unpacked",
    licence="non-commercial research only; the program itself is MIT",
)

_METHOD = 1  # raise when the same files would give other embeddings
_MIN_SCORE = 0.5
# Where nothing is found at the size that the nets were made for, the face may fill the picture: look at it smaller.
_DETECTION_SIDES = (640, 320, 160)


def pack_directory(name: str, roots: Sequence[Path]) -> Path:
    """The directory of the face pack `name` with at least one .onnx file, looked for before insightface sees it.

    insightface would download a missing pack without asking and stop at an empty one without a word.
    Raises ModelMissingError.
    """
    folders = [folder for root in roots for folder in (root / "models", root)]
    directory = locate(name, folders, INSIGHTFACE)
    if directory.is_dir() and any(directory.glob("*.onnx")):
        return directory
    nested = sorted(directory.glob("*/*.onnx")) if directory.is_dir() else []
    found = f"its .onnx files lie one folder too deep, in {nested[0].parent}" if nested else "it holds no .onnx file"
    raise ModelMissingError(f"The face pack {directory} cannot be used: {found}. {INSIGHTFACE.describe()}")


@dataclass(frozen=True, eq=False)
class _Nets:
    detection: Any
    recognition: Any
    sides: tuple[int | None, ...]  # None: the net has a size of its own


class InsightFaceRecognizer:
    """Implements FaceRecognizer. Similarity is the cosine of the embeddings; what is one person has at least 0.45.

    directory: holds the pack's .onnx files (`pack_directory`); they load when first used.
    """

    default_min_similarity = 0.45

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self.name = f"insightface {directory.name}"
        self.notes = (f"The weights of {directory.name} are licensed for non-commercial research only.",)

    @property
    def identity(self) -> str:
        """Changes with the names and sizes of the pack's files and the contents of its recognition net."""
        files = sorted(self._directory.glob("*.onnx"))
        text = "|".join(f"{file.name}:{file.stat().st_size}" for file in files)
        text += "|" + file_digest(Path(self._nets.recognition.model_file))
        return f"insightface-{_METHOD}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"

    def detect(self, rgb_HWC: np.ndarray) -> list[Face]:
        """Faces of an upright uint8 RGB picture, numbered from left to right; embeddings are float32 of length 1.

        insightface finds no ears: those keypoints are NaN. Raises UserError when the pack cannot be used, ModelRunError
        when its nets fail on this picture.
        """
        nets = self._nets
        bgr_HWC = np.ascontiguousarray(rgb_HWC[:, :, ::-1])
        with convert_model_errors(self.name, rgb_HWC):
            boxes_N5, points_N52 = self._find(nets, bgr_HWC)
            order = np.argsort(boxes_N5[:, 0] + boxes_N5[:, 2], kind="stable")
            return [
                self._face(nets, bgr_HWC, index, boxes_N5[each], points_N52[each]) for index, each in enumerate(order)
            ]

    def similarity(self, a: np.ndarray, b: np.ndarray) -> float:
        """The cosine of the angle between two embeddings, -1 to 1."""
        return float(np.dot(a, b) / (np.linalg.norm(a) * np.linalg.norm(b)))

    @cached_property
    def _nets(self) -> _Nets:
        return _load(self._directory)

    def _find(self, nets: _Nets, bgr_HWC: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Boxes with score (N, 5) and points (N, 5, 2) at the first size at which there are any."""
        for side in nets.sides:
            boxes_N5, points_N52 = nets.detection.detect(bgr_HWC, input_size=side and (side, side))
            if len(boxes_N5):
                # Without a width or height it is no face; such boxes come from nets of other makers.
                whole = (boxes_N5[:, 2] > boxes_N5[:, 0]) & (boxes_N5[:, 3] > boxes_N5[:, 1])
                return boxes_N5[whole], points_N52[whole]
        return np.zeros((0, 5), np.float32), np.zeros((0, 5, 2), np.float32)

    def _face(self, nets: _Nets, bgr_HWC: np.ndarray, index: int, box_5: np.ndarray, points_52: np.ndarray) -> Face:
        from insightface.app.common import Face as Found

        raw_K = np.asarray(nets.recognition.get(bgr_HWC, Found(kps=points_52)), np.float32).ravel()
        length = float(np.linalg.norm(raw_K))
        if not (np.isfinite(length) and length > 0):
            raise UserError(
                f"The recognition net of {self.name} gives embeddings that are zero or not numbers: its files are "
                "damaged. Unpack the face pack again, or choose 'bundled'."
            )
        x0, y0, x1, y1, score = (float(value) for value in box_5)
        return Face(index, (x0, y0, x1, y1), min(score, 1.0), keypoints_from_five(points_52), None, raw_K / length)


def keypoints_from_five(points_52: np.ndarray) -> np.ndarray:
    """Our six keypoints (6, 2) from insightface's five: eyes, nose, mouth corners, the picture's left one first.

    The person's right eye is the one on the picture's left. The mouth is the middle of its corners; ears are NaN.
    """
    points = np.asarray(points_52, np.float64)
    nowhere = np.full(2, np.nan)
    return np.stack([points[0], points[1], points[2], (points[3] + points[4]) / 2, nowhere, nowhere])


def _load(directory: Path) -> _Nets:
    """The pack's detection and recognition nets, checked to be ones that we can use."""
    onnxruntime = import_onnxruntime("insightface")
    try:
        from google.protobuf.message import DecodeError
        from insightface.app import FaceAnalysis
    except ImportError as error:
        raise missing_library("insightface", f"The face pack {directory.name}", error) from error
    available = providers(onnxruntime)
    try:
        # An absolute name stands for itself in every version, so that nothing is looked for elsewhere or downloaded.
        app: Any = FaceAnalysis(
            name=str(directory.resolve()),
            root=str(directory.resolve().parent),
            allowed_modules=["detection", "recognition"],
            providers=available,
        )
    except AssertionError as error:
        raise unusable(
            directory, f"insightface finds no face detection net in it {error}".strip(), INSIGHTFACE
        ) from error
    except (DecodeError, OSError, RuntimeError, ValueError, TypeError, LookupError, *onnx_errors()) as error:
        raise unusable(directory, f"insightface does not read it ({error})", INSIGHTFACE) from error
    if "recognition" not in app.models:
        raise unusable(directory, "it has no recognition net (a square input of 112 pixels)", INSIGHTFACE)
    detection = app.det_model
    if not detection.use_kps:
        raise unusable(directory, "its detection net gives no keypoints, by which faces are aligned", INSIGHTFACE)
    # 0.7.3 keeps a net's own size in input_size, which prepare() would then overwrite for the others.
    own = getattr(detection, "static_input_size", detection.input_size)
    app.prepare(0 if "CUDAExecutionProvider" in available else -1, det_thresh=_MIN_SCORE, det_size=(640, 640))
    return _Nets(detection, app.models["recognition"], _DETECTION_SIDES if own is None else (None,))
