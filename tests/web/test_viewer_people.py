"""A person is chosen and regions are proposed in the viewer, in a real Chromium on a real ComfyUI server with the
bundled models, by mouse, keys, pen and fingers: see browser/people.js.

Needs what test_browser.py needs. Whom the click chose is who keeps weight here.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from maskloss.core.images import load_mask

from tests.on_server.comfy_server import Server, node, running_server

from .test_browser import chromium, place_two_people

__all__ = ["chromium"]
pytestmark = [pytest.mark.comfy, pytest.mark.models, pytest.mark.photographs]

SCRIPT = Path(__file__).parent / "browser/people.js"
PROMPT = {
    "1": node("MaskLossLoadDataset", directory="people", resolution_width=256, resolution_height=256),
    "2": node("MaskLossPartSegmenter", model="bundled"),
    "3": node("MaskLossPersonSegmenter", model="bundled"),
    "4": node("MaskLossFaceRecognizer", model="bundled"),
    "5": node("LoadImage", image="one_of_them.png"),
    "6": node("MaskLossReferenceFaces", recognizer=["4", 0], images=["5", 0]),
    "7": node("MaskLossDatasetBuildMasks", dataset=["1", 0], segmenter=["2", 0], output_directory="tiers"),
    "8": node(
        "MaskLossDatasetKeepPerson", dataset=["7", 0], recognizer=["4", 0], identity=["6", 0],
        person_segmenter=["3", 0], output_directory="person",
    ),
}  # fmt: skip


@pytest.fixture
def editor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    checkout = os.environ.get("COMFYUI_PATH")
    if not checkout:
        pytest.skip("COMFYUI_PATH names no ComfyUI checkout")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    for server in running_server(checkout, tmp_path):
        place_two_people(tmp_path / "input")
        (tmp_path / "input/people").mkdir()
        for name in ("two_people.png", "the_person.png"):
            (tmp_path / "input" / name).rename(tmp_path / "input/people" / name)
        yield server


@pytest.mark.parametrize("vue", [False, True], ids=["litegraph", "nodes2"])
def test_the_one_who_is_clicked_on_keeps_weight(editor: Server, chromium: str, tmp_path: Path, vue: bool) -> None:
    pictures = Path(os.environ.get("MASKLOSS_SCREENSHOTS", tmp_path)) / ("nodes2" if vue else "litegraph")
    task = {"url": editor.url, "chromium": chromium, "pictures": str(pictures), "vue": vue, "prompt": PROMPT}
    done = subprocess.run(["node", str(SCRIPT), json.dumps(task)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr + editor.log.read_text()[-2000:]
    kept_HW = load_mask(tmp_path / "output/person/two_people.png")
    half = kept_HW.shape[1] // 2
    assert np.count_nonzero(kept_HW[:, :half]) > 0.1 * kept_HW[:, :half].size
    assert np.count_nonzero(kept_HW[:, half:]) < 0.02 * np.count_nonzero(kept_HW[:, :half])
