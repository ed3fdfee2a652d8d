from __future__ import annotations

import numpy as np
import pytest
from maskloss.core.errors import InternalError, SettingError
from maskloss.core.parts.part_map import SCHEMES, PartMap, PartScheme


def test_every_scheme_has_its_published_number_of_classes() -> None:
    counts = {name: len(scheme.names) for name, scheme in SCHEMES.items()}
    assert counts == {
        "maskloss_4": 4,
        "sapiens_goliath_28": 28,
        "sapiens2_29": 29,
        "lip_20": 20,
        "atr_18": 18,
        "fashn_18": 18,
        "celebamask_19_bisenet": 19,
        "celebamask_19_segformer": 19,
        "mediapipe_multiclass_6": 6,
    }
    assert SCHEMES["maskloss_4"].names == ("Background", "Face", "Hair", "Body")
    assert SCHEMES["sapiens_goliath_28"].names[2:4] == ("Face_Neck", "Hair")


@pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)
def test_tiers_part_the_classes_without_the_background(scheme: PartScheme) -> None:
    everything = sorted(scheme.tier_ids("face") + scheme.tier_ids("hair") + scheme.tier_ids("body"))
    assert everything == list(range(1, len(scheme.names)))
    assert scheme.ids(["face", "hair", "body"]) == tuple(everything)


def test_names_are_found_whatever_their_case_and_each_once() -> None:
    scheme = SCHEMES["sapiens_goliath_28"]
    assert scheme.ids(["hair", "Hair", " left_shoe "]) == (3, 8)
    assert scheme.class_id("Torso") == 21


def test_a_tier_is_the_whole_tier_even_where_a_class_has_its_name() -> None:
    scheme = SCHEMES["fashn_18"]
    assert scheme.ids(["face"]) == (1, 11)  # face and glasses
    assert scheme.class_id("face") == 1


def test_unknown_name_gets_the_nearest() -> None:
    with pytest.raises(SettingError, match="sapiens_goliath_28 has no class 'Left_Sho'; did you mean 'Left_Shoe'"):
        SCHEMES["sapiens_goliath_28"].class_id("Left_Sho")


def test_unknown_name_far_from_all_gets_the_list() -> None:
    with pytest.raises(SettingError, match="its classes are Background, Face, Hair, Body"):
        SCHEMES["maskloss_4"].ids(["zzzzqq"])


def test_mask_of_classes_and_size() -> None:
    parts = PartMap(np.array([[0, 1, 2], [3, 3, 1]], np.uint8), SCHEMES["maskloss_4"])
    assert parts.size == (3, 2)
    np.testing.assert_array_equal(parts.mask((1, 3)), [[False, True, False], [True, True, True]])


def test_labels_outside_the_scheme_name_both_ranges() -> None:
    with pytest.raises(SettingError, match="holds labels 0 to 7, but maskloss_4 has classes 0 to 3"):
        PartMap(np.array([[0, 7]]), SCHEMES["maskloss_4"])


@pytest.mark.parametrize("label_HW", [np.zeros((2, 2), np.float32), np.zeros(4, np.uint8), np.zeros((0, 3), np.uint8)])
def test_labels_must_be_a_grid_of_integers(label_HW: np.ndarray) -> None:
    with pytest.raises(InternalError, match=r"integer labels \(H,W\)"):
        PartMap(label_HW, SCHEMES["maskloss_4"])


def test_a_scheme_refuses_tiers_that_overlap_or_are_unknown() -> None:
    with pytest.raises(InternalError, match="disjoint sets"):
        PartScheme("x", ("bg", "a"), frozenset({"a"}), frozenset({"a"}))
    with pytest.raises(InternalError, match="disjoint sets"):
        PartScheme("x", ("bg", "a"), frozenset({"bg"}), frozenset())
    with pytest.raises(InternalError, match="distinct"):
        PartScheme("x", ("bg", "bg"), frozenset(), frozenset())
