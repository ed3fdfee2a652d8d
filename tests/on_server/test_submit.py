"""`maskloss submit` against a real server: results, refusals, failures, and an unreachable address."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from maskloss.cli.main import EXIT_INTERRUPTED, EXIT_OK, EXIT_USER, main
from maskloss.cli.submit import submit_file
from maskloss.core.errors import ServerError

from .comfy_server import SECONDS_TO_RUN, Server

pytestmark = pytest.mark.comfy

WEIGHTS = {
    "1": {"class_type": "LoadImage", "inputs": {"image": "photo.png"}},
    "2": {"class_type": "MaskLossMergeAlpha", "inputs": {"image": ["1", 0], "weights": ["1", 1]}},
}


def written(prompt: dict[str, Any], tmp_path: Path) -> Path:
    path = tmp_path / "prompt.json"
    path.write_text(json.dumps(prompt))
    return path


def submit(server: Server, path: Path, *more: str) -> int:
    return main(["submit", str(path), "--server", server.url.removeprefix("http://"), *more])


def test_what_came_out_is_said_and_lies_there(
    server: Server, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert submit(server, written(WEIGHTS, tmp_path), "--set", "2.filename_prefix=sent/rgba") == EXIT_OK
    out, err = capfd.readouterr()
    assert out == "2 MaskLossMergeAlpha: output/sent/rgba_00001.png\n"
    assert "[2 MaskLossMergeAlpha] runs" in err
    assert (server.base / "output/sent/rgba_00001.png").exists()


def test_an_input_that_comfyui_would_drop_is_an_error(
    server: Server,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    prompt = {**WEIGHTS, "3": {"class_type": "SaveImage", "inputs": {"images": ["1", 0], "filename_prefx": "x"}}}
    assert submit(server, written(prompt, tmp_path)) == EXIT_USER
    assert "'filename_prefx' is not an input of SaveImage; did you mean 'filename_prefix'?" in capfd.readouterr().err


def test_a_run_that_fails_says_which_node_and_why(
    server: Server,
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    prompt = {
        "1": {"class_type": "MaskLossLoadCache", "inputs": {"cache_directory": "nowhere"}},
        "2": {"class_type": "MaskLossPreviewCache", "inputs": {"cache": ["1", 0]}},
    }
    assert submit(server, written(prompt, tmp_path)) == EXIT_USER
    assert "node 1 MaskLossLoadCache: cache_directory: 'nowhere' was not found" in capfd.readouterr().err


def training(server: Server, name: str) -> dict[str, Any]:
    """A run that takes long enough to be stopped."""
    return {
        "1": {"class_type": "MaskLossDemoModels", "inputs": {}},
        "2": {"class_type": "MaskLossLoadDataset", "inputs": {"directory": str(server.base / "input")}},
        "3": {
            "class_type": "MaskLossCacheLatents",
            "inputs": {"dataset": ["2", 0], "vae": ["1", 1], "cache_directory": name},
        },
        "4": {"class_type": "MaskLossCacheText", "inputs": {"cache": ["3", 0], "clip": ["1", 2]}},
        "5": {
            "class_type": "MaskLossTrainLora",
            "inputs": {"model": ["1", 0], "cache": ["4", 0], "steps": 100_000, "output_name": f"loras/{name}"},
        },
    }


def test_training_says_its_file_its_steps_and_its_loss(
    server: Server, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    assert submit(server, written(training(server, "submitted"), tmp_path), "--set", "5.steps=2") == EXIT_OK
    out, err = capfd.readouterr()
    lora = server.base / "output/loras/submitted.safetensors"
    assert re.search(rf"^5 MaskLossTrainLora: path {lora}, steps 2, loss [\d.]+$", out, re.MULTILINE), out
    assert "2/2 loss" in err, "the loss is followed while it trains"
    assert lora.is_file()


def wait_for_step(log: Path) -> None:
    """Until the run has written its first step."""
    deadline = time.monotonic() + SECONDS_TO_RUN
    while not log.exists() or not log.read_text():
        assert time.monotonic() < deadline, f"{log} never came"
        time.sleep(0.1)


def wait_until_idle(server: Server) -> None:
    deadline = time.monotonic() + SECONDS_TO_RUN
    while any(server.get("/queue").values()):
        assert time.monotonic() < deadline, "the prompt still runs"
        time.sleep(0.1)


def test_a_run_stopped_on_the_server_is_said(server: Server, tmp_path: Path) -> None:
    def stop() -> None:
        wait_for_step(server.base / "output/loras/submitted_stopped.jsonl")
        urllib.request.urlopen(urllib.request.Request(f"{server.url}/interrupt", b"{}"), timeout=SECONDS_TO_RUN).close()

    threading.Thread(target=stop, daemon=True).start()
    with pytest.raises(ServerError, match="interrupted"):
        submit_file(written(training(server, "submitted_stopped"), tmp_path), [], server.url)
    assert (server.base / "output/loras/submitted_stopped.safetensors").exists()


def test_ctrl_c_stops_the_run_on_the_server_too(server: Server, tmp_path: Path) -> None:
    path = written(training(server, "submitted_left"), tmp_path)
    command = [sys.executable, "-m", "maskloss", "submit", str(path), "--server", server.url]
    # Where the tests run in the background, a shell has them ignore Ctrl-C, and what they start as well.
    heeding = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)
    with subprocess.Popen(command, preexec_fn=heeding) as process:
        wait_for_step(server.base / "output/loras/submitted_left.jsonl")
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == EXIT_INTERRUPTED
    wait_until_idle(server)


def test_a_prompt_of_which_a_part_is_refused_is_taken_back(
    server: Server, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    refused = {"class_type": "MaskLossPreviewWeights", "inputs": {"weights": ["5", 3]}}
    assert submit(server, written({**training(server, "partly"), "6": refused}, tmp_path)) == EXIT_USER
    assert "node 6 (MaskLossPreviewWeights): Return type mismatch" in capfd.readouterr().err
    wait_until_idle(server)
