"""The viewer in a real Chromium on a real ComfyUI server, in both renderers: see browser/viewer.js.

Needs what test_browser.py needs. What was painted there is what training reads here.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from maskloss.core.cache.store import open_cache
from maskloss.core.corrections.store import CorrectionStore
from maskloss.core.dataset.items import DatasetItem, LoadSettings
from maskloss.core.dataset.load import load_fitted
from maskloss.core.resample import to_latent_grid
from PIL import Image

from tests.on_server.comfy_server import Server, node

from .conftest import Browse

pytestmark = pytest.mark.comfy

SIDE_PX = 256
PROMPT = {
    "1": node("MaskLossDemoModels"),
    "2": node(
        "MaskLossLoadDataset", directory="viewed", mask_directory="masks", resolution_width=SIDE_PX,
        resolution_height=SIDE_PX,
    ),
    "3": node("MaskLossPreviewDataset", dataset=["2", 0]),
    "4": node("MaskLossCacheLatents", dataset=["2", 0], vae=["1", 1], cache_directory="viewed_cache"),
    "5": node("MaskLossCacheText", cache=["4", 0], clip=["1", 2]),
    "6": node("MaskLossTrainLora", model=["1", 0], cache=["5", 0], steps=2, output_name="loras/viewed",
              on_existing="new"),
}  # fmt: skip


def _draw_photographs(folder: Path) -> None:
    """A head and a body on a background each, with their masks; d has none."""
    rows, columns = np.mgrid[0:360, 0:480]
    (folder / "viewed").mkdir()
    (folder / "masks").mkdir()
    for index, name in enumerate("abcd"):
        rgb_HWC = np.stack([columns // 3, rows // 2, np.full_like(rows, 60 + 30 * index)], 2).astype(np.uint8)
        mask_HW = np.zeros((360, 480), np.uint8)
        body_HW = ((columns - 240) / 110) ** 2 + ((rows - 330) / 130) ** 2 < 1
        head_HW = (columns - 240) ** 2 + (rows - 150) ** 2 < 70**2
        for part_HW, value, colour in ((body_HW, 128, (40, 70, 130)), (head_HW, 255, (220, 170, 140))):
            mask_HW[part_HW], rgb_HWC[part_HW] = value, colour
        Image.fromarray(rgb_HWC).save(folder / f"viewed/{name}.png")
        if name != "d":
            Image.fromarray(mask_HW).save(folder / f"masks/{name}.png")


@pytest.fixture
def editor(server: Server, tmp_path: Path) -> Server:
    _draw_photographs(tmp_path / "input")
    return server


@pytest.mark.parametrize(("vue", "palette"), [(False, "light"), (True, "dark")], ids=["litegraph", "nodes2"])
def test_what_is_corrected_in_the_viewer_is_trained_on(
    editor: Server, browse: Browse, tmp_path: Path, vue: bool, palette: str
) -> None:
    editor.run(PROMPT)
    before = _files(tmp_path)
    browse("viewer.js", editor, vue=vue, palette=palette, prompt=PROMPT, photographs=4, names=list("abcd"))
    after = _files(tmp_path)
    assert [name for name, content in after.items() if before[name] != content] == ["a"]
    photograph, mask = tmp_path / "input/viewed/a.png", tmp_path / "input/masks/a.png"
    correction = CorrectionStore(tmp_path / "output/maskloss/corrections").find(photograph)
    assert correction is not None
    settings = LoadSettings((SIDE_PX, SIDE_PX))
    item = DatasetItem("a", photograph, settings, mask, correction_path=correction)
    cache = open_cache(tmp_path / "output/viewed_cache")
    entry = next(each for each in cache.entries if each.name == "a")
    weights_1Thw = cache.weights(entry)
    assert weights_1Thw is not None
    wanted_THW = load_fitted(item, entry.bucket).weights_THW
    plain_THW = load_fitted(DatasetItem("a", photograph, settings, mask), entry.bucket).weights_THW
    assert wanted_THW is not None
    assert plain_THW is not None
    size_hw = (weights_1Thw.shape[-2], weights_1Thw.shape[-1])
    wanted_hw = to_latent_grid(torch.from_numpy(wanted_THW)[None, None], size_hw)[0, 0, 0]
    plain_hw = to_latent_grid(torch.from_numpy(plain_THW)[None, None], size_hw)[0, 0, 0]
    assert torch.allclose(weights_1Thw[0, 0], wanted_hw, atol=1e-3)
    assert (wanted_hw - plain_hw).abs().max() > 0.1
    assert entry.caption == "ohwx person, 1 face b m"


def _files(folder: Path) -> dict[str, bytes]:
    paths = (folder / "output/viewed_cache").glob("?_*_demo.safetensors")
    return {path.name[0]: path.read_bytes() for path in sorted(paths)}
