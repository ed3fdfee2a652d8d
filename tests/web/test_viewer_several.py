"""Two people of one photograph in the viewer, in a real Chromium on a real ComfyUI server with the bundled models: see
browser/several.js.

Needs what test_browser.py needs. What was painted over one person's item is what that item, and the one of both, are
trained with.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from maskloss.core.corrections.override import read_correction
from maskloss.core.corrections.store import CorrectionStore
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
    "7": node("LoadImage", image="somebody_else.png"),
    "8": node("MaskLossReferenceFaces", recognizer=["4", 0], images=["7", 0]),
    "9": node("MaskLossPeople", identity=["6", 0], name="eileen"),
    "10": node("MaskLossPeople", identity=["8", 0], name="grace", people=["9", 0]),
    "11": node("MaskLossDatasetBuildMasks", dataset=["1", 0], segmenter=["2", 0], output_directory="tiers"),
    "12": node(
        "MaskLossKeepPeople", dataset=["11", 0], recognizer=["4", 0], people=["10", 0], person_segmenter=["3", 0],
        output_directory="kept", together=0.3,
    ),
    "13": node("MaskLossDemoModels"),
    "14": node("MaskLossCacheLatents", dataset=["12", 0], vae=["13", 1], cache_directory="people_cache"),
}  # fmt: skip


@pytest.mark.parametrize(("vue", "palette"), [(False, "light"), (True, "dark")], ids=["litegraph", "nodes2"])
def test_what_is_painted_over_one_person_is_theirs_and_that_of_all_together(
    two_people: Server, browse: Browse, tmp_path: Path, vue: bool, palette: str
) -> None:
    two_people.run(PROMPT)
    before = _files(tmp_path)
    browse("several.js", two_people, vue=vue, palette=palette, prompt=PROMPT)
    after = _files(tmp_path)
    changed = {name for name, content in after.items() if before[name] != content}
    assert changed == {"two_people@grace", "two_people@together"}, "of the others nothing was encoded again"
    photograph = tmp_path / "input/people/two_people.png"
    store = CorrectionStore(tmp_path / "output/maskloss/corrections")
    path = store.of("grace").find(photograph)
    assert path is not None
    assert (store.find(photograph), store.of("eileen").find(photograph)) == (None, None)
    painted_HW = read_correction(path).painted_HW
    kept = {name: load_mask(tmp_path / f"output/kept/two_people@{name}.png") for name in ("grace", "together")}
    assert (kept["together"][painted_HW] == 255).all()
    assert np.count_nonzero(kept["grace"][painted_HW] == 255) < painted_HW.sum(), "her mask's own file is as it was"
    assert photograph.with_suffix(".grace.txt").read_text() == "grace, at her desk\n"


def _files(folder: Path) -> dict[str, bytes]:
    paths = sorted((folder / "output/people_cache").glob("*_demo.safetensors"))
    return {path.name.rpartition("_")[0].rpartition("_")[0]: path.read_bytes() for path in paths}
