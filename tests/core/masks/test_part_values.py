"""Which values of a mask are face, hair and background: noted by Build Masks, or the usual ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from maskloss.core.dataset.items import DatasetItem, LoadSettings
from maskloss.core.masks.ledger import open_ledger
from maskloss.core.masks.part_values import PART_VALUES, KnownTiers, Tiers, part_values, usual_tiers
from maskloss.core.parts.tiers import TierWeights


@pytest.mark.parametrize(
    ("tiers", "face", "hair"),
    [
        (TierWeights(), 255, 80),
        (TierWeights(face=200, body=200), None, 80),
        (TierWeights(hair=255), None, None),
        (TierWeights(hair=0), 255, None),
        (TierWeights(classes=(("Left_Shoe", 255),)), None, 80),
    ],
)
def test_a_value_of_several_parts_tells_nothing(tiers: TierWeights, face: int | None, hair: int | None) -> None:
    assert part_values(tiers) == {"face": face, "hair": hair, "background": 0}


def test_what_is_noted_is_found_by_the_place_of_the_mask(tmp_path: Path) -> None:
    path = tmp_path / "masks/sub/anna.png"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"mask")
    with open_ledger(tmp_path / "masks", "BuildMasks") as ledger:
        noted = {PART_VALUES: part_values(TierWeights(face=200))}
        ledger.finish("sub/anna", "fingerprint", path, noted)
    item = DatasetItem("renamed/sub/anna", tmp_path / "anna.jpg", LoadSettings(), path)
    assert KnownTiers("BuildMasks").of(item) == Tiers(200, 80, 0, noted=True)
    assert KnownTiers("KeepPerson").of(item) is None
    elsewhere = DatasetItem("anna", tmp_path / "anna.jpg", LoadSettings(), tmp_path / "anna.png")
    assert KnownTiers("BuildMasks").of(elsewhere) is None


@pytest.mark.parametrize("stored", [None, "x", {}, {"face": "255", "hair": 80, "background": 0}])
def test_a_damaged_note_is_none(stored: object) -> None:
    assert Tiers.of(stored) is None


@pytest.mark.parametrize(
    ("values", "usual"),
    [((0, 80, 128, 255), True), ((0, 128, 255), True), ((0, 255), False), ((0, 128), False), ((0, 127, 255), False)],
)
def test_usual_tiers_are_taken_where_nothing_else_is_there(values: tuple[int, ...], usual: bool) -> None:
    assert (usual_tiers(np.array([values], np.uint8)) is not None) == usual
