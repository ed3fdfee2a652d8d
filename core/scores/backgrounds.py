"""How near the surroundings of a person come to a training photograph's: by their colours and edges, wherever those
lie, so that a moved camera changes little."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np

from .likeness import Box

_LEAST_OUTSIDE = 0.02
_COLOUR_BINS = (6, 8, 8)
_EDGE_BINS = 12
_HEAD_ABOVE, _BODY_WIDTH = 0.75, 3.0


def outside_people(size: tuple[int, int], boxes: Sequence[Box]) -> np.ndarray:
    """Where no person is, bool (H, W): around each face a column of three face widths, from three quarters of a face
    above it down to the picture's edge, belongs to a person. size: (width, height)."""
    width, height = size
    outside_HW = np.ones((height, width), bool)
    for x0, y0, x1, y1 in boxes:
        half = (x1 - x0) * _BODY_WIDTH / 2
        left, right = (x0 + x1) / 2 - half, (x0 + x1) / 2 + half
        top = y0 - (y1 - y0) * _HEAD_ABOVE
        outside_HW[max(0, round(top)) :, max(0, round(left)) : max(0, round(right))] = False
    return outside_HW


def describe_background(rgb_HWC: np.ndarray, outside_HW: np.ndarray) -> np.ndarray | None:
    """Two histograms behind each other, each of sum 1: of the colours (CIELAB, 6 x 8 x 8) and of the directions of
    edges (12), over the pixels of a uint8 RGB picture that are True in `outside_HW`; float32. None where less than 2 %
    of the picture lies outside."""
    if outside_HW.mean() < _LEAST_OUTSIDE:
        return None
    mask_HW = outside_HW.astype(np.uint8)
    lab_HWC = cv2.cvtColor(rgb_HWC, cv2.COLOR_RGB2LAB)
    colours = cv2.calcHist([lab_HWC], [0, 1, 2], mask_HW, list(_COLOUR_BINS), [0, 256] * 3).reshape(-1)
    light_HW = lab_HWC[..., 0].astype(np.float32)
    # The edge of the cut-out is none of the picture's.
    inner_HW = cv2.erode(mask_HW, np.ones((5, 5), np.uint8)) > 0
    across_HW, down_HW = cv2.Sobel(light_HW, cv2.CV_32F, 1, 0), cv2.Sobel(light_HW, cv2.CV_32F, 0, 1)
    angles = np.mod(np.arctan2(down_HW, across_HW)[inner_HW], np.pi)
    strength = np.hypot(across_HW, down_HW)[inner_HW]
    edges, _ = np.histogram(angles, bins=_EDGE_BINS, range=(0.0, np.pi), weights=strength)
    flat = np.full(_EDGE_BINS, 1.0 / _EDGE_BINS)
    directions = edges / edges.sum() if edges.sum() > 0 else flat
    return np.concatenate([colours / max(float(colours.sum()), 1.0), directions]).astype(np.float32)


def background_similarity(one_K: np.ndarray, other_K: np.ndarray) -> float:
    """How much two descriptions of `describe_background` have in common, 0 to 1: the mean of the intersections of
    their histograms."""
    return float(np.minimum(one_K, other_K).sum() / 2)
