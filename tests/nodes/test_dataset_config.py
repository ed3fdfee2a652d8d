"""Datasets by the files that describe them."""

from __future__ import annotations

import json

import pytest
from maskloss.core.host import LocalHost, use_host
from maskloss.nodes.dataset_config import MaskLossLoadDatasetConfig


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
