"""Masks that lie beside their photographs, and what a name is near to."""

from __future__ import annotations

from pathlib import Path

import pytest
from maskloss.core.dataset.beside import mask_like, near_names, split_masks
from maskloss.core.dataset.files import FoundFile
from maskloss.core.errors import DatasetError


@pytest.mark.parametrize(
    ("orphan", "near"),
    [
        ("IMG_2_mask", "IMG_2"), ("IMG_2 (1)", "IMG_2"), ("img_2_old_v3", "IMG_2"), ("IMG-2", "IMG_2"),
        ("deep/IMG_2.final", "IMG_2"), ("IMG_20_x", "IMG_20"), ("_", None), ("portrait", None),
    ],
)  # fmt: skip
def test_what_a_name_is_near_to(orphan: str, near: str | None) -> None:
    assert near_names([orphan], ["IMG_2", "IMG_20", "holiday"]).get(orphan) == near


def test_of_many_names_that_are_like_none_only_some_are_compared() -> None:
    orphans = [f"{number:04}-nobody" for number in range(3000)]
    names = [f"{number:04}" for number in range(0, 3000, 2)]
    assert near_names(orphans, names) == {f"{name}-nobody": name for name in names}


def found(*names: str) -> list[FoundFile]:
    return [FoundFile(name.rpartition(".")[0], Path(f"set/{name}")) for name in names]


def test_masks_are_told_from_photographs_by_their_endings_and_photographs_beside_them() -> None:
    names = ("a.jpg", "A_Mask.png", "b.jpg", "b-masklabel.png", "c_mask.png", "d-masklabel.png", "a-condlabel.png")
    photographs, masks, alone = split_masks(found(*names))
    assert [file.path.name for file in photographs] == ["a.jpg", "b.jpg", "c_mask.png"], "c is not there"
    assert {name: file.path.name for name, file in masks.items()} == {"a": "A_Mask.png", "b": "b-masklabel.png"}
    assert [file.path.name for file in alone] == ["d-masklabel.png", "a-condlabel.png"]


def test_two_masks_beside_one_photograph_are_named() -> None:
    with pytest.raises(DatasetError, match=r"could belong to a: .*a_mask\.png and .*a-masklabel\.png"):
        split_masks(found("a.jpg", "a_mask.png", "a-masklabel.png"))


def test_photographs_that_look_like_masks_of_others() -> None:
    names = ["p", "seg_p", "p_matte", "masks/p", "p.jpg", "seg_q", "alphabet"]
    assert mask_like(names) == ["seg_p", "p_matte", "masks/p", "p.jpg"]
    assert mask_like(["seg_p", "masks/r"]) == [], "of nobody's"
