"""Processes that train for one that waits: what is refused, how they fail, how they are stopped. `tests/nodes/
test_devices.py` has them train."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from maskloss.core.errors import TrainingError
from maskloss.core.host import LocalHost
from maskloss.core.host.hand_over import HandOver
from maskloss.core.host.launch import refuse_devices, train_in_processes
from maskloss.core.train.observer import SilentObserver


def test_more_devices_than_cards(monkeypatch: pytest.MonkeyPatch) -> None:
    refuse_devices(torch.device("cpu"), 64)
    with pytest.raises(TrainingError, match="on mps"):
        refuse_devices(torch.device("mps"), 2)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 1)
    refuse_devices(torch.device("cuda:0"), 1)
    with pytest.raises(TrainingError, match="devices is 2, and ComfyUI sees 1 card"):
        refuse_devices(torch.device("cuda:0"), 2)


def test_processes_that_end_without_a_word_are_told_of_by_their_last_lines(tmp_path: Path) -> None:
    handed = HandOver(tmp_path)
    handed.write({}, {}, None)
    folders = LocalHost(tmp_path, tmp_path / "out").folders()
    with pytest.raises(TrainingError, match="without a word") as problem:
        train_in_processes(1, handed, folders, None, SilentObserver(), print)
    assert "is empty; it needs at least one node" in str(problem.value)


_LISTENS = """
import time
from maskloss.core.host.launch import told_to_stop
stop = told_to_stop()
print(stop(), flush=True)
while not stop():
    time.sleep(0.01)
"""


def test_a_closed_input_is_the_word_to_stop() -> None:
    with subprocess.Popen([sys.executable, "-c", _LISTENS], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as listens:
        assert listens.stdout is not None
        assert listens.stdin is not None
        assert listens.stdout.readline() == b"False\n"
        assert listens.poll() is None
        listens.stdin.close()
        assert listens.wait() == 0
