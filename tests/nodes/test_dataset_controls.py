"""The node that cuts people out, from a folder on disk to a cache with references."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from maskloss.cli.prompt import parse_prompt
from maskloss.cli.run import REGISTRY
from maskloss.cli.runner import run_prompt
from maskloss.core.cache.store import open_cache
from maskloss.core.host import LocalHost
from maskloss.core.images import load_image
from PIL import Image


def node(class_type: str, **inputs: object) -> dict[str, object]:
    return {"class_type": class_type, "inputs": inputs}


@pytest.fixture
def host(tmp_path: Path) -> LocalHost:
    random = np.random.default_rng(0)
    for folder in ("photographs", "masks", "portraits"):
        (tmp_path / "in" / folder).mkdir(parents=True)
    for name in ("anna", "bob"):
        pixels = random.integers(0, 100, (64, 96, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"in/photographs/{name}.png")
        Image.fromarray(pixels[:, :40]).save(tmp_path / f"in/portraits/{name}.png")
        mask = np.zeros((64, 96), np.uint8)
        mask[20:60, 30:60] = 128
        Image.fromarray(mask).save(tmp_path / f"in/masks/{name}.png")
    return LocalHost(tmp_path / "in", tmp_path / "out")


def test_scenes_are_written_shown_first_and_cached(host: LocalHost) -> None:
    size = {"resolution_width": 64, "resolution_height": 64}
    folders = {"directory": "photographs", "mask_directory": "masks", "control_directory": "portraits"}
    prompt = {
        "models": node("MaskLossDemoModels"),
        "load": node("MaskLossLoadDataset", **folders, **size),
        "cut": node("MaskLossDatasetCutOut", dataset=["load", 0], grow_percent=0),
        "latents": node("MaskLossCacheLatents", dataset=["cut", 0], vae=["models", 1], cache_directory="cache"),
    }
    results = run_prompt(parse_prompt(prompt), REGISTRY, host)
    assert results["cut"].ui["images"]
    report = json.loads(results["cut"].ui["text"][0])
    assert report["counts"]["written"] == 2
    cache = open_cache(host.folders().output / "cache")
    for entry in cache.entries:
        scene, portrait = (source.path for source in entry.control_sources)
        assert scene.parent.parent.name == "cut_out"
        assert portrait.parent.name == "portraits"
        assert (load_image(scene)[0][20:60, 30:60] == 128).all()
        assert len(cache.references(entry)) == 2
