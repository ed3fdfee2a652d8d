"""The dataset nodes on real files: what a scan finds again, merging, captions in one file."""

from __future__ import annotations

import json

import pytest
from maskloss.core.host import LocalHost, use_host
from maskloss.nodes.dataset import MaskLossLoadDataset, MaskLossMergeDatasets
from maskloss.nodes.dataset_config import MaskLossLoadDatasetConfig


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


def test_a_caption_file_is_read_and_its_change_is_noticed(host: LocalHost) -> None:
    path = host.folders().input / "captions.jsonl"
    path.write_text('{"file_name": "a.png", "text": "one"}\n')
    with use_host(host):
        given = {"directory": "ann", "caption_file": "captions.jsonl", "resolution_width": 64, "resolution_height": 64}
        dataset, report = MaskLossLoadDataset().run(**given)["result"]
        before = MaskLossLoadDataset.IS_CHANGED(**given)
        path.write_text('{"file_name": "a.png", "text": "another"}\n')
        assert MaskLossLoadDataset.IS_CHANGED(**given) != before
    assert [item.caption for item in dataset.items] == ["one", ""]
    assert "captions.jsonl has the captions of 1 of 2 items" in json.loads(report)["messages"]
