"""How well the bundled part segmenter agrees with the hand-drawn labels, tier by tier and photograph by photograph.

    python -m benchmarks.photographs && python -m benchmarks.parts [--pictures build/parts]

Prints a Markdown table of intersection over union and writes a picture for each photograph: drawn labels on the left,
result on the right (red face, green hair, blue body). Reported, not gated: the labels are few and drawn by one hand.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import cv2
import numpy as np
from maskloss.core.bundled.part_segmenter import BundledPartSegmenter
from PIL import Image

from .labels import IGNORED, NAMES, TIERS, label_map, photograph

_COLOURS = np.array([(0, 0, 0), (60, 110, 255), (40, 210, 60), (255, 50, 50)], np.uint8)
_SHOWN_PX = 700


def overlap(truth_HW: np.ndarray, found_HW: np.ndarray) -> list[float]:
    """IoU of each tier where the truth is not ignored; NaN for a tier that neither has."""
    counted_HW = truth_HW != IGNORED
    scores: list[float] = []
    for value in range(1, len(TIERS) + 1):
        truth, found = truth_HW[counted_HW] == value, found_HW[counted_HW] == value
        either = np.count_nonzero(truth | found)
        scores.append(np.count_nonzero(truth & found) / either if either else float("nan"))
    return scores


def found_map(segmenter: BundledPartSegmenter, rgb_HWC: np.ndarray) -> np.ndarray:
    """The segmenter's labels in the numbers of `label_map`, uint8 HW."""
    parts = segmenter.segment(rgb_HWC)
    numbers = np.zeros(256, np.uint8)
    for value, tier in enumerate(TIERS, start=1):
        numbers[parts.scheme.class_id(tier)] = value
    return numbers[parts.label_HW]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=Path, default=Path("build/parts"), help="folder for the pictures")
    pictures = parser.parse_args().pictures
    pictures.mkdir(parents=True, exist_ok=True)
    segmenter = BundledPartSegmenter()
    rows: list[list[float]] = []
    print("| photograph | face | hair | body |\n|---|---|---|---|")
    for name in NAMES:
        rgb_HWC = photograph(name)
        truth_HW, found_HW = label_map(name, rgb_HWC.shape[1::-1]), found_map(segmenter, rgb_HWC)
        rows.append(overlap(truth_HW, found_HW))
        print(_line(name, rows[-1]))
        _draw(rgb_HWC, truth_HW, found_HW).save(pictures / f"{name}.jpg", quality=90)
    print(_line("**mean**", list(np.nanmean(rows, axis=0))))


def _line(name: str, scores: list[float]) -> str:
    body, hair, face = ("–" if np.isnan(score) else f"{score:.2f}" for score in scores)
    return f"| {name} | {face} | {hair} | {body} |"


def _draw(rgb_HWC: np.ndarray, *label_maps: np.ndarray) -> Image.Image:
    scale = _SHOWN_PX / max(rgb_HWC.shape[:2])
    small_HWC = cv2.resize(rgb_HWC, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    panels: list[np.ndarray] = []
    for labels_HW in label_maps:
        shown_HW = np.where(labels_HW == IGNORED, 0, labels_HW)
        shown_HW = cv2.resize(shown_HW, small_HWC.shape[1::-1], interpolation=cv2.INTER_NEAREST)
        tinted_HWC = (0.5 * small_HWC + 0.5 * _COLOURS[shown_HW]).astype(np.uint8)
        panels.append(np.where(shown_HW[..., None] > 0, tinted_HWC, (0.6 * small_HWC).astype(np.uint8)))
    return Image.fromarray(np.hstack(panels))


if __name__ == "__main__":
    main()
