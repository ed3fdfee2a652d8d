"""`maskloss cache` as a user types it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from maskloss.cli.main import main
from maskloss.core.cache.latents import cache_latents
from maskloss.core.cache.text import cache_text
from maskloss.core.dataset.items import Dataset, DatasetItem, LoadSettings
from maskloss.core.demo.encoders import DemoLatentEncoder, DemoTextEncoder
from PIL import Image


class WanEncoder(DemoLatentEncoder):
    """The demo autoencoder under WAN's tag, so that its latents can be exported."""

    architecture = "wan"


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    settings = LoadSettings(resolution=(64, 64), alpha_mask=True)
    items: list[DatasetItem] = []
    for name, channels in (("a", 4), ("b", 3)):
        pixels = np.random.default_rng(0).integers(0, 256, (40, 40, channels), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{name}.png")
        items.append(DatasetItem(name, tmp_path / f"{name}.png", settings, caption="ohwx"))
    cache, _ = cache_latents(Dataset(tuple(items)), WanEncoder(), tmp_path / "cache")
    cache_text(cache, DemoTextEncoder())
    return tmp_path / "cache"


def test_inspect_says_what_is_there(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (cache / "old_0001x0001_wan.safetensors").write_bytes(b"")
    assert main(["cache", "inspect", str(cache), "--deep"]) == 0
    text = capsys.readouterr().out
    assert "2 entries for wan, encoder maskloss-demo-dct-1" in text
    assert "buckets     64x64: 2" in text
    assert "masks       alpha: 1, file: 0, none: 1" in text
    assert "text        2 of 2 captions" in text
    assert "keys        latents_* in 2 of 2 files, mask_weights_* in 1 of 2" in text
    assert "ok          a_0040x0040_wan.safetensors: latents_*, mask_weights_* (alpha, coverage 5" in text
    assert "ok          b_0040x0040_wan.safetensors: latents_*, no mask_weights_* (none, coverage 100.0%)" in text
    assert "orphan      old_0001x0001_wan.safetensors" in text


def test_inspect_ends_with_2_where_something_is_wrong(cache: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Image.new("RGB", (40, 40)).save(cache.parent / "b.png")
    (cache / "a_0040x0040_wan.safetensors").write_bytes(b"cut")
    assert main(["cache", "inspect", str(cache)]) == 2
    out, err = capsys.readouterr()
    assert "DAMAGED     a_0040x0040_wan.safetensors: The cache file" in out
    assert "STALE       b_0040x0040_wan.safetensors: latents_*, no mask_weights_*" in out
    assert "has 2 faults, marked above" in err
    assert main(["cache", "inspect", str(cache / "none")]) == 2


def test_export_writes_what_inspect_can_read(cache: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = str(tmp_path / "out")
    assert main(["cache", "export", str(cache), out, "--format", "musubi", "--architecture", "qi"]) == 0
    assert f"2 files are in {out}" in capsys.readouterr().out
    assert main(["cache", "inspect", out]) == 0
    text = capsys.readouterr().out
    assert "2 entries for qi, encoder reference-qwen_image" in text
    assert "text        none; run CacheText before training" in text
    assert "note        2 entries have no caption beside them" in text
    assert main(["cache", "export", str(cache), out, "--format", "musubi", "--architecture", "qi"]) == 2
    assert "export into a new folder" in capsys.readouterr().err
