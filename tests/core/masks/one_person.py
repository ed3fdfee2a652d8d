"""Scenes of people who are blocks of one colour, and keep_person with what most tests share."""

from pathlib import Path

import numpy as np
from maskloss.core.dataset.items import Dataset, DatasetItem
from maskloss.core.masks.each_item import ItemWork
from maskloss.core.masks.keep_person import PersonOutput, keep_person
from maskloss.core.masks.person_search import PersonSearch
from maskloss.core.people.decision import MatchRules, OnNoMatch
from maskloss.core.people.identity import Identity
from PIL import Image

from .colour_people import RED, ColourRecognizer, ColumnSegmenter

SKIP = MatchRules(on_no_match=OnNoMatch.SKIP)


def everyone(tmp_path: Path, path: Path, value: int = 128) -> Path:
    """The mask of everyone in a scene, as BuildMasks would have made it."""
    rgb_HWC = np.asarray(Image.open(path).convert("RGB"))
    target = tmp_path / f"everyone/{path.name}"
    target.parent.mkdir(exist_ok=True)
    Image.fromarray((rgb_HWC.any(axis=2) * value).astype(np.uint8)).save(target)
    return target


def identity_of(colour: tuple[int, int, int]) -> Identity:
    return Identity(np.array([colour], np.float32), "colours-1", ("reference",))


class Step:
    """keep_person with what most tests share."""

    def __init__(self, tmp_path: Path) -> None:
        self.out = tmp_path / "out"
        self.recognizer, self.segmenter = ColourRecognizer(), ColumnSegmenter()

    def __call__(self, *items: DatasetItem, rules: MatchRules = SKIP, colour=RED, **options) -> tuple[Dataset, dict]:
        search = PersonSearch(
            self.recognizer, (identity_of(colour),), self.segmenter, rules, options.pop("choices", {})
        )
        work = {key: options.pop(key) for key in ("video_every", "workers", "progress") if key in options}
        return keep_person(Dataset(items), search, PersonOutput(self.out, **options), ItemWork(**work))
