"""The graph editor in a real Chromium on a real ComfyUI server, in both renderers: see browser/editor.js.

Needs COMFYUI_PATH and COMFYUI_PYTHON as the other tests of ComfyUI do, `npm ci`, and Debian's chromium. Pictures of
what was seen stay in MASKLOSS_SCREENSHOTS where that is set.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import maskloss
import numpy as np
import pytest
from PIL import Image

pytestmark = [pytest.mark.comfy, pytest.mark.models]

PACK = Path(maskloss.__file__).parent
SCRIPT = Path(__file__).parent / "browser/editor.js"
SECONDS_TO_START = 180
SECONDS_TO_RUN = 480
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="module")
def chromium() -> str:
    if shutil.which("node") is None or not (PACK / "node_modules/playwright-core").is_dir():
        pytest.skip("playwright-core is not installed; run `npm ci`")
    found = next((path for path in map(shutil.which, BROWSERS) if path), None)
    return found or pytest.skip(f"none of {', '.join(BROWSERS)} is on the PATH")


@pytest.fixture
def url(tmp_path: Path, t1_photograph: np.ndarray) -> Iterator[str]:
    """A server of its own for each renderer, so that the settings and the runs of one do not reach the other."""
    checkout = os.environ.get("COMFYUI_PATH")
    if not checkout:
        pytest.skip("COMFYUI_PATH names no ComfyUI checkout")
    for folder in ("custom_nodes", "input/photos", "output", "temp", "user"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "custom_nodes/ComfyUI-MaskLoss").symlink_to(PACK)
    Image.fromarray(t1_photograph).save(tmp_path / "input/group.png")
    random = np.random.default_rng(0)
    for name in "abcd":
        rgba_HWC = random.integers(0, 256, (64, 64, 4), dtype=np.uint8)
        Image.fromarray(rgba_HWC).save(tmp_path / f"input/photos/{name}.png")
    _place_what_the_workflows_name(tmp_path)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    python = os.environ.get("COMFYUI_PYTHON", sys.executable)
    options = ["--cpu", "--port", str(port), "--base-directory", str(tmp_path), "--disable-api-nodes"]
    log = tmp_path / "server.log"
    with log.open("wb") as stream:
        process = subprocess.Popen([python, "main.py", *options], cwd=checkout, stdout=stream, stderr=subprocess.STDOUT)
    try:
        address = f"http://127.0.0.1:{port}"
        _wait_for(address, process, log)
        yield address
    finally:
        process.terminate()
        process.wait(timeout=30)


def _place_what_the_workflows_name(base: Path) -> None:
    """Empty files with the names of real models, and the pictures, so that the editor misses nothing."""
    for path in (PACK / "workflows").glob("*.json"):
        for one in json.loads(path.read_text(encoding="utf-8"))["nodes"]:
            for model in one["properties"].get("models", []):
                (base / "models" / model["directory"]).mkdir(parents=True, exist_ok=True)
                (base / "models" / model["directory"] / model["name"]).touch()
            if one["type"] == "LoadImage":
                shutil.copy(base / "input/group.png", base / "input" / one["widgets_values"][0])


def _wait_for(address: str, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + SECONDS_TO_START
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(f"{address}/system_stats", timeout=5):
                return
        except OSError:
            time.sleep(0.5)
    raise RuntimeError(log.read_text())


def node(class_type: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": class_type, "inputs": inputs}


def trainer(steps: int, name: str) -> dict[str, Any]:
    return node(
        "MaskLossTrainLora", model=["1", 0], cache=["4", 0], mask_loss=["7", 0], steps=steps, validation_split=0.25,
        gradient_checkpointing=False, output_name=name,
    )  # fmt: skip


PROMPT = {
    "1": node("MaskLossDemoModels"),
    "2": node(
        "MaskLossLoadDataset", directory="photos", alpha_mask=True, resolution_width=64, resolution_height=64
    ),
    "3": node("MaskLossCacheLatents", dataset=["2", 0], vae=["1", 1], cache_directory="cache"),
    "4": node("MaskLossCacheText", cache=["3", 0], clip=["1", 2]),
    "5": trainer(600, "loras/first"),
    "6": trainer(300, "loras/second"),
    "7": node("MaskLossSettings"),
    "8": node("MaskLossFaceRecognizer", model="bundled"),
    "9": node("MaskLossPersonSegmenter", model="bundled"),
    "10": node(
        "MaskLossInstanceMask", image=["11", 0], recognizer=["8", 0], person_segmenter=["9", 0], face_index=0
    ),
    "11": node("LoadImage", image="group.png"),
    "12": node("MaskLossPreviewWeights", weights=["10", 0]),
}  # fmt: skip


@pytest.mark.parametrize(("vue", "palette"), [(False, "dark"), (True, "light")], ids=["litegraph", "nodes2"])
def test_the_editor(url: str, chromium: str, tmp_path: Path, vue: bool, palette: str) -> None:
    pictures = Path(os.environ.get("MASKLOSS_SCREENSHOTS", tmp_path)) / ("nodes2" if vue else "litegraph")
    task = {
        "url": url, "chromium": chromium, "pictures": str(pictures), "vue": vue, "palette": palette, "prompt": PROMPT,
        "workflows": str(PACK / "workflows"),
    }  # fmt: skip
    done = subprocess.run(
        ["node", str(SCRIPT), json.dumps(task)], capture_output=True, text=True, timeout=SECONDS_TO_RUN, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr + (tmp_path / "server.log").read_text()[-2000:]
