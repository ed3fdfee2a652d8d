"""The dataset nodes on real files: the config file, merging, and the way through other packs' nodes."""

from __future__ import annotations

import json

import pytest
from maskloss.core.host import LocalHost, use_host
from maskloss.nodes.dataset import MaskLossLoadDataset, MaskLossLoadDatasetConfig, MaskLossMergeDatasets


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
