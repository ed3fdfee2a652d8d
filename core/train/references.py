"""What is looked at before a run with reference pictures, which edit models are shown beside what they learn."""

from __future__ import annotations

from collections.abc import Sequence

from ..cache.entries import CacheEntry
from ..errors import TrainingError
from ..first_names import first_names
from .config import TrainConfig
from .denoiser import Denoiser


def reference_notes(denoiser: Denoiser, entries: Sequence[CacheEntry]) -> list[str]:
    """What is perhaps not meant so: control images that the model takes no notice of, and entries without any beside
    others with some."""
    shown = [entry for entry in entries if entry.references]
    if not shown:
        return []
    if not denoiser.takes_references:
        return [
            f"The cache holds control images of {len(shown)} items for an edit model; this one is given text alone and "
            "ignores them."
        ]
    bare = [entry.name for entry in entries if not entry.references]
    if not bare:
        return []
    return [
        f"{len(bare)} of {len(entries)} items have no control image and are trained as the model samples from text "
        f"alone: {first_names(bare)}."
    ]


def check_reference_routing(denoiser: Denoiser, entries: Sequence[CacheEntry], config: TrainConfig) -> None:
    """TrainingError where tokens would be skipped of a model that is shown reference pictures."""
    if config.background_tokens < 1 and denoiser.takes_references and any(entry.references for entry in entries):
        raise TrainingError(
            f"background_tokens is {config.background_tokens:g}, and the cache has control images, whose tokens stand "
            "among those of the picture and cannot be told apart from the ones to skip; set background_tokens to 1.0."
        )
