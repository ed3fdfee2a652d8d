"""Contenders that make their steps in turn, each in a process of its own, so that a busy machine is as slow for all."""

from __future__ import annotations

import os
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ANSWER = "step took"
WARM_UP = 1
MOST_STOLEN, TRIES = 0.02, 4
_ROOT = Path(__file__).resolve().parents[1]


class Contender:
    """A training loop in a process of its own, which stands still between its steps."""

    def __init__(self, name: str, command: Sequence[str]) -> None:
        self._process = subprocess.Popen(command, cwd=_ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._name = name

    def step(self) -> tuple[float, float]:
        """Seconds that the step took, and the most MiB that the process ever had beyond its imports."""
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write("step\n")
        self._process.stdin.flush()
        for line in self._process.stdout:
            if line.startswith(ANSWER):
                seconds, mebibytes = line[len(ANSWER) :].split()
                return float(seconds), float(mebibytes)
        raise RuntimeError(f"{self._name} ended before its step.")

    def stop(self) -> None:
        self._process.kill()
        self._process.wait()


class Pause:
    """Called in a contender's process after each step: tells what it took and waits for the next."""

    def __init__(self, before_kib: int) -> None:
        self._before_kib = before_kib
        self._start = 0.0

    def wait(self) -> None:
        if not sys.stdin.readline():
            sys.exit()
        self._start = time.perf_counter()

    def __call__(self) -> None:
        seconds = time.perf_counter() - self._start
        print(f"{ANSWER} {seconds} {(peak_kib() - self._before_kib) / 1024}", flush=True)
        self.wait()


def peak_kib() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


@dataclass(frozen=True)
class Result:
    """Median seconds of a step, and the peak of memory."""

    seconds: float
    mebibytes: float


def measure(commands: Mapping[str, Sequence[str]], rounds: int) -> dict[str, Result]:
    """By name: median seconds of the second of two steps that each makes in turn; the first turn of each warms up."""
    names = list(commands)
    running = {name: Contender(name, command) for name, command in commands.items()}
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in names}
    try:
        for number in range(rounds + WARM_UP):
            first = number % len(names)
            for name in (*names[first:], *names[:first]):
                running[name].step()
                taken[name].append(undisturbed(running[name]))
    finally:
        for contender in running.values():
            contender.stop()
    return {
        name: Result(statistics.median(seconds for seconds, _ in steps[WARM_UP:]), steps[-1][1])
        for name, steps in taken.items()
    }


def undisturbed(contender: Contender) -> tuple[float, float]:
    """The first step of at most four during which the host left the machine its cores, or else the least disturbed."""
    steps: list[tuple[float, tuple[float, float]]] = []
    while not steps or (steps[-1][0] > MOST_STOLEN and len(steps) < TRIES):
        before = stolen_seconds()
        seconds, mebibytes = contender.step()
        steps.append(((stolen_seconds() - before) / (seconds * (os.cpu_count() or 1)), (seconds, mebibytes)))
    return min(steps)[1]


def stolen_seconds() -> float:
    """Time of all cores that the host of a virtual machine has given to others; 0 where nobody tells."""
    path = Path("/proc/stat")
    return int(path.read_text().split()[8]) / os.sysconf("SC_CLK_TCK") if path.exists() else 0.0
