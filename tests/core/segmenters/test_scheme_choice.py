from __future__ import annotations

import pytest
from maskloss.core.errors import UserError
from maskloss.core.parts.part_map import SCHEMES
from maskloss.core.segmenters.scheme_choice import FACE_ONLY, scheme_for

OTHERS = [scheme for scheme in SCHEMES.values() if scheme.id != "maskloss_4"]


@pytest.mark.parametrize("scheme", OTHERS, ids=lambda scheme: scheme.id)
def test_every_scheme_is_known_by_its_names_however_they_are_written(scheme) -> None:
    assert scheme_for("m", scheme.names, len(scheme.names)) is scheme
    assert scheme_for("m", [name.upper().replace("_", " ") for name in scheme.names], len(scheme.names)) is scheme


@pytest.mark.parametrize(("count", "scheme_id"), [(28, "sapiens_goliath_28"), (29, "sapiens2_29"), (20, "lip_20")])
def test_without_names_the_number_of_classes_decides(count: int, scheme_id: str) -> None:
    assert scheme_for("m", (), count).id == scheme_id
    assert scheme_for("m", [f"LABEL_{index}" for index in range(count)], count).id == scheme_id
    assert scheme_for("m", [str(index) for index in range(count)], count).id == scheme_id


def test_the_order_of_names_decides_between_face_parsers() -> None:
    assert scheme_for("m", SCHEMES["celebamask_19_segformer"].names, 19).id == "celebamask_19_segformer"
    assert {"celebamask_19_segformer", "celebamask_19_bisenet"} == FACE_ONLY


def test_an_ambiguous_number_is_refused_with_its_candidates() -> None:
    with pytest.raises(UserError, match=r"m has 18 classes without names, and atr_18 with 18, fashn_18 with 18"):
        scheme_for("m", (), 18)


def test_an_unknown_number_is_refused() -> None:
    with pytest.raises(UserError, match=r"150 classes without names, which fits none .*lip_20 with 20"):
        scheme_for("m", (), 150)


def test_unknown_names_are_refused_even_where_their_number_fits() -> None:
    with pytest.raises(UserError, match=r"names its 2 classes road, sky, which is none"):
        scheme_for("m", ["road", "sky"], 2)
    swapped = list(SCHEMES["lip_20"].names)
    swapped[1], swapped[2] = swapped[2], swapped[1]
    with pytest.raises(UserError, match="which is none of the class tables"):
        scheme_for("m", swapped, 20)


def test_our_own_scheme_is_never_chosen() -> None:
    with pytest.raises(UserError, match="fits none"):
        scheme_for("m", (), 4)
