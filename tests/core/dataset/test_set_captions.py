"""Captions from other nodes, and the trigger."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from maskloss.core.cache.latents import CacheSettings, cache_latents
from maskloss.core.cache.text import cache_text
from maskloss.core.dataset.items import Dataset, LoadSettings
from maskloss.core.dataset.scan import DatasetConfig, scan_dataset
from maskloss.core.dataset.set_captions import CaptionRules, set_captions
from maskloss.core.demo.encoders import DemoLatentEncoder, DemoTextEncoder
from maskloss.core.errors import DatasetError

TRIGGER = CaptionRules("ohwx", "woman")
SIDECARS = CaptionRules(write_sidecars=True)


@pytest.fixture
def config(tmp_path: Path, photograph) -> DatasetConfig:
    for number, name in enumerate("abc"):
        photograph(f"set/{name}.png", seed=number)
    (tmp_path / "set/a.txt").write_text("a woman\n", encoding="utf-8")
    (tmp_path / "set/b.txt").write_text("sea", encoding="utf-8")
    return DatasetConfig(tmp_path / "set", settings=LoadSettings(resolution=(64, 64)))


@pytest.fixture
def dataset(config: DatasetConfig) -> Dataset:
    return scan_dataset(config)[0]


def captions(dataset: Dataset) -> list[str]:
    return [item.caption for item in dataset.items]


def test_named_items_get_captions_and_every_item_the_trigger(dataset: Dataset, tmp_path: Path) -> None:
    changed, report = set_captions(dataset, ["c", "b"], ["a hill", "ohwx woman at sea"], TRIGGER)
    assert captions(changed) == ["a ohwx woman", "ohwx woman at sea", "ohwx woman, a hill"]
    assert [item.caption_path for item in changed.items] == [None, None, None]
    assert report["items"][1] == {"name": "b", "caption": "ohwx woman at sea", "before": "sea", "state": "set"}
    assert report["counts"] == {"items": 3, "set": 3, "unchanged": 0, "written": 0}
    assert (tmp_path / "set/b.txt").read_text() == "sea"
    again, report = set_captions(changed, [], [], TRIGGER)
    assert (captions(again), report["counts"]["unchanged"]) == (captions(changed), 3)


def test_without_a_trigger_other_items_are_left_alone(dataset: Dataset) -> None:
    changed, report = set_captions(dataset, ["b"], [" hill\r\nand dale "], CaptionRules())
    assert captions(changed) == ["a woman", "hill\nand dale", ""]
    assert changed.items[0] is dataset.items[0]
    assert [row["name"] for row in report["items"]] == ["b"]


def test_text_files_are_written_where_they_lie_and_read_back(config: DatasetConfig, tmp_path: Path) -> None:
    dataset = scan_dataset(config)[0]
    changed, report = set_captions(dataset, ["a", "b", "c"], ["a woman", "hill", "new"], SIDECARS)
    assert [row["file"] for row in report["items"]] == ["unchanged", "written", "written"]
    assert (tmp_path / "set/a.txt").read_text() == "a woman\n"
    assert captions(scan_dataset(config)[0]) == ["a woman", "hill", "new"]
    assert scan_dataset(config)[0].items == changed.items


def test_new_text_files_join_those_of_the_neighbours(config: DatasetConfig, tmp_path: Path) -> None:
    (tmp_path / "words").mkdir()
    (tmp_path / "words/a.caption").write_text("one")
    apart = replace(config, caption_directory=tmp_path / "words", caption_extension=".caption")
    changed, _ = set_captions(scan_dataset(apart)[0], ["c"], ["three"], SIDECARS)
    assert changed.items[2].caption_path == tmp_path / "words/c.caption"
    assert captions(scan_dataset(apart)[0]) == ["one", "", "three"]


def test_no_file_is_written_but_text(config: DatasetConfig, tmp_path: Path) -> None:
    (tmp_path / "set/a.py").write_text("print(1)")
    odd = replace(config, caption_extension=".py")
    changed, _ = set_captions(scan_dataset(odd)[0], ["c"], ["three"], SIDECARS)
    assert changed.items[2].caption_path == tmp_path / "set/c.txt"
    with pytest.raises(DatasetError, match=r"a\.txt is there already with another caption, which a does not have"):
        set_captions(scan_dataset(odd)[0], ["a"], ["x"], SIDECARS)
    assert (tmp_path / "set/a.py").read_text() == "print(1)"
    assert (tmp_path / "set/a.txt").read_text() == "a woman\n"


def test_two_photographs_never_share_a_text_file(config: DatasetConfig, photograph) -> None:
    dataset = scan_dataset(config)[0]
    first, second = dataset.items[:2]
    twins = Dataset((replace(first, name="x/a"), replace(first, name="y/a"), second))
    with pytest.raises(DatasetError, match=r"x/a and y/a would have the same text file"):
        set_captions(twins, ["x/a", "y/a"], ["1", "2"], SIDECARS)


@pytest.mark.parametrize(
    ("names", "texts", "rules", "message"),
    [
        (["d"], ["x"], CaptionRules(), "The dataset has no item d; did you mean|The dataset has no item d; use"),
        (["a", "a"], ["x", "y"], CaptionRules(), "a was given 2 captions; give one"),
        (["a", "b"], ["x"], CaptionRules(), "2 names came with 1 captions; give one caption for each name"),
        ([], ["x"], TRIGGER, "0 names came with 1 captions"),
        ([], [], CaptionRules(), "No names with captions were given, and no trigger"),
    ],
)
def test_what_cannot_be_meant_is_refused(dataset: Dataset, names, texts, rules, message) -> None:
    with pytest.raises(DatasetError, match=message):
        set_captions(dataset, names, texts, rules)


def test_only_the_changed_texts_are_encoded_again(dataset: Dataset, tmp_path: Path) -> None:
    def cached(of: Dataset):
        cache, latents = cache_latents(of, DemoLatentEncoder(), tmp_path / "cache", CacheSettings())
        _, texts = cache_text(cache, DemoTextEncoder())
        return latents["counts"], texts["items"]

    cached(dataset)
    changed, _ = set_captions(dataset, ["b"], ["hill"], CaptionRules())
    counts, texts = cached(changed)
    assert (counts["unchanged"], counts["encoded"]) == (3, 0)
    assert {row["caption"]: row["state"] for row in texts} == {
        "": "unchanged",
        "a woman": "unchanged",
        "hill": "encoded",
    }


def test_one_persons_item_has_a_text_file_of_their_own(dataset: Dataset) -> None:
    first = dataset.items[0]
    items = tuple(replace(first, name=f"{first.name}@{who}", subject=who, caption_path=None) for who in ("anna", "bo"))
    changed, _ = set_captions(
        Dataset(items), [item.name for item in items], ["4nn4", "b0"], CaptionRules(write_sidecars=True)
    )
    paths = [item.caption_path for item in changed.items]
    assert [path.stem for path in paths if path] == [f"{first.media_path.stem}.{who}" for who in ("anna", "bo")]
    assert [path.read_text() for path in paths if path] == ["4nn4\n", "b0\n"]
