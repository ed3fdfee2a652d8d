"""What is remembered of the training photographs, to see how near sample pictures come to them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial

import cv2
import numpy as np

from ..cache.entries import CacheEntry
from ..cache.pictures import select_frames, source_pictures
from ..cache.store import LatentCache
from ..dataset.items import Dataset, DatasetItem
from ..dataset.load import load_still
from ..errors import DatasetError, ImageError
from ..masks.build_masks import STEP as BUILD_MASKS
from ..masks.licences import biometrics_warnings
from ..progress import SILENT, Progress
from ..resample import limit_size
from .backgrounds import background_similarity, describe_background
from .copies import TrainingHashes, hash_pictures

LONGEST_PX = 512
_MOST_BACKGROUND_WEIGHT = 0.1

Still = tuple[np.ndarray, np.ndarray | None]


@dataclass(frozen=True, eq=False)
class TrainingPictures:
    """Hashes of the photographs, and descriptions of the backgrounds of those that have a mask.

    `typical` is what training photographs are to each other by their hashes. `unreadable` names those left out.
    """

    hashes: TrainingHashes
    typical: float
    backgrounds: tuple[np.ndarray, ...]
    unreadable: tuple[str, ...] = ()

    def nearest_background(self, description_K: np.ndarray) -> float | None:
        """The greatest similarity to a training background, 0 to 1; None where no photograph shows one."""
        return max((background_similarity(description_K, each) for each in self.backgrounds), default=None)


def from_dataset(dataset: Dataset, progress: Progress = SILENT) -> TrainingPictures:
    """Of the photographs of a dataset, and of each video its middle frame. DatasetError when none can be read."""
    return _remember([(item.name, partial(_dataset_still, item)) for item in dataset.items], progress)


def masks_for_faces(dataset: Dataset) -> tuple[str, ...]:
    """A sentence for each maker of the dataset's masks whose licence forbids that faces are compared beside them."""
    return biometrics_warnings(dataset, BUILD_MASKS)


def from_cache(cache: LatentCache, progress: Progress = SILENT) -> TrainingPictures:
    """Of the photographs that a cache was made from, as they were cropped for it; of a clip one frame. DatasetError
    when none can be read: they were moved, or another trainer made the cache."""
    return _remember([(entry.name, partial(_cached_still, cache, entry)) for entry in cache.entries], progress)


def _dataset_still(item: DatasetItem) -> Still:
    loaded = load_still(item)
    return loaded.rgb_HWC, loaded.weights_HW


def _cached_still(cache: LatentCache, entry: CacheEntry) -> Still:
    frames = select_frames(entry, 1)
    weights_1Thw = cache.weights(entry)
    (rgb_HWC,) = source_pictures(cache, entry, frames)
    return rgb_HWC, None if weights_1Thw is None else weights_1Thw[0, frames[0]].numpy()


def _remember(stills: Sequence[tuple[str, Callable[[], Still]]], progress: Progress) -> TrainingPictures:
    pictures: list[tuple[str, np.ndarray]] = []
    backgrounds: list[np.ndarray] = []
    unreadable: list[str] = []
    for number, (name, read) in enumerate(stills):
        progress.update(number, len(stills), name)
        try:
            rgb_HWC, weights_HW = read()
        except ImageError:
            unreadable.append(name)
            continue
        small_HWC = limit_size(rgb_HWC, LONGEST_PX)[0]
        pictures.append((name, small_HWC))
        if weights_HW is not None:
            size = small_HWC.shape[1], small_HWC.shape[0]
            outside_HW = cv2.resize(weights_HW, size, interpolation=cv2.INTER_NEAREST_EXACT) <= _MOST_BACKGROUND_WEIGHT
            description_K = describe_background(small_HWC, outside_HW)
            backgrounds += [] if description_K is None else [description_K]
    if not pictures:
        raise DatasetError(
            f"None of the {len(stills)} training photographs can be read, so that samples cannot be compared with "
            "them: put them back where they were."
        )
    progress.update(len(stills), len(stills))
    hashes = hash_pictures(pictures)
    return TrainingPictures(hashes, hashes.typical(), tuple(backgrounds), tuple(unreadable))
