"""The hand-drawn labels in tests/data/labels: face, hair and body of people in photographs of installed packages.

A file is named like its photograph and has a line for each polygon: the person's number, the tier, and points in
pixels of the photograph. Face goes over hair over body, so a body may be drawn under a head. Face is the skin in front,
from the hairline to the chin, and the scalp of a shaven head; ears, neck, hats and bows are body. `ignore` is left out.
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from .photographs import read_rgb

DIRECTORY = Path(__file__).resolve().parent.parent / "tests" / "data" / "labels"
TIERS = ("Body", "Hair", "Face")  # in the order in which they are painted
IGNORED = 255
_PHOTOGRAPHS = {
    name: f"{name}.{'png' if name == 'astronaut' else 'jpg'}"
    for name in ("astronaut", "biden", "grace_hopper", "obama", "sample1", "sample2", "t1", "zidane")
}
NAMES = tuple(_PHOTOGRAPHS)


def photograph(name: str) -> np.ndarray:
    """The labelled photograph, uint8 RGB HWC."""
    return read_rgb(_PHOTOGRAPHS[name])


def polygons(name: str) -> list[tuple[int, str, np.ndarray]]:
    """Person, tier and points (N, 2) of each polygon of a photograph, int32."""
    found: list[tuple[int, str, np.ndarray]] = []
    for line in (DIRECTORY / f"{name}.txt").read_text(encoding="utf-8").splitlines():
        if line and not line.startswith("#"):
            person, tier, *points = line.split()
            found.append((int(person), tier, np.array([point.split(",") for point in points], np.int32)))
    return found


def label_map(name: str, size: tuple[int, int]) -> np.ndarray:
    """Labels on a photograph of `size` (width, height): 0 background, 1 body, 2 hair, 3 face, IGNORED; uint8 HW."""
    labels_HW = np.zeros((size[1], size[0]), np.uint8)
    drawn = polygons(name)
    for value, tier in ((1, "body"), (2, "hair"), (3, "face"), (IGNORED, "ignore")):
        for _, drawn_tier, points_N2 in drawn:
            if drawn_tier == tier:
                cv2.fillPoly(labels_HW, [points_N2], value)
    return labels_HW
