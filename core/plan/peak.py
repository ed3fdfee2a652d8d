"""The most memory that a device had to give while something ran."""

from __future__ import annotations

import ctypes
import gc
import re
import sys
from pathlib import Path

import torch

_PROCESS = Path("/proc/self")


class PeakMemory:
    """What is taken of `device` beyond what was taken when this was made: on a card by PyTorch's tensors, in main
    memory by this process, which only Linux tells."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self._before = self._taken()

    def forget(self) -> None:
        """The peak is what is taken from now on."""
        _give_back()
        if self._device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(self._device)
        elif _PROCESS.is_dir():
            (_PROCESS / "clear_refs").write_text("5")

    @property
    def peak(self) -> int | None:
        """Bytes; None where nobody tells."""
        if self._device.type == "cuda":
            return torch.cuda.max_memory_allocated(self._device) - self._before
        most = _of_process("VmHWM")
        return None if most is None else most - self._before

    def _taken(self) -> int:
        _give_back()
        if self._device.type == "cuda":
            return torch.cuda.memory_allocated(self._device)
        return _of_process("VmRSS") or 0


def _of_process(name: str) -> int | None:
    if not _PROCESS.is_dir():
        return None
    found = re.search(rf"{name}:\s+(\d+) kB", (_PROCESS / "status").read_text())
    return int(found[1]) * 1024 if found else None


def _give_back() -> None:
    gc.collect()
    if sys.platform == "linux" and hasattr(libc := ctypes.CDLL(None), "malloc_trim"):
        libc.malloc_trim(0)
