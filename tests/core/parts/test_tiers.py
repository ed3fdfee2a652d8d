from __future__ import annotations

import numpy as np
import pytest
from maskloss.core.errors import ImageError, SettingError
from maskloss.core.parts.part_map import SCHEMES, PartMap
from maskloss.core.parts.tiers import TierWeights, parse_class_weights, weigh_parts

FOUR = SCHEMES["maskloss_4"]


def _values(weights_HW: np.ndarray) -> list[list[int]]:
    assert weights_HW.dtype == np.float32
    values_HW = np.round(weights_HW * 255).astype(int)
    # Exact tiers: the float32 nearest to value / 255.
    np.testing.assert_array_equal(weights_HW, (values_HW / 255).astype(np.float32))
    return values_HW.tolist()


def _mask(rows: list[list[float]]) -> np.ndarray:
    return np.array(rows, np.float32)


def test_default_tiers_are_exact() -> None:
    parts = PartMap(np.array([[0, 1, 2, 3]], np.uint8), FOUR)
    assert _values(weigh_parts(TierWeights(), parts)) == [[0, 255, 80, 128]]


def test_each_weight_has_its_effect() -> None:
    parts = PartMap(np.array([[0, 1, 2, 3]], np.uint8), FOUR)
    assert _values(weigh_parts(TierWeights(face=9, hair=8, body=7, background=6), parts)) == [[6, 9, 8, 7]]


def test_classes_override_their_tier_and_the_background() -> None:
    scheme = SCHEMES["sapiens_goliath_28"]
    parts = PartMap(np.array([[0, 2, 3, 8, 12, 22]], np.uint8), scheme)
    tiers = TierWeights(classes=parse_class_weights("Lower_Clothing=60, left_shoe=0\nBackground=5"))
    assert _values(weigh_parts(tiers, parts)) == [[5, 255, 80, 0, 60, 128]]


def test_masks_alone_face_over_hair_over_body() -> None:
    weights_HW = weigh_parts(TierWeights(), None, _mask([[1, 0, 0, 0]]), _mask([[1, 1, 0, 0]]), _mask([[1, 1, 1, 0]]))
    assert _values(weights_HW) == [[255, 80, 128, 0]]


@pytest.mark.parametrize(
    "body_HW",
    [
        np.array([[0.0, 0.4999, 0.5, 1.0]], np.float32),
        np.array([[0, 127, 128, 255]], np.uint8),
        np.array([[False, False, True, True]]),
    ],
)
def test_soft_masks_count_from_one_half(body_HW: np.ndarray) -> None:
    before = body_HW.copy()
    assert _values(weigh_parts(TierWeights(), None, body_HW=body_HW)) == [[0, 0, 128, 128]]
    np.testing.assert_array_equal(body_HW, before)


def test_a_mask_replaces_its_tier_and_keeps_the_order() -> None:
    #                          bg face face hair body
    parts = PartMap(np.array([[0, 1, 1, 2, 3]], np.uint8), FOUR)
    # A face mask replaces the face of the parts: where it is not, that pixel is nobody's.
    assert _values(weigh_parts(TierWeights(), parts, face_HW=_mask([[1, 1, 0, 1, 0]]))) == [[255, 255, 0, 255, 128]]
    # A body mask stays under the face and hair of the parts.
    assert _values(weigh_parts(TierWeights(), parts, body_HW=_mask([[1, 1, 1, 1, 0]]))) == [[128, 255, 255, 80, 0]]
    # A hair mask lies over the body and under the face of the parts.
    assert _values(weigh_parts(TierWeights(), parts, hair_HW=_mask([[0, 1, 0, 0, 1]]))) == [[0, 255, 255, 0, 80]]


def test_class_weight_of_a_replaced_tier_is_refused() -> None:
    parts = PartMap(np.array([[0, 1]], np.uint8), FOUR)
    with pytest.raises(SettingError, match="gives Face a weight, but a mask replaces the tier"):
        weigh_parts(TierWeights(classes=(("Face", 3),)), parts, face_HW=_mask([[1, 0]]))


def test_class_weights_without_parts_are_refused() -> None:
    with pytest.raises(SettingError, match="class_weights needs parts"):
        weigh_parts(TierWeights(classes=(("Face", 3),)), None, face_HW=_mask([[1, 0]]))


def test_unknown_class_is_named() -> None:
    with pytest.raises(SettingError, match="no class 'Fase'; did you mean 'Face'"):
        weigh_parts(TierWeights(classes=(("Fase", 3),)), PartMap(np.zeros((1, 1), np.uint8), FOUR))


def test_no_source_is_refused() -> None:
    with pytest.raises(SettingError, match="none is connected"):
        weigh_parts(TierWeights(), None)


def test_sizes_must_agree() -> None:
    parts = PartMap(np.zeros((2, 3), np.uint8), FOUR)
    with pytest.raises(ImageError, match="must have the same size, but they are 2 x 3 and 3 x 2 pixels"):
        weigh_parts(TierWeights(), parts, hair_HW=np.zeros((3, 2), np.float32))
    with pytest.raises(ImageError, match=r"must have the shape \(height, width\), got \(1, 2, 3\)"):
        weigh_parts(TierWeights(), None, hair_HW=np.zeros((1, 2, 3), np.float32))


@pytest.mark.parametrize(("field", "value"), [("face", 256), ("hair", -1), ("body", 1.5), ("background", True)])
def test_weights_outside_0_to_255_are_refused(field: str, value: object) -> None:
    with pytest.raises(SettingError, match=f"{field}_weight must be a whole number from 0 to 255, got {value!r}"):
        TierWeights(**{field: value})  # type: ignore[arg-type]


def test_class_weights_are_read() -> None:
    assert parse_class_weights("Lower_Clothing=60, Left_Shoe = 0;\nHair=255,") == (
        ("Lower_Clothing", 60),
        ("Left_Shoe", 0),
        ("Hair", 255),
    )
    assert parse_class_weights("  ") == ()


@pytest.mark.parametrize("text", ["Hair", "Hair=", "=3", "Hair=256", "Hair=-1", "Hair=0.5", "Hair=x", "Hair=1=2"])
def test_unreadable_class_weights_show_the_entry(text: str) -> None:
    with pytest.raises(SettingError, match=f"class_weights holds '{text}': write name=weight"):
        parse_class_weights(f"Face=1, {text}")


def test_a_class_named_twice_is_refused() -> None:
    with pytest.raises(SettingError, match="names Hair twice"):
        TierWeights(classes=parse_class_weights("Hair=1, Hair=2"))


def test_every_tier_value_comes_back_from_its_weight() -> None:
    parts = PartMap(np.array([[1]], np.uint8), FOUR)
    weights = [float(weigh_parts(TierWeights(face=value), parts)[0, 0]) for value in range(256)]
    assert [round(weight * 255) for weight in weights] == list(range(256))
