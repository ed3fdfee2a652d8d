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
