"""A real Chromium on a real ComfyUI server, as all tests in the browser need them."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import maskloss
import pytest
from PIL import Image, ImageOps

from benchmarks.photographs import read_rgb
from tests.on_server.comfy_server import Server, running_server

_BROWSERS = ("chromium", "chromium-browser", "google-chrome")
_SCRIPTS = Path(__file__).parent / "browser"

Browse = Callable[..., str]


@pytest.fixture(scope="session")
def chromium() -> str:
    """The browser's path."""
    if shutil.which("node") is None or not (Path(maskloss.__file__).parent / "node_modules/playwright-core").is_dir():
        pytest.skip("playwright-core is not installed; run `npm ci`")
    found = next((path for path in map(shutil.which, _BROWSERS) if path), None)
    return found or pytest.skip(f"none of {', '.join(_BROWSERS)} is on the PATH")


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    """A server of its own for each test, so that the settings and the runs of one do not reach another."""
    checkout = os.environ.get("COMFYUI_PATH")
    if not checkout:
        pytest.skip("COMFYUI_PATH names no ComfyUI checkout")
    # Training is to leave the browser, which paints without a graphics card, something of the machine.
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    yield from running_server(checkout, tmp_path)


@pytest.fixture
def browse(chromium: str, tmp_path: Path) -> Browse:
    """browse(script, server or None, vue=…, …): what a script of browser/ printed, whose task has these values. Fails
    with all that it and the server said where it does not end well."""

    def run(script: str, server: Server | None = None, **task: Any) -> str:
        pictures = Path(os.environ.get("MASKLOSS_SCREENSHOTS", tmp_path))
        if server is not None:
            pictures /= "nodes2" if task["vue"] else "litegraph"
            task["url"] = server.url
        task |= {"chromium": chromium, "pictures": str(pictures)}
        command = ["node", str(_SCRIPTS / script), json.dumps(task)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        log = "" if server is None else server.log.read_text()[-2000:]
        assert done.returncode == 0, done.stdout + done.stderr + log
        return done.stdout

    return run


@pytest.fixture
def two_people(server: Server, tmp_path: Path) -> Server:
    """The server with photographs of two people in its folder `people`, and one of each in the input itself."""
    place_two_people(tmp_path / "input")
    (tmp_path / "input/people").mkdir()
    for name in ("two_people.png", "the_person.png"):
        (tmp_path / "input" / name).rename(tmp_path / "input/people" / name)
    return server


def place_two_people(folder: Path) -> None:
    """The README's pictures: two portraits in the public domain side by side, and another view of the second."""
    first, second = (Image.fromarray(read_rgb(name)) for name in ("grace_hopper.jpg", "astronaut.png"))
    second = second.resize((1024, 1024))
    first = first.resize((first.width * 1024 // first.height, 1024))
    group = Image.new("RGB", (first.width + second.width, 1024))
    group.paste(first)
    group.paste(second, (first.width, 0))
    group.save(folder / "two_people.png")
    first.save(folder / "somebody_else.png")
    second.save(folder / "the_person.png")
    turned = ImageOps.mirror(second).rotate(8, Image.Resampling.BICUBIC)
    turned.crop((80, 0, 880, 840)).save(folder / "one_of_them.png")
