"""A small run to report on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from maskloss.core.cache.latents import cache_latents
from maskloss.core.cache.store import LatentCache
from maskloss.core.dataset.items import Dataset, DatasetItem, LeftOut
from maskloss.core.demo.encoders import DemoLatentEncoder
from maskloss.core.images import save_image
from maskloss.core.masks.build_masks import build_masks
from maskloss.core.parts.tiers import TierWeights
from maskloss.core.people.decision import Outcome

from .run_pages import SETTINGS, HalvesSegmenter, decision_of, draw_photo


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    """One photograph kept for one person, one with a mask and nobody looked for, one left out."""
    kept = DatasetItem("a/her", draw_photo(tmp_path / "photos/a/her.png", 1), SETTINGS, caption="<her> & a dog")
    plain = DatasetItem("plain", draw_photo(tmp_path / "photos/plain.png", 2), SETTINGS, repeats=3)
    gone = DatasetItem("gone", draw_photo(tmp_path / "photos/gone.png", 3), SETTINGS)
    built, _ = build_masks(Dataset((kept, plain, gone)), HalvesSegmenter(), TierWeights(), tmp_path / "tiers")
    kept, plain, gone = built.items
    person_HW = np.zeros((128, 192), np.uint8)
    person_HW[32:96, 32:96] = 255
    save_image(tmp_path / "person/a/her.png", person_HW)
    kept = DatasetItem(
        kept.name, kept.media_path, SETTINGS, tmp_path / "person/a/her.png", kept.caption, tiers_path=kept.mask_path,
        person=decision_of(Outcome.MATCH, 0, 0.71, 0.12),
    )  # fmt: skip
    gone = DatasetItem(
        gone.name, gone.media_path, SETTINGS, tiers_path=gone.tiers_path,
        person=decision_of(Outcome.SKIPPED, None, 0.31, 0.22),
    )  # fmt: skip
    return Dataset((kept, plain), (LeftOut(gone, "the most alike is face 0 with 0.31; the picture was left out"),))


@pytest.fixture
def cache(dataset: Dataset, tmp_path: Path) -> LatentCache:
    return cache_latents(dataset, DemoLatentEncoder(), tmp_path / "cache")[0]
