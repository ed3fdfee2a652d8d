"""The memory plan: how long it takes, what it says of large models held in fewer bits, and how near it is.

    COMFYUI_PATH=/path/to/ComfyUI /path/to/its/python -m benchmarks.plan

`maskloss plan` runs in a process of its own, whose time and memory count from its start. Peaks are planned; smaller
networks then make a real step on the CPU (`benchmarks.plan_process`), and what was planned is held against the bytes of
live tensors, and against what the process has grown by. The C library's allocator keeps freed memory and gives out
pieces of it again; so that the process shows what is needed, and not what is kept, it is told to give back what is
larger than 64 KiB. A second column leaves it as it is. Prints Markdown.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from maskloss.core.comfy.find import require_comfyui
from maskloss.core.comfy.model.planned import ComfyPlannedModel, planned_by_name
from maskloss.core.frozen.config import BaseConfig, BasePrecision
from maskloss.core.plan.setup import Setup
from maskloss.core.plan.trial import RunSettings
from maskloss.core.train.config import LoraConfig, OptimizerConfig, TrainConfig

ROOT = Path(__file__).resolve().parents[1]
GIB, MIB = 2**30, 2**20
RANK = 32
LARGE = (("wan2.2-14b", 512), ("krea-2", 1024), ("qwen-image", 1024), ("flux-1-dev", 1024), ("flux-2-dev", 1024))
SMALL = ("wan", "flux", "qwen-image", "sd1.5")
GIVES_BACK = {"MALLOC_MMAP_THRESHOLD_": "65536", "MALLOC_TRIM_THRESHOLD_": "65536"}


def command(model: str, side: int) -> tuple[float, float, float]:
    """Seconds that `maskloss plan` takes, those of them that it computes, and the most GiB that it has."""
    started = time.perf_counter()
    words = [sys.executable, "-m", "maskloss", "plan", model, "--resolution", str(side), "--rank", str(RANK)]
    process = subprocess.Popen(words, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, used = os.wait4(process.pid, 0)
    if status:
        sys.exit(f"{' '.join(words)} failed.")
    return time.perf_counter() - started, used.ru_utime + used.ru_stime, used.ru_maxrss / MIB


def peaks(model: ComfyPlannedModel, side: int) -> list[float]:
    """GiB: as the model is, its weights in nvfp4 and in int8, and the latter with all blocks in main memory."""
    run = RunSettings(LoraConfig(rank=RANK), OptimizerConfig(), TrainConfig())
    plain = Setup(run, (side, side))
    smaller = [BaseConfig(each) for each in (BasePrecision.NVFP4, BasePrecision.INT8)]
    bases = (BaseConfig(), *smaller, BaseConfig(BasePrecision.INT8, model.block_count))
    return [model.count(replace(plain, base=base)).peak / GIB for base in bases]


def measured(name: str, checkpoint: bool, environment: Mapping[str, str]) -> dict[str, int]:
    """What `benchmarks.plan_process` prints."""
    words = [sys.executable, "-m", "benchmarks.plan_process", name, *([] if checkpoint else ["--no-checkpointing"])]
    told = subprocess.run(words, cwd=ROOT, env={**os.environ, **environment}, stdout=subprocess.PIPE, check=True)
    found: dict[str, int] = json.loads(told.stdout.decode().splitlines()[-1])
    return found


def table(heading: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
    """Print one as Markdown."""
    lines = [heading, ["---"] * len(heading), *rows]
    print("\n".join(f"| {' | '.join(map(str, line))} |" for line in lines), end="\n\n", flush=True)


def main() -> None:
    """Print all tables, or the one that is named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", choices=("time", "large", "small"))
    only = parser.parse_args().only
    rows: list[Sequence[Any]] = []
    if only in (None, "time"):
        for name, side in LARGE[:1]:
            seconds, computing, most = command(name, side)
            words = f"maskloss plan {name} --resolution {side} --rank {RANK}"
            rows.append([words, f"{seconds:.0f}", f"{computing:.0f}", f"{most:.1f} GiB"])
        table(["", "seconds", "of these computing", "memory"], rows)
    if only in (None, "large"):
        require_comfyui()
        rows = []
        for name, side in LARGE:
            found = peaks(planned_by_name(name), side)
            sizes = [f"{each:.1f}" for each in found]
            rows.append([f"{name}, {side}x{side}, rank {RANK}", *sizes, f"{found[-1] / found[0]:.2f}"])
        table(["planned peak, GiB", "bf16", "nvfp4", "int8", "int8, all blocks in main memory", "its ratio"], rows)
    if only in (None, "small"):
        rows = []
        for name in SMALL:
            for checkpoint in (True, False):
                found, as_is = measured(name, checkpoint, GIVES_BACK), measured(name, checkpoint, {})
                planned, counted, grown = (found[key] for key in ("planned", "counted", "grown"))
                ratios = [f"{planned / each:.3f}" for each in (counted, grown, as_is["grown"])]
                sizes = [f"{each / MIB:.0f}" for each in (found["parameters"], planned, counted, grown)]
                rows.append([name + ("" if checkpoint else ", no checkpointing"), *sizes, *ratios])
        heading = ["MiB", "weights", "planned", "counted", "grown", "planned / counted", "planned / grown"]
        table([*heading, "allocator as it is"], rows)


if __name__ == "__main__":
    main()
