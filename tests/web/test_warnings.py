"""Warnings in a real Chromium on a real ComfyUI server, in both renderers: see browser/warnings.js.

Needs what test_browser.py needs.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.on_server.comfy_server import Server, node

from .conftest import Browse

pytestmark = pytest.mark.comfy

PROMPT = {
    "1": node("MaskLossDemoModels"),
    "2": node("MaskLossLoadDataset", directory="bare", alpha_mask=True, resolution_width=64, resolution_height=64),
    "3": node("MaskLossCacheLatents", dataset=["2", 0], vae=["1", 1], cache_directory="cache"),
    "4": node("MaskLossCacheText", cache=["3", 0], clip=["1", 2]),
    "5": node("MaskLossTrainLora", model=["1", 0], cache=["4", 0], steps=4, output_name="loras/warned",
              on_existing="new"),
}  # fmt: skip


@pytest.fixture
def editor(server: Server, tmp_path: Path) -> Server:
    (tmp_path / "input/bare").mkdir()
    random = np.random.default_rng(0)
    for name in "abcd":
        rgba_HWC = random.integers(0, 256, (64, 64, 4), dtype=np.uint8)
        Image.fromarray(rgba_HWC).save(tmp_path / f"input/bare/{name}.png")
    return server


@pytest.mark.parametrize(("vue", "palette"), [(False, "light"), (True, "dark")], ids=["litegraph", "nodes2"])
def test_warnings_are_seen_on_their_nodes(
    editor: Server, browse: Browse, tmp_path: Path, vue: bool, palette: str
) -> None:
    told = browse("warnings.js", editor, vue=vue, palette=palette, prompt=PROMPT, photos=str(tmp_path / "input/bare"))
    assert "WARNING" not in told
    assert "have a mask, but no mask_loss is connected" in editor.log.read_text()
