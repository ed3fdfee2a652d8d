"""Names as disks and other systems write them: Unicode forms, and names that are nearly too long."""

import unicodedata
from pathlib import Path

import numpy as np
import pytest
from maskloss.core.cache.entry_file import NAME, entry_file_name, read_metadata
from maskloss.core.cache.export import export_reference
from maskloss.core.cache.inspection import inspect_cache
from maskloss.core.cache.latents import cache_latents
from maskloss.core.cache.reference_files import ReferenceArchitecture, text_file_of
from maskloss.core.cache.store import open_cache
from maskloss.core.dataset.files import NameIndex
from maskloss.core.dataset.items import LoadSettings, MaskOrigin
from maskloss.core.dataset.load import load_item
from maskloss.core.dataset.scan import DatasetConfig, scan_dataset
from maskloss.core.demo.encoders import DemoLatentEncoder
from maskloss.core.errors import DatasetError
from maskloss.core.files import shorten_stem
from maskloss.core.masks.merge_alpha import merge_dataset_alpha
from PIL import Image

SMALL = LoadSettings(resolution=(64, 64))


def draw(path: Path, value: int = 90) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (64, 64), (value, 40, 10)).save(path)


@pytest.mark.parametrize("photograph", ["NFC", "NFD"])
@pytest.mark.parametrize("other", ["NFC", "NFD"])
@pytest.mark.parametrize("name", ["Zoë", "sub/Ångström", "ガード", "Crème brûlée 2", "한글", "ÉCLAIR"])
def test_composed_and_decomposed_names_are_one_name(tmp_path, photograph, other, name):
    mine, theirs = unicodedata.normalize(photograph, name), unicodedata.normalize(other, name)
    draw(tmp_path / f"set/{mine}.png")
    for folder in ("masks", "controls"):
        draw(tmp_path / f"{folder}/{theirs}.png")
    (tmp_path / f"set/{theirs}.txt").write_text("caption", encoding="utf-8")
    config = DatasetConfig(
        tmp_path / "set", tmp_path / "masks", control_directory=tmp_path / "controls", recursive=True, settings=SMALL
    )
    dataset, _ = scan_dataset(config)
    (item,) = dataset.items
    # As it is on the disk, so that what was cached of it is found again.
    assert item.name == mine
    assert item.mask_path == tmp_path / f"masks/{theirs}.png"
    assert item.control_path == tmp_path / f"controls/{theirs}.png"
    assert item.caption == "caption"
    assert load_item(item).origin is MaskOrigin.FILE


def test_the_exact_name_goes_first_and_two_that_fit_alike_are_refused(tmp_path):
    composed, decomposed = (unicodedata.normalize(form, "é") for form in ("NFC", "NFD"))
    for name in (composed, decomposed):
        draw(tmp_path / f"masks/{name}.png")
    index = NameIndex(tmp_path / "masks", (".png",), "mask", [composed, decomposed])
    assert index.find(composed) == tmp_path / f"masks/{composed}.png"
    assert index.find(decomposed) == tmp_path / f"masks/{decomposed}.png"
    upper = unicodedata.normalize("NFC", "É")
    with pytest.raises(DatasetError, match="Two mask files could belong"):
        NameIndex(tmp_path / "masks", (".png",), "mask", [upper]).find(upper)


LONG = ["a" * 231, "a" * 250, "ü" * 120, "写" * 83, "😀" * 60 + "x", "sub/" + "b" * 251]


@pytest.mark.parametrize("name", LONG)
def test_the_longest_names_are_cached_exported_merged_and_named(tmp_path, name):
    draw(tmp_path / f"set/{name}.png")
    draw(tmp_path / f"masks/{name}.png", 255)
    config = DatasetConfig(tmp_path / "set", tmp_path / "masks", recursive=True, settings=SMALL)
    dataset, _ = scan_dataset(config)
    cache, _ = cache_latents(dataset, DemoLatentEncoder(), tmp_path / "cache")
    (entry,) = cache.entries
    assert entry.name == name
    assert len(Path(entry.file).name.encode()) <= 255
    if not entry.file.startswith(f"{name}_"):
        assert read_metadata(tmp_path / "cache" / entry.file)[NAME] == name
    assert [check.entry.name for check in inspect_cache(tmp_path / "cache").checks] == [name]
    assert [each.name for each in open_cache(tmp_path / "cache").entries] == [name]
    assert cache_latents(dataset, DemoLatentEncoder(), tmp_path / "cache")[1]["items"][0]["state"] == "unchanged"
    (tmp_path / f"set/{name}.txt").unlink(missing_ok=True)
    merged, report = merge_dataset_alpha(dataset, tmp_path / "rgba")
    assert report["items"][0]["name"] == merged.items[0].name == name
    assert merged.items[0].media_path.is_file()
    assert merge_dataset_alpha(dataset, tmp_path / "rgba")[1]["items"][0]["state"] == "unchanged"


def test_names_that_fit_stay_as_they_were_and_long_ones_differ():
    assert entry_file_name("sub/a", (640, 480), "wan") == "sub/a_0640x0480_wan.safetensors"
    longest = "a" * (255 - len("_0640x0480_wan.safetensors"))
    assert entry_file_name(longest, (640, 480), "wan") == f"{longest}_0640x0480_wan.safetensors"
    one, other = (entry_file_name(longest + end, (640, 480), "wan") for end in "xy")
    assert one != other
    assert len(one) == len(other) == 255
    assert shorten_stem("sub/" + "é" * 200, ".png").startswith("sub/é")
    assert len(shorten_stem("é" * 200, ".png").encode()) in (250, 251)


def test_clips_of_a_video_with_a_long_name_keep_one_caption_file():
    clips = [entry_file_name("v" * 240 + f"_{start:05d}-081", (64, 64), "wan") for start in (0, 81)]
    assert clips[0] != clips[1]
    assert len({text_file_of(file, ReferenceArchitecture.WAN) for file in clips}) == 1
    assert all(len(file) <= 255 for file in clips)


def test_an_export_says_which_file_is_whose(tmp_path):
    draw(tmp_path / f"set/{'n' * 245}.png")
    dataset, _ = scan_dataset(DatasetConfig(tmp_path / "set", settings=SMALL))

    class SixteenChannels(DemoLatentEncoder):
        architecture = "wan"

        def encode(self, rgb_BTHWC):
            import torch

            return torch.from_numpy(np.zeros((len(rgb_BTHWC), 16, 1, 8, 8), np.float32))

    cache, _ = cache_latents(dataset, SixteenChannels(), tmp_path / "cache")
    report = export_reference(cache, tmp_path / "out", with_text=False)
    (row,) = report["items"]
    assert row["name"] == "n" * 245
    assert (tmp_path / "out" / row["file"]).is_file()
    assert read_metadata(tmp_path / "out" / row["file"])[NAME] == "n" * 245
