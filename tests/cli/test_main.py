"""The command as a user types it."""

from __future__ import annotations

import importlib
import json
import re
from pathlib import Path

import maskloss
import numpy as np
import pytest
from maskloss.cli import doctor
from maskloss.cli.main import main
from PIL import Image


def write_prompt(path: Path, **weights: object) -> Path:
    prompt = {
        "1": {"class_type": "LoadImage", "inputs": {"image": "photo.png"}},
        "2": {"class_type": "MaskLossMergeAlpha", "inputs": {"image": ["1", 0], "weights": ["1", 1], **weights}},
        "3": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefix": "copies/photo"}},
        "4": {"class_type": "PreviewImage", "inputs": {"images": ["1", 0]}},
    }
    path.write_text(json.dumps(prompt))
    return path


@pytest.fixture
def folders(tmp_path: Path) -> Path:
    (tmp_path / "in").mkdir()
    rgba = np.random.default_rng(0).integers(0, 256, (8, 6, 4), dtype=np.uint8)
    Image.fromarray(rgba).save(tmp_path / "in/photo.png")
    return tmp_path


def test_run_writes_what_the_prompt_says(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prompt = write_prompt(folders / "p.json")
    assert main(["run", str(prompt), "--input", str(folders / "in"), "--output", str(folders / "out")]) == 0
    source = np.asarray(Image.open(folders / "in/photo.png"))
    merged = np.asarray(Image.open(folders / "out/maskloss/rgba_00001.png"))
    assert np.array_equal(merged[..., :3], source[..., :3])
    assert np.array_equal(merged[..., 3], 255 - source[..., 3]), "LoadImage's mask is one minus alpha"
    assert np.array_equal(np.asarray(Image.open(folders / "out/copies/photo_00001.png")), source[..., :3])
    assert len(list((folders / "out/previews").glob("4_PreviewImage*.png"))) == 1
    assert "2 MaskLossMergeAlpha" in capsys.readouterr().err


def test_the_users_mistake_is_exit_code_2(folders: Path, capsys: pytest.CaptureFixture[str]) -> None:
    prompt = str(write_prompt(folders / "p.json"))
    out = ["--input", str(folders / "in"), "--output", str(folders / "out")]
    assert main(["run", str(folders / "none.json")]) == 2
    assert main(["run", prompt, "--input", str(folders / "none")]) == 2
    assert main(["run", prompt, *out, "--set", "1.image=../p.json"]) == 2
    assert "node 1 (LoadImage): image: '../p.json' leads out of" in capsys.readouterr().err
    assert main(["run", prompt, *out, "--set", "2.fliename_prefix=x"]) == 2
    assert "did you mean 'filename_prefix'?" in capsys.readouterr().err
    assert not (folders / "out").exists(), "nothing runs before everything is checked"


def test_our_mistake_is_exit_code_1_with_a_traceback(
    folders: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken() -> list[str]:
        raise ZeroDivisionError("ours")

    monkeypatch.setattr(doctor, "report_lines", broken)
    assert main(["doctor"]) == 1
    assert "ZeroDivisionError: ours" in capsys.readouterr().err


def test_ctrl_c_is_130(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted() -> list[str]:
        raise KeyboardInterrupt

    monkeypatch.setattr(doctor, "report_lines", interrupted)
    assert main(["doctor"]) == 130
    assert "interrupted" in capsys.readouterr().err


def test_doctor_and_models_say_what_is_there_and_what_is_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MASKLOSS_MODELS", str(tmp_path))
    monkeypatch.setenv("COMFYUI_PATH", str(tmp_path / "none"))
    assert main(["doctor"]) == 0
    text = capsys.readouterr().out
    assert "ok          torch" in text
    assert f"missing {tmp_path / 'bundled' / 'face_landmark.tflite'}" in text
    assert "maskloss models --install" in text
    assert main(["models"]) == 0
    assert "Apache-2.0" in capsys.readouterr().out


def test_the_installed_command_finds_its_function() -> None:
    text = (Path(maskloss.__file__).parent / "pyproject.toml").read_text(encoding="utf-8")
    module, name = re.search(r'^maskloss = "([\w.]+):(\w+)"$', text, re.MULTILINE).groups()
    assert callable(getattr(importlib.import_module(module), name))
