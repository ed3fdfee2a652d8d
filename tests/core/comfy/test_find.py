"""ComfyUI from outside of it, in processes of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

CODE = "from maskloss.core.comfy.find import require_comfyui as r; r(); import comfy.cli_args as c; print(c.args.cpu)"


def run(environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    own = {key: value for key, value in os.environ.items() if key != "COMFYUI_PATH"}
    return subprocess.run([sys.executable, "-c", CODE], env={**own, **environment}, capture_output=True, text=True)


def test_where_there_is_none_it_is_said_what_to_do(tmp_path: Path):
    done = run({"COMFYUI_PATH": str(tmp_path)})
    assert f"there is no ComfyUI in {tmp_path}; set COMFYUI_PATH to its folder" in done.stderr


def test_what_it_cannot_import_is_named(tmp_path: Path):
    (tmp_path / "comfy").mkdir()
    (tmp_path / "comfy/supported_models.py").write_text("import no_such_package\n")
    (tmp_path / "comfy/options.py").write_text("def enable_args_parsing(): pass\n")
    (tmp_path / "comfy/cli_args.py").write_text("class args:\n    cpu = False\n")
    done = run({"COMFYUI_PATH": str(tmp_path)})
    assert "ComfyUI cannot be imported (No module named 'no_such_package')" in done.stderr


@pytest.mark.comfy
def test_it_is_imported_without_a_device():
    path = os.environ.get("COMFYUI_PATH")
    if not path:
        pytest.skip("COMFYUI_PATH names no ComfyUI checkout")
    done = run({"COMFYUI_PATH": path})
    assert done.stdout.strip().endswith("True"), done.stderr
