"""Masks built by a segmenter whose licence forbids biometrics are known again where people are told apart."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from maskloss.core.dataset.items import Dataset, DatasetItem, LoadSettings
from maskloss.core.masks.build_masks import STEP, build_masks
from maskloss.core.masks.licences import biometrics_warnings
from maskloss.core.parts.part_map import SCHEMES, PartMap
from maskloss.core.parts.tiers import TierWeights


class HalfFace:
    """The upper half is face."""

    identity = "half-1"
    approximate = False

    def __init__(self, name: str, forbids_biometrics: bool) -> None:
        self.name, self.forbids_biometrics = name, forbids_biometrics

    def segment(self, rgb_HWC: np.ndarray) -> PartMap:
        label_HW = np.zeros(rgb_HWC.shape[:2], np.uint8)
        label_HW[: len(label_HW) // 2] = 1
        return PartMap(label_HW, SCHEMES["maskloss_4"])


@pytest.fixture
def dataset(photograph: Callable[..., Path]) -> Dataset:
    paths = {name: photograph(f"set/{name}.jpg", seed=seed) for seed, name in enumerate(("one", "trip/two"))}
    return Dataset(tuple(DatasetItem(name, path, LoadSettings()) for name, path in paths.items()))


def test_the_licence_is_noted_and_known_again(dataset: Dataset, tmp_path: Path) -> None:
    masks = tmp_path / "masks"
    for _ in range(2):
        built, report = build_masks(dataset, HalfFace("sapiens2 seg", True), TierWeights(), masks)
    assert [row["state"] for row in report["items"]] == ["unchanged"] * 2
    assert [row["forbids_biometrics"] for row in report["items"]] == ["sapiens2 seg"] * 2
    (warning,) = biometrics_warnings(built, STEP)
    assert f"The masks in {masks} were built by sapiens2 seg, whose licence forbids biometric processing" in warning
    # As Load Dataset finds them in a later session.
    later = Dataset(tuple(replace(item, mask_path=masks / f"{item.name}.png") for item in dataset.items))
    assert biometrics_warnings(later, STEP) == (warning,)


def test_other_masks_say_nothing(dataset: Dataset, tmp_path: Path) -> None:
    built, report = build_masks(dataset, HalfFace("clothes", False), TierWeights(), tmp_path / "masks")
    assert "forbids_biometrics" not in report["items"][0]
    foreign = replace(dataset.items[0], mask_path=Path("one.png"))
    nested = replace(dataset.items[1], mask_path=Path("two.png"))
    for each in (built, dataset, Dataset((foreign, nested))):
        assert biometrics_warnings(each, STEP) == ()
    assert biometrics_warnings(built, "another step") == ()
