"""Caches and merged folders from before colours were converted stay valid, but for pictures that it changes."""

import numpy as np
from maskloss.core.cache.latents import cache_latents
from maskloss.core.dataset.items import Dataset, DatasetItem, LoadSettings
from maskloss.core.demo.encoders import DemoLatentEncoder
from maskloss.core.images import load_image
from maskloss.core.masks.merge_alpha import merge_dataset_alpha
from PIL import Image

from .pictures import profile, srgb_profile


def test_only_pictures_with_another_profile_than_srgbs_are_made_again(tmp_path, monkeypatch):
    pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    stored = {"plain": None, "srgb": srgb_profile(), "broken": b"broken", "p3": profile("Display P3")}
    for name, icc in stored.items():
        Image.fromarray(pixels).save(tmp_path / f"{name}.png", icc_profile=icc)
    items = tuple(DatasetItem(name, tmp_path / f"{name}.png", LoadSettings(resolution=(64, 64))) for name in stored)
    before = {"core.cache.item_sources": (), "core.masks.merge_alpha": ()}
    with monkeypatch.context() as patched:
        for module, nothing in before.items():
            patched.setattr(f"maskloss.{module}.conversion_of", lambda path, nothing=nothing: nothing)
        cache_latents(Dataset(items), DemoLatentEncoder(), tmp_path / "cache")
        merge_dataset_alpha(Dataset(items), tmp_path / "rgba")
    _, report = cache_latents(Dataset(items), DemoLatentEncoder(), tmp_path / "cache")
    assert {row["name"]: row["state"] for row in report["items"]} == {
        "plain": "unchanged", "srgb": "unchanged", "broken": "unchanged", "p3": "encoded",
    }  # fmt: skip
    _, report = merge_dataset_alpha(Dataset(items), tmp_path / "rgba")
    assert {row["name"]: row["state"] for row in report["items"]} == {
        "plain": "unchanged", "srgb": "unchanged", "broken": "unchanged", "p3": "written",
    }  # fmt: skip
    merged = load_image(tmp_path / "rgba/p3.png")[0]
    assert np.array_equal(merged, load_image(tmp_path / "p3.png")[0])
    assert not np.array_equal(merged, pixels)
