"""Two folders of photographs, ann and bob, with a file that makes one dataset of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from maskloss.core.host import LocalHost
from PIL import Image

CONFIG = """
[general]
resolution = 64
enable_bucket = true
batch_size = 2
[[datasets]]
image_directory = "ann"
alpha_mask = true
num_repeats = 2
[[datasets]]
image_directory = "bob"
"""


@pytest.fixture
def host(tmp_path: Path) -> LocalHost:
    random = np.random.default_rng(0)
    for folder, names in (("ann", "ab"), ("bob", "ac")):
        (tmp_path / "in" / folder).mkdir(parents=True)
        for name in names:
            rgba = random.integers(0, 256, (20, 30, 4), dtype=np.uint8)
            picture = Image.fromarray(rgba if folder == "ann" else np.ascontiguousarray(rgba[..., :3]))
            picture.save(tmp_path / "in" / folder / f"{name}.png")
    (tmp_path / "in/set.toml").write_text(CONFIG)
    return LocalHost(tmp_path / "in", tmp_path / "out")
