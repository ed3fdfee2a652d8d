"""A server that is killed under `maskloss submit`: what ran is said, and the exit code is the user's."""

from __future__ import annotations

import json
import os
import re
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from maskloss.cli.main import EXIT_USER, main

from .comfy_server import Server, running_server
from .test_submit import training, wait_for_step, written

pytestmark = [pytest.mark.comfy, pytest.mark.skipif(not Path("/proc").is_dir(), reason="finds the server in /proc")]


@pytest.fixture
def mortal(checkout: str, tmp_path: Path) -> Iterator[Server]:
    yield from running_server(checkout, tmp_path)


def process_of(server: Server) -> int:
    """The one process that was started with the server's own folder."""
    wanted = f"\0{server.base}\0".encode()
    commands = {path: path.read_bytes() for path in Path("/proc").glob("[0-9]*/cmdline") if os.access(path, os.R_OK)}
    (found,) = [int(path.parent.name) for path, line in commands.items() if wanted in line]
    return found


def test_what_was_running_is_said(mortal: Server, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    def kill() -> None:
        wait_for_step(mortal.base / "output/loras/killed.jsonl")
        os.kill(process_of(mortal), signal.SIGKILL)

    thread = threading.Thread(target=kill)
    thread.start()
    (tmp_path / "prompt").mkdir()
    path = written(training(mortal, "killed"), tmp_path / "prompt")
    assert main(["submit", str(path), "--server", mortal.url.removeprefix("http://")]) == EXIT_USER
    thread.join()
    err = capfd.readouterr().err
    said = r"Node 5 MaskLossTrainLora \(Train LoRA \(Mask Loss\)\) was running at \d+/100000 .*when the server was last"
    assert re.search(said, err), err
    assert "No ComfyUI answers at" in err.splitlines()[-1]
    assert json.loads((mortal.base / "output/loras/killed.jsonl").read_text().splitlines()[0])["step"] == 1
