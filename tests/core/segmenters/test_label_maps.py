from __future__ import annotations

import numpy as np
import torch
from maskloss.core.segmenters.label_maps import labels_from_scores


def test_labels_are_the_best_class_after_bringing_the_scores_to_the_picture() -> None:
    scores_Khw = np.random.default_rng(0).normal(size=(9, 12, 16)).astype(np.float32)
    label_HW = labels_from_scores(scores_Khw, (160, 90))
    large = torch.nn.functional.interpolate(torch.from_numpy(scores_Khw)[None], (90, 160), mode="bilinear")[0]
    assert label_HW.shape == (90, 160)
    assert label_HW.dtype == np.uint8
    assert (label_HW == large.argmax(0).numpy()).mean() > 0.999


def test_the_first_of_equal_classes_wins() -> None:
    assert labels_from_scores(np.zeros((3, 2, 2), np.float32), (4, 4)).max() == 0
