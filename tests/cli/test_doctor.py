"""What is installed, what is missing, and what the missing part would be for."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from maskloss.cli import doctor
from maskloss.cli.main import main


def test_doctor_lists_models_of_the_users_and_what_a_missing_kind_would_be_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    comfyui, own = tmp_path / "ComfyUI", tmp_path / "own"
    for path in (
        comfyui / "folder_paths.py",
        comfyui / "comfy/sd.py",
        comfyui / "models/ultralytics/segm/people.onnx",
        own / "sapiens/seg.pt2",
        own / "insightface/models/buffalo_l/det.onnx",
    ):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    monkeypatch.setenv("MASKLOSS_MODELS", str(own))
    monkeypatch.setenv("COMFYUI_PATH", str(comfyui))
    assert main(["doctor"]) == 0
    text = capsys.readouterr().out
    assert f"found   people.onnx in {comfyui / 'models/ultralytics/segm'}: masks of people with YOLO-seg" in text
    assert f"found   seg.pt2 in {own / 'sapiens'}: body parts with Sapiens" in text
    assert f"found   buffalo_l in {own / 'insightface'}: recognising faces" in text
    (none,) = [line for line in text.splitlines() if line.startswith("  none")]
    assert "masks of people with segment-anything: models/sams/sam_vit_b_01ec64.pth (licence: Apache-2.0" in none


def test_doctor_runs_where_torch_is_missing() -> None:
    code = (
        "import sys; sys.modules['torch'] = None; from importlib.machinery import PathFinder as P; find = P.find_spec\n"
        "P.find_spec = classmethod(lambda c, n, *a: None if n == 'torch' else find(n, *a)); del sys.modules['torch']\n"
        "from maskloss.cli.main import main; sys.exit(main(['doctor']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "missing     torch" in done.stdout
    assert "not looked for: " in done.stdout


def test_a_missing_package_is_said_with_its_purpose_and_the_way_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "DEPENDENCIES", ((("not-there",), "not_there_at_all", "seeing ghosts"),))
    assert "missing     not-there: needed for seeing ghosts; run `pip install not-there`" in doctor.report_lines()


def test_where_comfyui_lies_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COMFYUI_PATH", str(tmp_path))
    (tmp_path / "comfy").mkdir()
    assert not any(str(tmp_path) in line for line in doctor.report_lines() if line.startswith("ComfyUI"))
    (tmp_path / "folder_paths.py").touch()
    assert f"ComfyUI     {tmp_path}" in doctor.report_lines()
