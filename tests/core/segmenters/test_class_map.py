from __future__ import annotations

import numpy as np
import pytest
from maskloss.core.errors import SettingError
from maskloss.core.parts.part_map import SCHEMES
from maskloss.core.segmenters.class_map import ClassMapEncoding, parts_from_class_map

OVER_LAST, OVER_255 = ClassMapEncoding.OVER_LAST, ClassMapEncoding.OVER_255


def every_class(scheme_id: str) -> np.ndarray:
    count = len(SCHEMES[scheme_id].names)
    return np.tile(np.arange(count), (2, 1))


@pytest.mark.parametrize("scheme_id", list(SCHEMES))
@pytest.mark.parametrize("encoding", list(ClassMapEncoding))
@pytest.mark.parametrize("through", ["float32", "float16", "uint8"])
def test_every_class_of_every_scheme_comes_back(scheme_id: str, encoding: ClassMapEncoding, through: str) -> None:
    label_HW = every_class(scheme_id)
    values_HW = label_HW / (255 if encoding is OVER_255 else len(SCHEMES[scheme_id].names) - 1)
    values_HW = np.rint(values_HW * 255) / 255 if through == "uint8" else values_HW.astype(through)
    parts = parts_from_class_map(values_HW.astype(np.float32), scheme_id, encoding)
    np.testing.assert_array_equal(parts.label_HW, label_HW)
    assert parts.scheme is SCHEMES[scheme_id]


def test_the_encodings_name_as_the_combo_gives_it_will_do() -> None:
    sapiens2 = np.array([[0, 3, 28]], np.float32) / 28
    assert parts_from_class_map(sapiens2, "sapiens2_29", "id/(classes-1)").label_HW.tolist() == [[0, 3, 28]]


def test_another_scheme_or_encoding_or_a_resized_map_is_refused() -> None:
    sapiens2 = (every_class("sapiens2_29") / 28).astype(np.float32)
    with pytest.raises(SettingError, match=r"of sapiens_goliath_28 as id/\(classes-1\).*between two classes"):
        parts_from_class_map(sapiens2, "sapiens_goliath_28", OVER_LAST)
    with pytest.raises(SettingError, match="between two classes"):
        parts_from_class_map(sapiens2, "sapiens2_29", OVER_255)
    blurred = np.array([[0, 1.5, 3]], np.float32) / 28
    with pytest.raises(SettingError, match=r"33\.3% of its values .*class 1\.50.*do not resize"):
        parts_from_class_map(blurred, "sapiens2_29", OVER_LAST)


def test_classes_that_the_scheme_lacks_are_refused() -> None:
    with pytest.raises(SettingError, match="class numbers 0 to 28, but lip_20 has 0 to 19"):
        parts_from_class_map(np.array([[0, 28]], np.float32) / 255, "lip_20", OVER_255)
    with pytest.raises(SettingError, match="class numbers -1 to 0"):
        parts_from_class_map(np.array([[0, -1]], np.float32) / 255, "lip_20", OVER_255)


def test_what_is_no_map_is_refused() -> None:
    with pytest.raises(SettingError, match="not numbers"):
        parts_from_class_map(np.array([[np.nan]], np.float32), "lip_20", OVER_255)
    with pytest.raises(SettingError, match="shape"):
        parts_from_class_map(np.zeros((1, 2, 2), np.float32), "lip_20", OVER_255)
    with pytest.raises(SettingError, match=r"'coco' is not one of .*lip_20"):
        parts_from_class_map(np.zeros((2, 2), np.float32), "coco", OVER_255)
    with pytest.raises(SettingError, match=r"'id' is not one of id/\(classes-1\), id/255"):
        parts_from_class_map(np.zeros((2, 2), np.float32), "lip_20", "id")
