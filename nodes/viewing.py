"""Datasets that nodes give out are opened for the viewer, and their segmenter proposes regions there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..core.bundled.person_segmenter import BundledPersonSegmenter
from ..core.bundled.recognizer import BundledFaceRecognizer
from ..core.dataset.items import Dataset
from ..core.host import current_host
from ..core.paths import resolve_write
from ..core.people.faces import Face, FaceRecognizer
from ..core.people.instances import PersonSegmenter
from ..core.people.regions import propose_region
from ..core.viewer.proposals import PROPOSALS, Helper
from ..core.viewer.viewed import VIEWED, view_dataset
from .corrections import correction_store

THUMBNAILS = "maskloss/thumbnails"


def offer_help(segmenter: PersonSegmenter, recognizer: FaceRecognizer | None = None) -> None:
    """Have the viewer propose regions by this segmenter, which goes by the recogniser's faces; without one, by those
    that the bundled one finds."""
    PROPOSALS.offer(_helper(segmenter, recognizer))


def _usual_help() -> Helper:
    """ModelMissingError where the bundled models are not installed."""
    return _helper(BundledPersonSegmenter(), None)


def _helper(segmenter: PersonSegmenter, recognizer: FaceRecognizer | None) -> Helper:
    def find(rgb_HWC: np.ndarray) -> Sequence[Face]:
        return (recognizer or BundledFaceRecognizer()).detect(rgb_HWC)

    host = current_host()
    beside = bool(getattr(segmenter, "parallel", False))
    return Helper(
        segmenter.name,
        lambda rgb_HWC, pointing: propose_region(rgb_HWC, segmenter, find, pointing),
        lambda: not beside and host.is_working(),
    )


PROPOSALS.offer_usual(_usual_help)


def viewed(dataset: Dataset, title: str, rows: Sequence[Mapping[str, Any]] = ()) -> list[str]:
    """`ui` value of a node whose result can be looked at: the dataset's id; none where no graph editor watches.
    `rows` are the items of the node's report."""
    host = current_host()
    if host.running_node() is None:
        return []
    pictures = resolve_write(host.folders(), THUMBNAILS, "output_directory")
    return [VIEWED.keep(view_dataset(dataset, title, rows, correction_store(), pictures))]
