"""The dataset nodes on real files: the config file, merging, and the way through other packs' nodes."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from maskloss.core.host import LocalHost, use_host
from maskloss.nodes.dataset import MaskLossLoadDatasetConfig, MaskLossMergeDatasets
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
        "images": 4, "mask_alpha": 2, "mask_file": 0, "mask_none": 2, "without_caption": 4, "not_read": 0,
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
