"""A real, if simple, segmenter of parts, and what tests of masks share."""

from pathlib import Path

import numpy as np
from maskloss.core.dataset.items import Dataset, DatasetItem, LoadSettings
from maskloss.core.parts.part_map import SCHEMES, PartMap


class QuarterSegmenter:
    """A real, if simple, segmenter: face, hair, body and background by the red value's quarter."""

    name = "quarters"
    approximate = True

    def __init__(self, identity: str = "quarters-1") -> None:
        self.identity = identity
        self.calls = 0

    def segment(self, rgb_HWC: np.ndarray) -> PartMap:
        self.calls += 1
        return PartMap((rgb_HWC[..., 0] // 64).astype(np.int64), SCHEMES["maskloss_4"], approximate=True)


def dataset_of(*paths: Path, settings: LoadSettings | None = None) -> Dataset:
    return Dataset(tuple(DatasetItem(path.stem, path, settings or LoadSettings()) for path in paths))


def states(report: dict) -> list[str]:
    return [row["state"] for row in report["items"]]


class HalfFaceless:
    """Two people, of whom the right one has a face if the picture's first pixel is bright; a speck besides."""

    name = "half faceless"
    identity = "half faceless/1"
    approximate = True

    def segment(self, rgb_HWC: np.ndarray) -> PartMap:
        label_HW = np.zeros(rgb_HWC.shape[:2], np.uint8)
        scheme = SCHEMES["maskloss_4"]
        label_HW[5:25, 2:15] = label_HW[5:25, 22:35] = scheme.class_id("Body")
        label_HW[5:10, 2:15] = scheme.class_id("Face")
        label_HW[28, 38] = scheme.class_id("Body")  # less than 1 % of the picture
        if rgb_HWC[0, 0, 0] > 127:
            label_HW[5:10, 22:35] = scheme.class_id("Face")
        return PartMap(label_HW, scheme)
