"""One ComfyUI server for all tests of this room, and the pictures that shipped workflows take."""

from __future__ import annotations

import os
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from maskloss.core.bundled.install import copy_demo_photographs
from PIL import Image

from .comfy_server import Server, running_server


@pytest.fixture(scope="session")
def checkout() -> str:
    path = os.environ.get("COMFYUI_PATH")
    if not path:
        pytest.skip("COMFYUI_PATH names no ComfyUI checkout")
    return path


@pytest.fixture(scope="session")
def server(checkout: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    yield from running_server(checkout, tmp_path_factory.mktemp("comfyui"))


@pytest.fixture(scope="session")
def inputs(server: Server) -> Path:
    """The demo's photographs, one of them and the reference as a user's own, and a short video."""
    folder = server.base / "input"
    copy_demo_photographs(folder)
    mine = folder / "my_person"
    for kind in ("photographs", "reference", "videos"):
        (mine / kind).mkdir(parents=True)
    with Image.open(folder / "maskloss_group.jpg") as photograph:
        photograph.resize((960, 640)).save(mine / "photographs/group.png")
        photograph.resize((96, 64)).save(folder / "scene.png")
    (mine / "photographs/group.txt").write_text("photo of mlperson woman")
    with Image.open(folder / "maskloss_person.jpg") as photograph:
        photograph.save(mine / "reference/other.png")
    with av.open(str(mine / "videos/clip.mkv"), "w") as container:
        stream = container.add_stream("ffv1", rate=Fraction(16))
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv444p"
        for number in range(5):
            pixels = np.full((64, 64, 3), 40 + 4 * number, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        container.mux(stream.encode())
    (mine / "videos/clip.txt").write_text("a clip")
    return folder
