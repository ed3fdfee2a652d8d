"""The dataset nodes on real files: the config file, merging, and the way through other packs' nodes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from maskloss.cli.prompt import parse_prompt
from maskloss.cli.run import REGISTRY
from maskloss.cli.runner import run_prompt
from maskloss.core.host import LocalHost, use_host
from maskloss.nodes.dataset import MaskLossLoadDataset, MaskLossLoadDatasetConfig, MaskLossMergeDatasets
from maskloss.nodes.dataset_exchange import MaskLossDatasetItems, MaskLossDatasetSetMasks
from PIL import Image

CONFIG = """
[general]
resolution = 64
enable_bucket = true
batch_size = 2
[[datasets]]
image_directory = "ann"
alpha_mask = true
num_repeats = 2
[[datasets]]
image_directory = "bob"
"""


@pytest.fixture
def host(tmp_path: Path) -> LocalHost:
    random = np.random.default_rng(0)
    for folder, names in (("ann", "ab"), ("bob", "ac")):
        (tmp_path / "in" / folder).mkdir(parents=True)
        for name in names:
            rgba = random.integers(0, 256, (20, 30, 4), dtype=np.uint8)
            picture = Image.fromarray(rgba if folder == "ann" else np.ascontiguousarray(rgba[..., :3]))
            picture.save(tmp_path / "in" / folder / f"{name}.png")
    (tmp_path / "in/set.toml").write_text(CONFIG)
    return LocalHost(tmp_path / "in", tmp_path / "out")


def test_a_config_file_becomes_one_dataset_with_a_report(host: LocalHost, capsys: pytest.CaptureFixture[str]) -> None:
    with use_host(host):
        dataset, report = MaskLossLoadDatasetConfig().run(path="set.toml")["result"]
    assert [(item.name, item.repeats) for item in dataset.items] == [("ann/a", 2), ("b", 2), ("bob/a", 1), ("c", 1)]
    assert json.loads(report)["counts"] == {
        "images": 4, "videos": 0, "clips": 0, "clip_frames": 0,
        "mask_alpha": 2, "mask_file": 0, "mask_none": 2,
        "mask_read_brightness": 0, "mask_read_alpha": 0, "mask_read_colour": 0, "mask_read_nonzero": 0,
        "unused_alpha": 0, "hdr_videos": 0, "without_caption": 4, "not_read": 0, "unused_masks": 0, "masks_beside": 0,
        "converted_colours": 0, "several_frames": 0,
        "ignored_profiles": 0, "untagged_colours": 0, "without_control": 0,
    }  # fmt: skip
    assert "set.toml sets batch_size: the trainer's batch_size decides." in capsys.readouterr().err


def test_it_runs_again_when_the_file_or_a_folder_changed(host: LocalHost) -> None:
    def state() -> str:
        return MaskLossLoadDatasetConfig.IS_CHANGED(path="set.toml")

    with use_host(host):
        before = state()
        assert before == state()
        (host.folders().input / "bob/c.txt").write_text("a caption")
        after = state()
        assert after != before
        (host.folders().input / "set.toml").write_text("[general]\nresolution =")
        assert "is damaged" in state()


@pytest.mark.parametrize("recursive", [False, True])
def test_it_runs_again_for_what_a_scan_would_find(host: LocalHost, recursive: bool) -> None:
    folder = host.folders().input
    for name in ("masks/sub", "ann/sub", "elsewhere"):
        (folder / name).mkdir(parents=True)
    (folder / "masks/linked").symlink_to(folder / "elsewhere", True)

    def state() -> str:
        return MaskLossLoadDataset.IS_CHANGED(directory="ann", mask_directory="masks", recursive=recursive)

    with use_host(host):
        seen = [state()]
        for name in ("masks/sub/a.png", "elsewhere/b.png"):  # masks are looked for in subfolders always
            (folder / name).write_bytes(b"x")
            seen.append(state())
        assert len(set(seen)) == 3
        (folder / "ann/sub/c.png").write_bytes(b"x")
        assert (state() != seen[-1]) is recursive


def test_merging_says_what_came_out(host: LocalHost, capsys: pytest.CaptureFixture[str]) -> None:
    with use_host(host):
        dataset = MaskLossLoadDatasetConfig().run(path="set.toml")["result"][0]
        out = MaskLossMergeDatasets().run(first=dataset, second=dataset, second_weight=3.0)
    (merged,) = out["result"]
    assert sum(item.repeats for item in merged.items) == 6 + 18
    assert out["ui"]["text"] == [
        "first: 4 items, 6 per epoch.\nsecond: 4 items, 18 per epoch (were 6).\n"
        "8 items share their names and are prefixed by their folders, as in-1/ann/a."
    ]
    assert "second: 4 items, 18 per epoch" in capsys.readouterr().err


def test_any_nodes_work_becomes_the_masks(host: LocalHost) -> None:
    with use_host(host):
        dataset = MaskLossLoadDatasetConfig().run(path="set.toml")["result"][0]
        images, masks, names = MaskLossDatasetItems().run(dataset=dataset, offset=2)
        assert [tuple(image.shape) for image in images] == [(1, 20, 30, 3)] * 2
        assert all(bool((mask == 1).all()) for mask in masks)
        changed, report = MaskLossDatasetSetMasks().run(
            dataset=[dataset], names=names, masks=[mask / 2 for mask in masks], output_directory=[""]
        )["result"]
    assert json.loads(report)["counts"]["written"] == 2
    written = [item.mask_path for item in changed.items if item.mask_path is not None]
    base = host.folders().output / "maskloss/set_masks"
    assert [path.relative_to(base).parts[1:] for path in written] == [("bob", "a.png"), ("c.png",)]


def test_items_and_masks_meet_as_lists_in_a_prompt(host: LocalHost) -> None:
    prompt = {
        "load": {"class_type": "MaskLossLoadDatasetConfig", "inputs": {"path": "set.toml"}},
        "items": {"class_type": "MaskLossDatasetItems", "inputs": {"dataset": ["load", 0], "limit": 3}},
        "instance": {
            "class_type": "MaskLossApplyInstanceMask",
            "inputs": {"weights": ["items", 1], "instance": ["items", 1]},
        },
        "set": {
            "class_type": "MaskLossDatasetSetMasks",
            "inputs": {
                "dataset": ["load", 0],
                "names": ["items", 2],
                "masks": ["instance", 0],
                "output_directory": "masks",
            },
        },
    }
    results = run_prompt(parse_prompt(prompt), REGISTRY, host)
    report = json.loads(results["set"].ui["text"][0])
    assert [(row["name"], row["state"]) for row in report["items"]] == [
        ("ann/a", "written"), ("b", "written"), ("bob/a", "written"),
    ]  # fmt: skip
