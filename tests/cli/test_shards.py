"""`maskloss run --shard`: several runs of one file fill one cache, and nothing trains on half of it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from maskloss.cli.main import main
from maskloss.core.cache.store import open_cache
from maskloss.core.errors import CacheError
from PIL import Image

PROMPT = {
    "models": {"class_type": "MaskLossDemoModels", "inputs": {}},
    "load": {
        "class_type": "MaskLossLoadDataset",
        "inputs": {"directory": "set", "mask_directory": "masks", "resolution_width": 64, "resolution_height": 64},
    },
    "latents": {
        "class_type": "MaskLossCacheLatents",
        "inputs": {"dataset": ["load", 0], "vae": ["models", 1], "cache_directory": "cache"},
    },
    "text": {"class_type": "MaskLossCacheText", "inputs": {"cache": ["latents", 0], "clip": ["models", 2]}},
    "lora": {"class_type": "MaskLossLoraConfig", "inputs": {"rank": 2}},
    "train": {
        "class_type": "MaskLossTrainLora",
        "inputs": {"model": ["models", 0], "cache": ["text", 0], "lora_config": ["lora", 0], "steps": 1},
    },
    "preview": {"class_type": "MaskLossPreviewCache", "inputs": {"cache": ["text", 0]}},
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    random = np.random.default_rng(0)
    for name in ("set", "masks"):
        (tmp_path / name).mkdir()
        for number in range(5):
            Image.fromarray(random.integers(0, 256, (40, 40), dtype=np.uint8)).save(tmp_path / f"{name}/p{number}.png")
    for number in range(5):
        (tmp_path / f"set/p{number}.txt").write_text(f"ohwx {number}")
    (tmp_path / "prompt.json").write_text(json.dumps(PROMPT))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*arguments: str) -> int:
    return main(["run", "prompt.json", *arguments])


def test_shards_make_the_cache_and_only_the_whole_run_trains(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--shard", "1/2") == 0
    told = capsys.readouterr()
    assert "Shard 1/2: 3 entries are cached." in told.err
    assert "opens when all shards of this dataset and these settings are finished; not yet: 2/2." in told.err
    assert told.out.splitlines()[-1] == (
        "not run in a shard: train MaskLossTrainLora, preview MaskLossPreviewCache; run this file without --shard when "
        "all shards are finished"
    )
    with pytest.raises(CacheError, match=r"Not all shards of the cache .* are finished \(only 1-of-2\)"):
        open_cache(folder / "cache")
    assert run("--shard", "2/2") == 0
    assert "All 2 shards are finished" in capsys.readouterr().err
    cache = open_cache(folder / "cache")
    assert [entry.name for entry in cache.entries] == ["p0", "p1", "p2", "p3", "p4"]
    assert cache.missing_captions() == ()
    assert not (folder / "loras").exists()
    assert run() == 0
    assert list((folder / "loras").rglob("*.safetensors"))
    assert open_cache(folder / "cache").fingerprint == cache.fingerprint


def test_a_shard_of_another_dataset_does_not_complete_the_cache(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--shard", "1/2") == 0
    Image.new("L", (40, 40)).save(folder / "set/p5.png")
    assert run("--shard", "2/2") == 0
    assert "not yet: 1/2." in capsys.readouterr().err
    assert run("--shard", "1/2") == 0
    assert len(open_cache(folder / "cache").entries) == 6


def test_more_shards_than_photographs(folder: Path) -> None:
    for number in range(1, 8):
        assert run("--shard", f"{number}/7") == 0
    assert len(open_cache(folder / "cache").entries) == 5


def test_a_wrong_shard_and_a_prompt_without_a_cache(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--shard", "3/2") == 2
    assert "--shard is 3/2; give i/n with i from 1 to n" in capsys.readouterr().err
    nodes = {name: PROMPT[name] for name in ("load",)}
    nodes["look"] = {"class_type": "MaskLossPreviewDataset", "inputs": {"dataset": ["load", 0]}}
    (folder / "prompt.json").write_text(json.dumps(nodes))
    assert run("--shard", "1/2") == 2
    assert "--shard divides the work of MaskLossCacheLatents, and the prompt has none" in capsys.readouterr().err


def test_what_nothing_uses_is_listed_and_removed_when_told(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run() == 0
    (folder / "set/p4.png").unlink()
    (folder / "set/p4.txt").unlink()
    assert run("--set", "train.output_name=again") == 0
    (folder / "cache/mine.safetensors").write_bytes(b"no cache file")
    capsys.readouterr()
    assert main(["cache", "prune", "cache"]) == 0
    listed = capsys.readouterr().out.splitlines()
    assert listed[0] == "unused     p4_0040x0040_demo.safetensors"
    assert listed[1].startswith("unused     text/")
    assert listed[2] == "left alone  mine.safetensors: not written by this pack, or damaged"
    assert listed[3].startswith("2 files, 0.0 MB; with --remove they are deleted")
    assert (folder / "cache/p4_0040x0040_demo.safetensors").exists()
    assert main(["cache", "prune", "cache", "--remove"]) == 0
    assert not (folder / "cache/p4_0040x0040_demo.safetensors").exists()
    assert (folder / "cache/mine.safetensors").exists()
    assert len(open_cache(folder / "cache").entries) == 4
    assert open_cache(folder / "cache").missing_captions() == ()
