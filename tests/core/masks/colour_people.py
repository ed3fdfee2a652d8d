"""People who are blocks of one colour with a bright face on top, and a real, if simple, recogniser and segmenters."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from maskloss.core.people.faces import Face
from maskloss.core.people.instances import PersonMask

RED, GREEN, BLUE, PINK = (250, 10, 10), (10, 250, 10), (10, 10, 250), (250, 20, 10)
Colour = tuple[int, int, int]


def draw_people(*people: tuple[int, Colour, bool], size: tuple[int, int] = (200, 120)) -> np.ndarray:
    """rgb_HWC: people (x, colour, whether the face is seen) 40 px wide whose faces are 30 px."""
    pixels = np.zeros((size[1], size[0], 3), np.uint8)
    for x, colour, seen in people:
        pixels[50:, x : x + 40] = np.array(colour) // 2
        pixels[20:50, x + 5 : x + 35] = np.array(colour) // (1 if seen else 2)
    return pixels


class ColourRecognizer:
    name = "colours"
    identity = "colours-1"
    default_min_similarity = 0.9

    def __init__(self) -> None:
        self.calls = 0

    def detect(self, rgb_HWC: np.ndarray) -> list[Face]:
        self.calls += 1
        bright_HW = (rgb_HWC.max(axis=2) >= 240).astype(np.uint8)
        _, labels_HW, stats, _ = cv2.connectedComponentsWithStats(bright_HW)
        faces = []
        for label in sorted(range(1, len(stats)), key=lambda label: stats[label][0]):
            x, y, w, h = (float(value) for value in stats[label][:4])
            inside = np.array([(0.3, 0.3), (0.7, 0.3), (0.5, 0.5), (0.5, 0.7), (0.1, 0.4), (0.9, 0.4)])
            embedding = rgb_HWC[labels_HW == label].mean(axis=0).astype(np.float32)
            faces.append(Face(len(faces), (x, y, x + w, y + h), 0.9, inside * (w, h) + (x, y), None, embedding))
        return faces

    def similarity(self, a: np.ndarray, b: np.ndarray) -> float:
        return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


class ColumnSegmenter:
    name = "columns"
    identity = "columns-1"

    def __init__(self) -> None:
        self.calls = 0

    def segment(self, rgb_HWC: np.ndarray, faces: Sequence[Face]) -> list[PersonMask]:
        self.calls += 1
        masks = []
        for face in faces:
            mask_HW = np.zeros(rgb_HWC.shape[:2], np.float32)
            columns = slice(int(face.box[0]) - 5, int(face.box[2]) + 5)
            mask_HW[:, columns] = rgb_HWC[:, columns].any(axis=2)
            masks.append(PersonMask(mask_HW, face.index))
        return masks


class BlobSegmenter:
    """Everyone who touches nobody else is a mask of their own, whoever's face it has."""

    name = "blobs"
    identity = "blobs-1"
    needs_faces = False
    parallel = True

    def segment(self, rgb_HWC: np.ndarray, faces: Sequence[Face]) -> list[PersonMask]:
        count, labels_HW = cv2.connectedComponents(rgb_HWC.any(axis=2).astype(np.uint8))
        return [PersonMask((labels_HW == label).astype(np.float32)) for label in range(1, count)]
