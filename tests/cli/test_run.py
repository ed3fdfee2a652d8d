"""One prompt file from reading to its last line on stdout."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from maskloss.cli.run import REGISTRY, run_file
from maskloss.core.errors import PathError, PromptError, SettingError
from maskloss.core.images import save_image
from maskloss.nodes import NODE_CLASS_MAPPINGS


@pytest.fixture
def prompt(tmp_path: Path) -> Path:
    """Two photographs, of which one has a caption, to a cache and a page."""
    for number in range(2):
        picture = np.random.default_rng(number).integers(0, 256, (64, 64, 3), dtype=np.uint8)
        save_image(tmp_path / f"in/set/{number}.png", picture)
    (tmp_path / "in/set/0.txt").write_text("her")
    nodes = {
        "models": ("MaskLossDemoModels", {}),
        "load": ("MaskLossLoadDataset", {"directory": "set", "resolution_width": 64, "resolution_height": 64}),
        "latents": ("MaskLossCacheLatents", {"dataset": ["load", 0], "vae": ["models", 1], "cache_directory": "cache"}),
        "report": ("MaskLossReport", {"dataset": ["load", 0], "cache": ["latents", 0]}),
    }
    path = tmp_path / "prompt.json"
    path.write_text(json.dumps({name: {"class_type": kind, "inputs": given} for name, (kind, given) in nodes.items()}))
    return path


def run(prompt: Path, *settings: str, shard: str | None = None) -> None:
    run_file(prompt, settings, prompt.parent / "in", prompt.parent / "out", shard)


def test_summaries_and_warnings_go_to_stdout_and_the_rest_to_stderr(
    prompt: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run(prompt, "report.output_directory=page")
    out, err = capsys.readouterr()
    assert "WARNING [load MaskLossLoadDataset]: 1 images have no caption: 1" in out.splitlines()
    assert out.splitlines()[-1] == f"Report: {prompt.parent / 'out/page/index.html'}"
    assert "[latents MaskLossCacheLatents] 2/2" in err
    assert "2/2" not in out
    assert (prompt.parent / "out/page/index.html").is_file()


def test_a_share_caches_its_own_and_says_what_it_did_not_run(prompt: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run(prompt, shard="1/2")
    assert capsys.readouterr().out.splitlines()[-1] == (
        "not run in a shard: report MaskLossReport; run this file without --shard when all shards are finished"
    )
    assert len(list((prompt.parent / "out/cache").rglob("*.safetensors"))) == 1
    assert not (prompt.parent / "out/maskloss/report").exists()
    run(prompt, shard="2/2")
    assert len(list((prompt.parent / "out/cache").rglob("*.safetensors"))) == 2


def test_what_cannot_run_is_refused_before_anything_does(prompt: Path) -> None:
    with pytest.raises(PathError, match=r"--input .*away is not a directory"):
        run_file(prompt, [], prompt.parent / "away", None)
    with pytest.raises(PromptError, match="did you mean 'num_repeats'"):
        run(prompt, "load.num_repeat=3")
    with pytest.raises((PromptError, SettingError), match="3/2"):
        run(prompt, shard="3/2")
    assert not (prompt.parent / "out").exists()


def test_comfyuis_three_and_all_of_this_pack_can_be_run() -> None:
    assert set(NODE_CLASS_MAPPINGS) < set(REGISTRY)
    assert set(REGISTRY) - set(NODE_CLASS_MAPPINGS) == {"LoadImage", "SaveImage", "PreviewImage"}
