"""Workers of a Ray of its own: some are killed in the middle of their work, and nothing is lost."""

from __future__ import annotations

import importlib.util
import io
import json
from pathlib import Path

import pytest
from maskloss.core.bundled.install import copy_demo_photographs
from PIL import Image

from benchmarks.cluster import place_photographs, poisoned, prompt_for, run_command

needs_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="Ray is not installed; pip install maskloss[ray]"
)
CLUSTER = ["cluster", "prompt.json", "--workers", "2"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    copy_demo_photographs(tmp_path)
    place_photographs(tmp_path / "set", 12, seed=1, pixels=150_000)
    (tmp_path / "prompt.json").write_text(json.dumps(prompt_for("set")))
    return tmp_path


@needs_ray
@pytest.mark.models
@pytest.mark.photographs
def test_killed_workers_lose_nothing_and_make_nothing_twice(folder: Path) -> None:
    alone = run_command(["run", "prompt.json"], folder)
    assert alone.code == 0, alone.said
    killed = run_command(CLUSTER, folder, kill_at_s=(0, 0, 0))
    assert killed.code == 0, killed.said
    assert killed.killed == 3
    assert "ended and were replaced" in killed.said
    assert "main memory of a worker: at most" in killed.said
    assert killed.files == alone.files


@needs_ray
@pytest.mark.models
@pytest.mark.photographs
def test_a_poisoned_photograph_is_reported_and_the_rest_is_as_without_it(folder: Path) -> None:
    (folder / "set/p0003.jpg").unlink()
    alone = run_command(["run", "prompt.json"], folder)
    whole = io.BytesIO()
    Image.effect_noise((300, 300), 50).convert("RGB").save(whole, "PNG")
    (folder / "set/p0003.png").write_bytes(poisoned(whole.getvalue()))
    run = run_command(CLUSTER, folder)
    assert run.code == 2
    assert "1 items could not be worked on" in run.said
    assert "p0003 (7 MaskLossDatasetBuildMasks):" in run.said
    assert run.files == alone.files
