"""What another trainer's dataset file comes to here: datasets, and what is to be known of how it was read there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from ..scan import DatasetConfig


class Filter(str, Enum):
    """By what a trainer brings masks to the size of training; ours is by area, both for photographs and for masks."""

    AREA = "area"
    NEAREST = "nearest"
    BICUBIC = "bicubic after a blur of up to 0.5 % drawn anew each time"
    LANCZOS = "Lanczos"
    BICUBIC_PLAIN = "bicubic"
    LINEAR = "linear"


@dataclass(frozen=True)
class Translation:
    """The datasets of a file in order, and sentences of what is otherwise here."""

    datasets: tuple[DatasetConfig, ...]
    messages: tuple[str, ...]


def translated(trainer: str, datasets: Sequence[DatasetConfig], messages: Sequence[str], masks: Filter) -> Translation:
    """With how that trainer resizes masks, where there are any; each sentence once."""
    with_masks = any(one.mask_directory or one.settings.alpha_mask for one in datasets) or trainer == "OneTrainer"
    resizing = f"{trainer} resizes masks by: {masks.value}. Here each cell's weight is the mean of its pixels" + (
        ", which is the same." if masks is Filter.AREA else ", so edges of masks differ by what that filter does."
    )
    return Translation(tuple(datasets), tuple(dict.fromkeys((*messages, *([resizing] if with_masks else [])))))
