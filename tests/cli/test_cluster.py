"""`maskloss cluster`: what it says before there is anything for a cluster to do."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from maskloss.cli.main import main


def test_a_prompt_without_such_a_step_and_wrong_numbers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("maskloss.cli.cluster.importlib.util.find_spec", lambda name: name)
    (tmp_path / "prompt.json").write_text(
        json.dumps({"a": {"class_type": "PreviewImage", "inputs": {"images": ["b", 0]}}, "b": {
            "class_type": "LoadImage", "inputs": {"image": "x.png"}}})
    )  # fmt: skip
    file = str(tmp_path / "prompt.json")
    assert main(["cluster", file]) == 2
    assert "the prompt has none of MaskLossCacheLatents" in capsys.readouterr().err
    assert main(["cluster", file, "--workers", "-1"]) == 2
    assert "--workers is -1" in capsys.readouterr().err


def test_without_ray_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("maskloss.cli.cluster.importlib.util.find_spec", lambda name: None)
    assert main(["cluster", str(tmp_path / "prompt.json")]) == 2
    assert "pip install maskloss[ray]" in capsys.readouterr().err
