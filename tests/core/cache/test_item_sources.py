"""Which files an entry is made from, by their role."""

from dataclasses import replace
from pathlib import Path

import pytest
from maskloss.core.cache.item_sources import describe_hole, source_paths
from maskloss.core.dataset.items import DatasetItem, LoadSettings


@pytest.fixture
def shown() -> DatasetItem:
    return DatasetItem(
        "a", Path("set/a.png"), LoadSettings(), mask_path=Path("masks/a.png"), control_path=Path("c/a.png"),
        more_controls=(Path("c/a_1.png"),),
    )  # fmt: skip


def test_every_control_image_of_a_photograph_has_a_role_and_with_one_frame_the_first(shown: DatasetItem) -> None:
    own = {"image": Path("set/a.png"), "mask": Path("masks/a.png"), "control": Path("c/a.png")}
    assert source_paths(shown, one_frame=False) == {**own, "control_1": Path("c/a_1.png")}
    assert source_paths(shown, one_frame=True) == own
    film = replace(shown, media_path=Path("set/a.mp4"))
    assert source_paths(film, one_frame=False).keys() == {"image", "mask"}
    assert source_paths(replace(shown, control_path=None, more_controls=()), one_frame=False).keys() == {
        "image", "mask",
    }  # fmt: skip


def test_a_hole_is_another_where_the_mask_or_its_meaning_is(shown: DatasetItem) -> None:
    alpha = replace(shown, settings=LoadSettings(alpha_mask=True))
    said = {
        describe_hole(shown, {"mask": "1"}), describe_hole(shown, {"mask": "2"}), describe_hole(alpha, {"mask": "1"}),
        describe_hole(shown, {"mask": "1", "correction": "3"}),
    }  # fmt: skip
    assert len(said) == 4
    assert describe_hole(shown, {"mask": "1", "image": "9"}) in said
