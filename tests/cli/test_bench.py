"""`maskloss bench` as a user types it, on a published model that is small."""

from __future__ import annotations

import json
from collections.abc import Generator
from pathlib import Path

import pytest
import torch
from maskloss.cli.main import main
from maskloss.core.comfy.model import full_size
from maskloss.core.plan.measured import device_name, read_measurements
from tiny_comfy import tiny_models

pytestmark = pytest.mark.comfy


@pytest.fixture
def small_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Generator[None]:
    models = json.loads(full_size._FILE.read_text())["models"]
    model = models["wan2.1-1.3b"]
    model["network"] |= {"dim": 128, "ffn_dim": 256, "num_heads": 1, "num_layers": 6}
    path = tmp_path / "models.json"
    path.write_text(json.dumps({"models": {"small": model}}))
    monkeypatch.setattr(full_size, "_FILE", path)
    full_size.full_size_models.cache_clear()
    yield
    full_size.full_size_models.cache_clear()


@pytest.mark.usefixtures("small_model")
def test_an_entry_is_written_and_the_plan_knows_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    table = tmp_path / "table.toml"
    words = ["small", "--resolution", "64", "--rank", "4", "--weights", "fp32"]
    assert main(["bench", *words, "--steps", "3", "--table", str(table)]) == 0
    (entry,) = read_measurements(table)
    said = capsys.readouterr().out
    assert entry.to_toml() in said
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    assert (entry.device, entry.model, entry.width, entry.steps) == (device_name(device), "small", 64, 3)
    assert entry.training_dtype == ("bf16" if torch.cuda.is_available() else "fp32")
    assert entry.seconds > 0
    assert 0 < entry.planned_gib < 1
    monkeypatch.setattr("maskloss.core.plan.measured.OWN", table)
    assert main(["plan", *words, "--steps", "500"]) == 0
    # The plan is of a card.
    assert ("500 steps take about" in capsys.readouterr().out) == torch.cuda.is_available()


@pytest.mark.usefixtures("small_model")
def test_what_does_not_fit_is_not_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(tiny_models.management, "get_total_memory", lambda _: 2**20)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda _: (2**20, 2**20))
    table = tmp_path / "table.toml"
    assert main(["bench", "small", "--resolution", "512", "--steps", "1", "--table", str(table)]) == 2
    assert "small with these settings" in capsys.readouterr().err
    assert not table.exists()


def test_no_step_is_a_mistake(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["bench", "sd1.5", "--steps", "0"])
    assert "'0' is no number of at least 1" in capsys.readouterr().err
