"""How many faces the bundled networks find, by how much of the picture the face takes, and how many that are none.

    python -m benchmarks.photographs && python -m benchmarks.detection

Faces are those of the photographs that the other benchmarks use. A close-up is a square cut out around one, at five
places each; a small face is its head, shrunk and put into a picture without one, 1600 pixels wide. A face counts as
found where its box overlaps the right one by half, and as known where the recogniser also takes it for the person of
the uncut photograph. The pictures without a face are scikit-image's, each whole, in quarters, and three times as large.
Prints Markdown tables; gates nothing.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from maskloss.core.bundled.recognizer import BundledFaceRecognizer
from maskloss.core.people.faces import Face
from maskloss.core.resample import shrink_then_enlarge
from PIL import Image

from .photographs import read_rgb

PHOTOGRAPHS = (
    "astronaut.png", "biden.jpg", "grace_hopper.jpg", "obama.jpg", "obama2.jpg", "obama3.jpg", "sample1.jpg",
    "sample2.jpg", "t1.jpg", "zidane.jpg",
)  # fmt: skip
WITHOUT_FACES = (
    "brick", "cell", "chelsea", "chessboard_GRAY", "coffee", "coins", "color", "grass", "gravel", "horse",
    "hubble_deep_field", "ihc", "microaneurysms", "moon", "motorcycle_left", "motorcycle_right", "page", "phantom",
    "retina", "rocket", "text",
)  # fmt: skip
SHARES = (0.02, 0.03, 0.05, 0.1, 0.35, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.25)
_CLOSE_UP = 0.35  # from here on the picture is cut out of the photograph
_PLACES = ((0.0, 0.0), (-0.08, -0.08), (0.08, -0.08), (-0.08, 0.08), (0.08, 0.08))  # in sides of the face
_GROUNDS = ("coffee", "gravel", "motorcycle_left", "rocket", "grass")
_GROUND_PX = 1600
_HEAD_SHARE = 0.4  # of a head that is put into another picture, the face
_MIN_FACE_PX = 60  # smaller faces would be enlarged to close-ups of nothing
_OVERLAP = 0.5


@dataclass(frozen=True, eq=False)
class Case:
    """A picture with one face that is looked for, by where that is: (x0, y0, x1, y1) in pixels."""

    rgb_HWC: np.ndarray
    box: np.ndarray
    original: Face


def faces_of_photographs(recognizer: BundledFaceRecognizer) -> list[tuple[np.ndarray, Face]]:
    """Each photograph with each of its faces that is large enough."""
    found: list[tuple[np.ndarray, Face]] = []
    for name in PHOTOGRAPHS:
        rgb_HWC = read_rgb(name)
        found += [(rgb_HWC, face) for face in recognizer.detect(rgb_HWC) if face.side_px >= _MIN_FACE_PX]
    return found


def cases(faces: list[tuple[np.ndarray, Face]], share: float) -> Iterator[Case]:
    """Every face at one share of the picture's longer side."""
    grounds = [read_without_face(name) for name in _GROUNDS]
    for number, (rgb_HWC, face) in enumerate(faces):
        if share >= _CLOSE_UP:
            for place in _PLACES:
                crop_HWC, corner = _cut_out(rgb_HWC, face, share, place)
                yield Case(crop_HWC, np.array(face.box) - np.tile(corner, 2), face)
        elif share * _GROUND_PX <= face.side_px:
            yield _put_into(grounds[number % len(grounds)], rgb_HWC, face, share, number)


def read_without_face(name: str) -> np.ndarray:
    """One of scikit-image's pictures, uint8 RGB HWC."""
    spec = importlib.util.find_spec("skimage")
    if spec is None or spec.origin is None:
        raise SystemExit("scikit-image is not installed; it is one of the development dependencies.")
    data = Path(spec.origin).parent / "data"
    (path,) = (data / f"{name}{suffix}" for suffix in (".png", ".jpg") if (data / f"{name}{suffix}").is_file())
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))


def pictures_without_face() -> Iterator[np.ndarray]:
    """Each picture whole, its quarters, and three times as large: textures at every scale."""
    for name in WITHOUT_FACES:
        rgb_HWC = read_without_face(name)
        height, width = rgb_HWC.shape[:2]
        yield rgb_HWC
        for top in (0, height // 2):
            for left in (0, width // 2):
                yield rgb_HWC[top : top + height // 2, left : left + width // 2]
        yield shrink_then_enlarge(rgb_HWC, (3 * width, 3 * height))


def _cut_out(
    rgb_HWC: np.ndarray, face: Face, share: float, place: tuple[float, float]
) -> tuple[np.ndarray, np.ndarray]:
    """A square in which the face takes `share`, as far as the photograph reaches, and where its corner was."""
    x0, y0, x1, y1 = face.box
    longer = max(x1 - x0, y1 - y0)
    centre = np.array([(x0 + x1) / 2, (y0 + y1) / 2]) + np.array(place) * longer
    low = np.maximum(np.rint(centre - longer / share / 2).astype(int), 0)
    high = np.minimum(np.rint(centre + longer / share / 2).astype(int), rgb_HWC.shape[1::-1])
    return rgb_HWC[low[1] : high[1], low[0] : high[0]], low


def _put_into(ground_HWC: np.ndarray, rgb_HWC: np.ndarray, face: Face, share: float, seed: int) -> Case:
    scale = _GROUND_PX / max(ground_HWC.shape[:2])
    picture_HWC = cv2.resize(ground_HWC, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    head_HWC, corner = _cut_out(rgb_HWC, face, _HEAD_SHARE, (0.0, 0.0))
    x0, y0, x1, y1 = face.box
    shrinking = share * _GROUND_PX / max(x1 - x0, y1 - y0)
    size = (round(head_HWC.shape[1] * shrinking), round(head_HWC.shape[0] * shrinking))
    free = np.array(picture_HWC.shape[1::-1]) - size
    left, top = np.random.default_rng(seed).integers(0, free + 1)
    picture_HWC[top : top + size[1], left : left + size[0]] = shrink_then_enlarge(head_HWC, size)
    return Case(picture_HWC, (np.array(face.box) - np.tile(corner, 2)) * shrinking + [left, top, left, top], face)


def _overlap(one: np.ndarray, other: np.ndarray) -> float:
    """Intersection over union of two boxes."""
    shared = np.prod(np.maximum(np.minimum(one[2:], other[2:]) - np.maximum(one[:2], other[:2]), 0))
    return float(shared / (np.prod(one[2:] - one[:2]) + np.prod(other[2:] - other[:2]) - shared))


def main() -> None:
    recognizer = BundledFaceRecognizer()
    faces = faces_of_photographs(recognizer)
    print("| face / picture | pictures | found | known | others |\n|---|---|---|---|---|")
    for share in SHARES:
        pictures = found = known = others = 0
        for case in cases(faces, share):
            seen = recognizer.detect(case.rgb_HWC)
            right = [face for face in seen if _overlap(np.array(face.box), case.box) >= _OVERLAP]
            alike = [recognizer.similarity(face.embedding, case.original.embedding) for face in right]
            pictures, found, others = pictures + 1, found + bool(right), others + len(seen) - len(right)
            known += any(each >= recognizer.default_min_similarity for each in alike)
        print(f"| {share:.0%} | {pictures} | {found / pictures:.0%} | {known / pictures:.0%} | {others} |", flush=True)
    negatives = list(pictures_without_face())
    false = sum(len(recognizer.detect(rgb_HWC)) for rgb_HWC in negatives)
    print(f"\n{false} faces in {len(negatives)} pictures that show none.")


if __name__ == "__main__":
    main()
