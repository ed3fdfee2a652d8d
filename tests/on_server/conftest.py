"""One ComfyUI server for all tests of this room."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest

from .comfy_server import Server, running_server


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    checkout = os.environ.get("COMFYUI_PATH")
    if not checkout:
        pytest.skip("COMFYUI_PATH names no ComfyUI checkout")
    yield from running_server(checkout, tmp_path_factory.mktemp("comfyui"))
