"""From a network's class scores to labels on the picture. Legend: `_Khw` classes on the net's grid, `_HW` pixels."""

from __future__ import annotations

import cv2
import numpy as np


def labels_from_scores(scores_Khw: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """label_HW uint8: the best class at every pixel of a picture of `size` (width, height).

    scores_Khw: float (K, h, w), any grid that covers the whole picture. The scores are brought to the picture before
    they are compared, so that edges are smooth; one class at a time, since all at once is gigabytes for a photograph.
    They are interpolated bilinearly, also on a smaller picture, because the post-processing of transformers and of
    Sapiens does that: the labels are theirs, pixel for pixel.
    """
    width, height = size
    label_HW = np.zeros((height, width), np.uint8)
    best_HW = np.full((height, width), -np.inf, np.float32)
    for index, scores_hw in enumerate(scores_Khw):
        large_HW = cv2.resize(scores_hw.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
        better_HW = large_HW > best_HW
        label_HW[better_HW] = index
        np.copyto(best_HW, large_HW, where=better_HW)
    return label_HW
