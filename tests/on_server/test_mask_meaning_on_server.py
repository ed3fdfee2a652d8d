"""`mask_meaning` over ComfyUI's API: red masks are read by themselves; of two meanings the message names the input."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from .comfy_server import Server, failure, node

pytestmark = pytest.mark.comfy


def test_mask_meaning_over_the_api(server: Server) -> None:
    base = Path(server.base) / "input/meaning"
    (base / "masks").mkdir(parents=True)
    random = np.random.default_rng(0)
    red_HWC = np.zeros((64, 64, 3), np.uint8)
    red_HWC[:, :32] = (255, 0, 0)
    for name in "ab":
        Image.fromarray(random.integers(0, 256, (64, 64, 3), dtype=np.uint8)).save(base / f"{name}.png")
        Image.fromarray(red_HWC).save(base / "masks" / f"{name}.png")

    def prompt(**also: object) -> dict[str, object]:
        sizes = {"resolution_width": 64, "resolution_height": 64}
        return {
            "1": node("MaskLossLoadDataset", directory="meaning", mask_directory="meaning/masks", **sizes, **also),
            "2": node("PreviewAny", source=["1", 1]),
            "3": node("MaskLossPreviewDataset", dataset=["1", 0]),
        }

    shown = server.run(prompt())["outputs"]["2"]["text"][0]
    assert json.loads(shown)["counts"]["mask_read_colour"] == 2
    red_HWC[:, 32:] = 255
    Image.fromarray(red_HWC).save(base / "masks/b.png")
    said = failure(server.run(prompt()))["exception_message"]
    assert "Set mask_meaning of Load Dataset to brightness or colour" in said
    shown = server.run(prompt(mask_meaning="colour"))["outputs"]["2"]["text"][0]
    assert [row["mask_read"]["share"] for row in json.loads(shown)["items"]] == [0.5, 0.5]
