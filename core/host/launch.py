"""Starts the processes that train together on this machine, follows them, and stops them with the one that waits."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch

from ..errors import TrainingError
from ..paths import Folders
from ..train.observer import TrainObserver
from .hand_over import HandOver
from .relay import Relayed

SECONDS_BETWEEN_LOOKS = 0.1
# Until what was trained is saved, from the middle of a forward pass or of a sample picture on.
SECONDS_TO_STOP = 300.0
SECONDS_TO_DIE = 40.0
LINES_OF_ERROR = 20
_FAILED = "torch/distributed/elastic/multiprocessing"
_COMMAND = Path(__file__).resolve().parents[2] / "__main__.py"


def refuse_devices(device: torch.device, devices: int) -> None:
    """TrainingError where `devices` processes cannot each have one like `device`."""
    if device.type == "cpu":
        return
    if device.type != "cuda":
        raise TrainingError(
            f"devices is {devices}, and the model is on {device.type}, where processes cannot train together: CUDA "
            "cards (NVIDIA's, AMD's) and the CPU can. Set devices to 1."
        )
    there = torch.cuda.device_count()
    if devices > there:
        raise TrainingError(
            f"devices is {devices}, and ComfyUI sees {there} {'card' if there == 1 else 'cards'}. Set devices to at "
            f"most {there}, or start ComfyUI without what hides the others (--cuda-device, CUDA_VISIBLE_DEVICES)."
        )


def train_in_processes(
    devices: int,
    handed: HandOver,
    folders: Folders,
    comfyui: Mapping[str, Any] | None,
    observer: TrainObserver,
    warn: Callable[[str], object],
) -> Path:
    """Run the prompt that was handed over in `devices` processes, and give the path of its LoRA.

    All that its run says comes to `observer` and `warn`; the interrupt that these raise stops the processes, which
    leave a LoRA and a state as an interrupted run does. They stop too when this process is gone. TrainingError with
    their reason where they fail.
    """
    relayed, log = Relayed(handed.events, observer, warn), handed.folder / "stderr.txt"
    command = [
        *(sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(devices)),
        *(str(_COMMAND), "train", str(handed.prompt), "--waiting", str(handed.folder)),
        *("--input", str(folders.input), "--output", str(folders.output)),
    ]
    with log.open("wb") as errors:
        # A session of its own: Ctrl-C in this one's terminal is not theirs.
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=errors, stderr=errors, env=_environment(devices, comfyui),
            start_new_session=True,
        )  # fmt: skip
        try:
            while process.poll() is None:
                relayed.tell()
                observer.check()
                time.sleep(SECONDS_BETWEEN_LOOKS)
            relayed.tell()
        finally:
            _stop(process)
    if relayed.failed is not None:
        raise TrainingError(relayed.failed)
    if relayed.finished is None:
        lines = _own_lines(log.read_text(encoding="utf-8", errors="replace"))
        raise TrainingError(
            f"The processes that train on {devices} devices ended with code {process.returncode} and without a word. "
            "Queue again to go on from the last save, or set devices to 1. Their last lines:\n" + "\n".join(lines)
        )
    return relayed.finished


def _own_lines(text: str) -> list[str]:
    """The last lines before torchrun tells that a process has failed, which it does at length; its own where there are
    none."""
    lines = text.splitlines()
    end = next((number for number, line in enumerate(lines) if _FAILED in line), len(lines))
    return (lines[:end] or lines)[-LINES_OF_ERROR:]


def _environment(devices: int, comfyui: Mapping[str, Any] | None) -> dict[str, str]:
    threads = max(1, torch.get_num_threads() // devices)
    environment = {"OMP_NUM_THREADS": str(threads), **os.environ}
    return environment if comfyui is None else {**environment, "COMFYUI_PATH": str(comfyui["folder"])}


def _stop(process: subprocess.Popen[bytes]) -> None:
    """Wait until the processes have ended; they are asked to, told to, and killed in the end."""
    if process.stdin is not None:
        process.stdin.close()
    for seconds, end in ((SECONDS_TO_STOP, process.terminate), (SECONDS_TO_DIE, process.kill)):
        try:
            process.wait(seconds)
            return
        except subprocess.TimeoutExpired:
            end()
    process.wait()


def told_to_stop() -> Callable[[], bool]:
    """Whether the program that waits has gone, or wants no more: it has closed our standard input. For the other side
    of `train_in_processes`."""
    closed = threading.Event()

    def listen() -> None:
        # Not through Python's own buffer, whose lock would be held when this process ends.
        while os.read(sys.stdin.fileno(), 1):
            pass
        closed.set()

    threading.Thread(target=listen, daemon=True).start()
    return closed.is_set
