"""Folders for other trainers hold our weights to the last bit, in the form that each of them reads."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from maskloss.core.dataset.config_file import read_config, scan_config
from maskloss.core.dataset.items import Dataset, LoadSettings
from maskloss.core.dataset.load import load_item
from maskloss.core.dataset.read_toml import read_toml
from maskloss.core.dataset.scan import DatasetConfig, scan_dataset
from maskloss.core.errors import DatasetError
from maskloss.core.masks.trainer_files import Trainer
from maskloss.core.masks.trainer_folders import _cut_to_bucket, export_folders
from maskloss.core.paths import Folders
from PIL import Image


@pytest.fixture
def dataset(tmp_path: Path, photograph, mask) -> Dataset:
    """A turned photograph with a mask, one with another weight in a subfolder, and one without a mask or caption."""
    photograph("set/a.jpg", orientation=6)
    photograph("set/sub/b.png", seed=1)
    photograph("set/c.png", seed=2)
    mask("masks/a.png", (30, 40), 128)
    mask("masks/sub/b.png", value=80)
    (tmp_path / "set/a.txt").write_text("one\ntwo\n")
    (tmp_path / "set/sub/b.txt").write_text("three")
    settings = LoadSettings(resolution=(64, 48))
    return scan_dataset(DatasetConfig(tmp_path / "set", tmp_path / "masks", recursive=True, settings=settings))[0]


def grey(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        assert (picture.mode, picture.format) == ("L", "PNG")
        return np.asarray(picture)


@pytest.mark.parametrize("trainer", list(Trainer))
def test_pictures_masks_and_captions_are_those_of_the_dataset(
    dataset: Dataset, tmp_path: Path, trainer: Trainer
) -> None:
    output = tmp_path / "out"
    file, report = export_folders(dataset, output, trainer)
    assert file.parent == output
    assert file.is_file()
    masks = output / ("images" if trainer is Trainer.ONETRAINER else "masks")
    ending = "-masklabel" if trainer is Trainer.ONETRAINER else ""
    for item, name in zip(dataset.items, ("a", "c", "sub__b"), strict=True):
        loaded = load_item(item)
        if trainer is Trainer.SD_SCRIPTS:  # cut to the bucket of 64x48
            loaded = _cut_to_bucket(loaded, item)
        with Image.open(output / f"images/{name}.png") as picture:
            assert np.array_equal(np.asarray(picture), loaded.rgb_HWC)
        if trainer is not Trainer.MUSUBI_TUNER:
            assert np.array_equal(grey(masks / f"{name}{ending}.png"), np.rint(loaded.full_weights_HW * 255))
    texts = {path.name: path.read_text() for path in (output / "images").glob("*.txt")}
    # SimpleTuner (bc8e6ab) reads a caption's file of every picture; an empty one is its empty caption, an empty line in
    # it an error.
    bare = {"c.txt": ""} if trainer is Trainer.SIMPLETUNER else {}
    assert texts == {"a.txt": "one two\n", "sub__b.txt": "three\n", **bare}
    told = [message for message in report["messages"] if "1 of them have no caption (c)" in message]
    assert len(told) == len(bare)
    states = {"mask_mask": 2, "mask_white": 1, "mask_none": 0}
    if trainer is Trainer.MUSUBI_TUNER:
        states = {"mask_mask": 0, "mask_white": 0, "mask_none": 3}
        assert not masks.exists()
        assert "has no masked loss" in report["messages"][0]
    assert report["counts"] == {"items": 3, "videos_left_out": 0, "folders": 1, **states}
    assert any(trainer.value in message for message in report["messages"])


def grouped(dataset: Dataset) -> Dataset:
    """In three folders: once, four times, and regularisation images."""
    first, second, third = dataset.items
    return Dataset((first, replace(second, repeats=4), replace(third, regularisation=0.5)))


def test_sd_scripts_file(dataset: Dataset, tmp_path: Path) -> None:
    file, report = export_folders(grouped(dataset), tmp_path / "out", Trainer.SD_SCRIPTS)
    content = read_toml(file)
    assert [part["resolution"] for part in content["datasets"]] == [[64, 48]] * 3
    (subset,) = content["datasets"][1]["subsets"]
    assert subset == {
        "image_dir": str(tmp_path / "out/images_2"), "conditioning_data_dir": str(tmp_path / "out/masks_2"),
        "caption_extension": ".txt", "num_repeats": 4,
    }  # fmt: skip
    assert "no regularisation images beside masks" in report["messages"][0]


def test_onetrainer_file(dataset: Dataset, tmp_path: Path) -> None:
    concepts = json.loads(export_folders(grouped(dataset), tmp_path / "out", Trainer.ONETRAINER)[0].read_text())
    assert [(each["path"], each["balancing"]) for each in concepts] == [
        (str(tmp_path / f"out/images_{number}"), repeats) for number, repeats in ((1, 1.0), (2, 4.0), (3, 1.0))
    ]
    assert concepts[0]["image"]["resolution_override"] == "55"
    assert all(Path(each["path"]).is_dir() for each in concepts)


def test_ai_toolkit_file(dataset: Dataset, tmp_path: Path) -> None:
    text = export_folders(grouped(dataset), tmp_path / "out", Trainer.AI_TOOLKIT)[0].read_text()
    head, *entries = text.split("  - ")
    assert head == "datasets:\n"
    parsed = [dict(line.strip().split(": ", 1) for line in entry.splitlines()) for entry in entries]
    assert [entry["is_reg"] for entry in parsed] == ["false", "false", "true"]
    assert [json.loads(entry["mask_path"]) for entry in parsed] == [str(tmp_path / f"out/masks_{n}") for n in (1, 2, 3)]
    assert parsed[1]["num_repeats"] == "4"


def test_simpletuner_file(dataset: Dataset, tmp_path: Path) -> None:
    backends = json.loads(export_folders(grouped(dataset), tmp_path / "out", Trainer.SIMPLETUNER)[0].read_text())
    by_id = {each["id"]: each for each in backends}
    images = [each for each in backends if each["dataset_type"] == "image"]
    assert [(each["repeats"], each["is_regularisation_data"]) for each in images] == [(0, False), (3, False), (0, True)]
    for each in images:
        masks = by_id[each["conditioning_data"]]
        assert (masks["dataset_type"], masks["conditioning_type"]) == ("conditioning", "mask")
        assert {path.name for path in Path(masks["instance_data_dir"]).iterdir()} == {
            path.name for path in Path(each["instance_data_dir"]).glob("*.png")
        }


def test_diffusion_pipe_file(dataset: Dataset, tmp_path: Path) -> None:
    content = read_toml(export_folders(grouped(dataset), tmp_path / "out", Trainer.DIFFUSION_PIPE)[0])
    assert [(each["path"], each["mask_path"], each["num_repeats"]) for each in content["directory"]] == [
        (str(tmp_path / f"out/images_{n}"), str(tmp_path / f"out/masks_{n}"), repeats)
        for n, repeats in ((1, 1), (2, 4), (3, 1))
    ]
    assert content["resolutions"] == [[64, 48]]


def test_what_the_reference_system_gets_is_the_same_dataset_again(dataset: Dataset, tmp_path: Path) -> None:
    file, _ = export_folders(grouped(dataset), tmp_path / "out", Trainer.BLISSFUL_TUNER)
    tables = read_toml(file)["datasets"]
    assert len({table["cache_directory"] for table in tables}) == 3
    again = scan_config(read_config(file, Folders(tmp_path, tmp_path)))[0]
    assert [item.repeats for item in again.items] == [1, 4, 1]
    for item, twin in zip(dataset.items, again.items, strict=True):
        before, after = load_item(item), load_item(twin)
        assert np.array_equal(before.rgb_HWC, after.rgb_HWC)
        assert np.array_equal(before.full_weights_HW, after.full_weights_HW)
        assert twin.settings.resolution == item.settings.resolution


def test_a_folder_that_holds_something_is_left_alone(dataset: Dataset, tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine.txt").write_text("x")
    with pytest.raises(DatasetError, match="holds something already; give a new folder"):
        export_folders(dataset, tmp_path / "out", Trainer.SD_SCRIPTS)
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["mine.txt"]


@pytest.mark.parametrize(
    ("name", "trainer", "message"),
    [
        ("a-masklabel", Trainer.ONETRAINER, "takes a-masklabel for a mask or a control image by its end"),
        ("a[1]", Trainer.SD_SCRIPTS, r"has one of \* \? \[ in its name"),
        ("sub__b", Trainer.AI_TOOLKIT, "would both be written as sub__b"),
    ],
)
def test_names_that_a_trainer_would_misread_are_refused(dataset, tmp_path: Path, name, trainer, message) -> None:
    first, *others = dataset.items
    with pytest.raises(DatasetError, match=message):
        export_folders(Dataset((replace(first, name=name), *others)), tmp_path / "out", trainer)
    assert not (tmp_path / "out").exists()
