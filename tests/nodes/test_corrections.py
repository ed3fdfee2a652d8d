"""Corrections reach the cache through the nodes: only their entries' weights are rewritten, and ComfyUI runs again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from maskloss.core.corrections.override import NO_REVISION
from maskloss.core.corrections.store import Patch
from maskloss.core.dataset.corrected import painted_over
from maskloss.core.demo.encoders import DemoLatentEncoder
from maskloss.core.host import LocalHost, use_host
from maskloss.core.images import save_image
from maskloss.nodes.cache import MaskLossCacheLatents
from maskloss.nodes.corrections import correction_store, digest_corrections
from maskloss.nodes.dataset import MaskLossLoadDataset

LOAD = {
    "directory": "photos", "mask_directory": "masks", "recursive": False, "resolution_width": 64,
    "resolution_height": 64,
}  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    random = np.random.default_rng(0)
    for name in "abc":
        save_image(tmp_path / f"in/photos/{name}.png", random.integers(0, 256, (64, 64, 3), dtype=np.uint8))
        save_image(tmp_path / f"in/masks/{name}.png", np.full((64, 64), 128, np.uint8))
    return tmp_path


def load() -> tuple:
    return MaskLossLoadDataset().run(**LOAD)["result"][0]


def files(folder: Path) -> dict[str, bytes]:
    return {path.name[0]: path.read_bytes() for path in sorted((folder / "out/cache").glob("*.safetensors"))}


def paint(item, value: int) -> None:
    patch = Patch(0, 0, np.full((64, 32), value, np.uint8), np.ones((64, 32), bool))
    store = correction_store()
    store.revert(item.media_path)
    store.paint(item.media_path, (64, 64), patch, painted_over(item), NO_REVISION)


def test_only_the_corrected_entry_changes_and_training_reads_what_was_painted(folder: Path) -> None:
    def cache():
        result = MaskLossCacheLatents().run(load(), DemoLatentEncoder(), "cache")["result"]
        return result[0]

    with use_host(LocalHost(folder / "in", folder / "out")):
        cache()
        before, changed = files(folder), MaskLossLoadDataset.IS_CHANGED(**LOAD)
        paint(load().items[1], 255)
        assert MaskLossLoadDataset.IS_CHANGED(**LOAD) != changed
        opened = cache()
        after = files(folder)
        assert [name for name in "abc" if before[name] != after[name]] == ["b"]
        entries = {entry.name: entry for entry in opened.entries}
        weights_hw = opened.weights(entries["b"])[0, 0]
        columns = weights_hw.shape[1]
        assert (weights_hw[:, : columns // 2] == 1).all()
        assert torch.allclose(weights_hw[:, columns // 2 :], torch.tensor(128 / 255), atol=1e-3)
        correction_store().revert(load().items[1].media_path)
        cache()
        assert files(folder) == before


def test_a_rerun_with_other_masks_keeps_the_correction_and_says_so(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with use_host(LocalHost(folder / "in", folder / "out")):
        paint(load().items[1], 255)
        save_image(folder / "in/masks/b.png", np.full((64, 64), 80, np.uint8))
        opened = MaskLossCacheLatents().run(load(), DemoLatentEncoder(), "cache")["result"][0]
        weights_hw = opened.weights(next(entry for entry in opened.entries if entry.name == "b"))[0, 0]
        assert set(np.unique((weights_hw.numpy() * 255).round())) == {80, 255}
    assert "Under 1 corrections lies another mask than they were painted over: b" in capsys.readouterr().err


def test_what_is_left_out_by_hand_is_not_cached(folder: Path) -> None:
    with use_host(LocalHost(folder / "in", folder / "out")):
        before = digest_corrections("photos", False)
        correction_store().mark(folder / "in/photos/c.png", lambda marks: replace(marks, left_out=True))
        assert digest_corrections("photos", False) != before
        dataset = load()
    assert [item.name for item in dataset.items] == ["a", "b"]
    assert [left.item.name for left in dataset.left_out] == ["c"]


def test_other_folders_corrections_do_not_make_a_dataset_run_again(folder: Path) -> None:
    with use_host(LocalHost(folder / "in", folder / "out")):
        mine, everyones = digest_corrections("photos", False), digest_corrections("photos", True)
        correction_store().mark(folder / "in/others/c.png", lambda marks: replace(marks, left_out=True))
        assert digest_corrections("photos", False) == mine
        assert digest_corrections("photos", True) != everyones
        assert "was not found" in digest_corrections("nowhere", False)
