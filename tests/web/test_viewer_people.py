"""A person is chosen and regions are proposed in the viewer, in a real Chromium on a real ComfyUI server with the
bundled models, by mouse, keys, pen and fingers: see browser/people.js.

Needs what test_browser.py needs. Whom the click chose is who keeps weight here.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from maskloss.core.images import load_mask

from tests.on_server.comfy_server import Server, node

from .conftest import Browse

pytestmark = [pytest.mark.comfy, pytest.mark.models, pytest.mark.photographs]

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


@pytest.mark.parametrize("vue", [False, True], ids=["litegraph", "nodes2"])
def test_the_one_who_is_clicked_on_keeps_weight(two_people: Server, browse: Browse, tmp_path: Path, vue: bool) -> None:
    browse("people.js", two_people, vue=vue, palette="dark", prompt=PROMPT)
    kept_HW = load_mask(tmp_path / "output/person/two_people.png")
    half = kept_HW.shape[1] // 2
    assert np.count_nonzero(kept_HW[:, :half]) > 0.1 * kept_HW[:, :half].size
    assert np.count_nonzero(kept_HW[:, half:]) < 0.02 * np.count_nonzero(kept_HW[:, :half])
