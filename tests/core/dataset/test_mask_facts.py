"""What masks were read as reaches the dataset, its report, its sheet and its cache."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from maskloss.core.cache.entry_file import MASK_READ, read_header
from maskloss.core.cache.latents import cache_latents
from maskloss.core.dataset.items import Dataset, DatasetItem, LoadSettings
from maskloss.core.dataset.load import load_item
from maskloss.core.dataset.mask_facts import mask_digest, mask_facts, noted_tiers
from maskloss.core.dataset.scan import DatasetConfig, scan_dataset
from maskloss.core.demo.encoders import DemoLatentEncoder
from maskloss.core.errors import ImageError, MaskMissingError
from maskloss.core.files import sha256_file
from maskloss.core.mask_meaning import MaskMeaning
from maskloss.core.masks.merge_alpha import merge_dataset_alpha
from maskloss.core.masks.person_search import read_instance
from maskloss.core.report.previews import dataset_sheet

Draw = Callable[..., Path]

SIZE = (64, 64)

LOADED = LoadSettings(resolution=SIZE)


def left_half(*colour: int) -> np.ndarray:
    """Colour on the left, 0 on the right; of one channel or several."""
    pixels = np.zeros((SIZE[1], SIZE[0], len(colour)), np.uint8)
    pixels[:, : SIZE[0] // 2] = colour
    return pixels[..., 0] if len(colour) == 1 else pixels


@pytest.fixture
def config(tmp_path: Path, photograph: Draw, mask: Draw) -> DatasetConfig:
    for name in ("grey", "labels", "red"):
        photograph(f"set/{name}.png", SIZE)
    mask("masks/grey.png", SIZE)
    mask("masks/labels.png", value=left_half(1))
    mask("masks/red.png", value=left_half(255, 0, 0))
    return DatasetConfig(tmp_path / "set", tmp_path / "masks", settings=LOADED)


def test_every_kind_weighs_fully_and_is_counted(config: DatasetConfig) -> None:
    dataset, report = scan_dataset(config)
    for item in dataset.items:
        weights_HW = np.asarray(load_item(item).weights_HW)
        assert (weights_HW[:, :30] == 1).all(), item.name
        assert not weights_HW[:, 34:].any(), item.name
    counts = {key: count for key, count in report.to_json()["counts"].items() if key.startswith("mask_read")}
    assert counts == {
        "mask_read_brightness": 1, "mask_read_alpha": 0, "mask_read_colour": 1, "mask_read_nonzero": 1,
    }  # fmt: skip
    rows = {row["name"]: row["mask_read"] for row in report.to_json()["items"]}
    assert rows["labels"] == {
        "meaning": "nonzero", "layout": "grey, 8 bits", "values": [0, 1], "full": 1, "share": 0.5,
    }  # fmt: skip
    assert "1 masks (RGB, 8 bits) are read by colour: red" in report.messages()
    assert not report.warnings() or all("caption" in line for line in report.warnings()), "nothing is wrong with these"


def test_the_setting_decides_and_reaches_every_reader(
    tmp_path: Path, config: DatasetConfig, mask: Draw, photograph: Draw
) -> None:
    photograph("set/several.png", SIZE)
    three = left_half(2)
    three[:10, :10] = 1
    mask("masks/several.png", value=three)
    with pytest.raises(ImageError, match="Set mask_meaning of Load Dataset to brightness or nonzero"):
        scan_dataset(config)
    told = replace(config, settings=replace(LOADED, mask_meaning=MaskMeaning.NONZERO))
    dataset, report = scan_dataset(told)
    assert report.to_json()["counts"]["mask_read_nonzero"] == 4
    item = next(item for item in dataset.items if item.name == "several")
    assert np.asarray(load_item(item).weights_HW)[5, 5] == 1
    assert read_instance(tmp_path / "masks/several.png", item, SIZE)[5, 5], "instance masks too"


def test_dark_and_empty_masks_are_warned_of(config: DatasetConfig, mask: Draw) -> None:
    mask("masks/red.png", value=np.full((64, 64), 20, np.uint8))
    mask("masks/labels.png", value=left_half(0))
    warnings = scan_dataset(config)[1].warnings()
    assert "1 masks have no weight above 32 of 255: red" in warnings
    assert "1 masks are empty, nothing in them has weight: labels" in warnings


def test_alpha_that_is_not_used_is_said(tmp_path: Path, photograph: Draw) -> None:
    alpha_HW = left_half(255)
    photograph("set/cut.png", SIZE, alpha=alpha_HW)
    photograph("set/opaque.png", SIZE, alpha=255)
    photograph("set/plain.png", SIZE)
    config = DatasetConfig(tmp_path / "set", settings=LOADED)
    dataset, report = scan_dataset(config)
    told = report.to_json()
    assert told["counts"]["unused_alpha"] == 1
    assert [row["name"] for row in told["items"] if row.get("unused_alpha")] == ["cut"]
    said = "1 images have alpha, not used because alpha_mask is off; what it hides is trained on: cut"
    assert said in report.warnings()
    assert [load_item(item).unused_alpha for item in dataset.items] == [True, False, False]
    merged = merge_dataset_alpha(dataset, tmp_path / "out")[1]
    assert "1 items have alpha, not used because alpha_mask is off." in merged["messages"]
    assert dataset_sheet(dataset, 3).any()
    used = scan_dataset(replace(config, settings=replace(LOADED, alpha_mask=True)))[1]
    assert used.to_json()["counts"]["unused_alpha"] == 0
    with pytest.raises(MaskMissingError, match="it has alpha, not used because alpha_mask is off"):
        load_item(replace(dataset.items[0], settings=replace(LOADED, require_mask=True)))


def test_masks_that_were_read_otherwise_before_are_cached_again(tmp_path: Path, config: DatasetConfig) -> None:
    dataset, _ = scan_dataset(config)
    cache, _ = cache_latents(dataset, DemoLatentEncoder(), tmp_path / "cache")
    prints = {entry.name: entry.mask_fingerprint for entry in cache.entries}
    told = cache_latents(dataset, DemoLatentEncoder(), tmp_path / "cache")[1]
    assert told["counts"]["unchanged"] == 3
    brightness = [replace(item, mask_meaning=MaskMeaning.BRIGHTNESS) for item in dataset.items]
    cache, told = cache_latents(Dataset(tuple(brightness)), DemoLatentEncoder(), tmp_path / "cache")
    assert {row["name"]: row["state"] for row in told["items"]} == {
        "grey": "unchanged", "labels": "weights rewritten", "red": "weights rewritten",
    }  # fmt: skip
    changed = {entry.name for entry in cache.entries if entry.mask_fingerprint != prints[entry.name]}
    assert changed == {"labels", "red"}, "a run would go on with other weights"


def test_plain_grey_masks_are_fingerprinted_as_ever(tmp_path: Path, config: DatasetConfig) -> None:
    dataset, _ = scan_dataset(config)
    by_name = {item.name: item for item in dataset.items}
    grey = by_name["grey"]
    assert mask_digest(grey, grey.mask_path, grey.mask_meaning) == sha256_file(Path(str(grey.mask_path)))
    red = by_name["red"]
    assert mask_digest(red, red.mask_path, red.mask_meaning) != sha256_file(Path(str(red.mask_path)))
    assert mask_digest(red, red.mask_path, MaskMeaning.BRIGHTNESS) == sha256_file(Path(str(red.mask_path)))


def test_a_mask_is_looked_into_once_for_all_runs(
    tmp_path: Path, config: DatasetConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset, _ = scan_dataset(config)
    cache, _ = cache_latents(dataset, DemoLatentEncoder(), tmp_path / "cache")
    noted = [read_header(tmp_path / "cache" / entry.file).metadata[MASK_READ] for entry in cache.entries]
    assert [note.split(" ")[1:] for note in noted] == [["auto", ""], ["auto", "nonzero/1"], ["auto", "colour/255"]]

    def refuse(*_: object) -> None:
        raise AssertionError("looked into")

    monkeypatch.setattr("maskloss.core.cache.plan.file_facts", refuse)
    assert cache_latents(dataset, DemoLatentEncoder(), tmp_path / "cache")[1]["counts"]["unchanged"] == 3


def test_a_sequence_is_read_as_one(tmp_path: Path, video: Draw, mask: Draw) -> None:
    clip = video("set/a.mkv", 5)
    item = DatasetItem("a", clip, LOADED, mask_path=tmp_path / "masks/a")
    values = [255, 1, 3, 255, 1]
    for number, value in enumerate(values):
        mask(f"masks/a/{number}.png", value=np.full((30, 40), value, np.uint8))
    facts = mask_facts(item)
    assert facts is not None
    assert (facts.meaning, facts.key) == (MaskMeaning.BRIGHTNESS, ""), "a mask that fades is no label"
    labels = left_half(1)[:30, :40]
    for number in range(5):
        mask(f"masks/b/{number}.png", value=labels * (number != 2))
    facts = mask_facts(replace(item, mask_path=tmp_path / "masks/b"))
    assert facts is not None
    assert facts.meaning is MaskMeaning.NONZERO


def test_tiers_of_lossless_masks_bring_lossy_videos_back(
    tmp_path: Path, photograph: Draw, mask: Draw, make_video: Draw
) -> None:
    photograph("set/a.png", SIZE)
    mask("masks/a.png", value=left_half(200))
    frames = [np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)] * 3
    make_video(tmp_path / "set/b.mkv", frames)
    make_video(tmp_path / "masks/b.mkv", [left_half(197, 197, 197)] * 3, codec="ffv1", pix_fmt="bgr0")
    config = DatasetConfig(tmp_path / "set", tmp_path / "masks", settings=LOADED)
    assert scan_dataset(config)[1].masks_read["b"].note == "", "without loss nothing has drifted"
    make_video(tmp_path / "masks/b.mkv", [left_half(197, 197, 197)] * 3, codec="mjpeg", pix_fmt="yuvj420p")
    dataset, report = scan_dataset(config)
    assert dataset.items[1].tier_values == (0, 200, 255)
    assert "are read as the tiers 0, 200" in report.masks_read["b"].note
    assert any(line.startswith("the mask of b: its values have drifted") for line in report.messages())


def test_of_a_cache_from_before_only_other_masks_are_made_again(
    tmp_path: Path, config: DatasetConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    dataset, _ = scan_dataset(config)
    with monkeypatch.context() as before:
        before.setattr("maskloss.core.cache.plan._describe_mask_read", lambda *_: "")
        cache, _ = cache_latents(dataset, DemoLatentEncoder(), tmp_path / "cache")
    prints = {entry.name: entry.mask_fingerprint for entry in cache.entries}
    cache, told = cache_latents(dataset, DemoLatentEncoder(), tmp_path / "cache")
    assert {row["name"]: row["state"] for row in told["items"]} == {
        "grey": "unchanged", "labels": "weights rewritten", "red": "weights rewritten",
    }  # fmt: skip
    assert {entry.name for entry in cache.entries if entry.mask_fingerprint == prints[entry.name]} == {"grey"}
    assert cache_latents(dataset, DemoLatentEncoder(), tmp_path / "cache")[1]["counts"]["unchanged"] == 3


def test_instance_masks_of_labels_and_colours_keep_the_person(tmp_path: Path, photograph: Draw, mask: Draw) -> None:
    item = DatasetItem("a", photograph("set/a.png", SIZE), LOADED)
    for value in (left_half(1), left_half(255, 0, 0), np.dstack([left_half(0, 0, 0), left_half(255)])):
        instance_HW = read_instance(mask("instances/a.png", value=value), item, SIZE)
        assert instance_HW[:, :30].all()
        assert not instance_HW[:, 34:].any()


@pytest.mark.parametrize("stored", ["", "[]", '{"items": 3}', '{"items": {"a": {"details": {"tier_values": [300]}}}}'])
def test_a_damaged_ledger_tells_no_tiers(tmp_path: Path, stored: str) -> None:
    (tmp_path / ".maskloss_masks.json").write_text(stored)
    assert noted_tiers(tmp_path) == ()
