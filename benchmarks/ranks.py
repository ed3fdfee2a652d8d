"""Two processes that train one LoRA beside one process with the same accumulation window, a thread each.

    COMFYUI_PATH=/path/to/ComfyUI /path/to/its/python -m benchmarks.ranks

The random WAN of `benchmarks.step`, fp32, rank 8, two micro-batches of one picture in an optimizer step. One process
and two train in turn, `--rounds` times, each `--steps` steps, of which the first warms up; medians count. Memory is the
peak of a process beyond its imports. Seconds of a core are what all processes together had in their training, first
step included: a machine that is busy with other things, which gives two processes more of itself than one, changes
these less. Prints Markdown and the machine's load; what is written goes to a temporary directory.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import torch
import torch.distributed as dist
from maskloss.core.comfy.model.denoiser import open_denoiser
from maskloss.core.train.config import LoraConfig, OptimizerConfig, TrainConfig, TrainingDtype
from maskloss.core.train.loop import train
from maskloss.core.train.observer import SilentObserver
from maskloss.core.train.optimizer_step import count_numbers
from maskloss.core.train.ranks import ALONE, ProcessRanks
from maskloss.core.train.recipe import TrainingRecipe

from .step_contenders import MASKS, RANK, Material, Text, prepare
from .turns import peak_kib

import comfy.utils  # isort: skip (found once the contenders have been imported)

WINDOW = 2


class Watch(SilentObserver):
    """Notes when each micro-batch begins and each step ends."""

    def __init__(self) -> None:
        self.begun, self.seconds = 0.0, list[float]()

    def check(self) -> None:
        self.begun = self.begun or time.perf_counter()

    def step(self, point: object, total_steps: int) -> None:
        now = time.perf_counter()
        self.seconds.append(now - self.begun)
        self.begun = now


def work(material: Material, size: int, rank: int, steps: int, meeting: Path, output: Path) -> None:
    """The life of one process: trains, and prints what it took as JSON."""
    torch.set_num_threads(1)
    if size > 1:
        dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=size)
    ranks, before, watch = (ProcessRanks() if size > 1 else ALONE), peak_kib(), Watch()
    config = TrainConfig(
        steps=steps, gradient_accumulation_steps=WINDOW, gradient_checkpointing=False, training_dtype=TrainingDtype.FP32
    )
    with torch.inference_mode(), open_denoiser(material.model(), material.cache.empty_text()) as denoiser:
        recipe = TrainingRecipe(material.cache, MASKS, LoraConfig(rank=RANK, alpha=RANK), OptimizerConfig(), config)
        begun = time.process_time()
        result = train(denoiser, recipe, output, watch, ranks=ranks)
        core_seconds = (time.process_time() - begun) / steps
    sent = ranks.sent_bytes if isinstance(ranks, ProcessRanks) else 0
    gradients = 4 * sum(value.numel() for key, value in result.lora.items() if not key.endswith("alpha"))
    memory = (peak_kib() - before) / 1024
    answer = {"seconds": watch.seconds, "mebibytes": memory, "sent": sent, "gradients": gradients, "core": core_seconds}
    print(json.dumps(answer))


def run(size: int, steps: int, directory: Path, name: str) -> list[dict[str, object]]:
    """What each of `size` processes that train together says."""
    program = [sys.executable, "-m", "benchmarks.ranks", "--steps", str(steps), "--directory", str(directory)]
    started = [
        subprocess.Popen([*program, "--process", f"{size}:{rank}:{name}"], stdout=subprocess.PIPE, text=True)
        for rank in range(size)
    ]
    answers = [process.communicate()[0] for process in started]
    if any(process.returncode for process in started):
        raise RuntimeError(f"{name} failed")
    return [json.loads(answer.splitlines()[-1]) for answer in answers]


def tables(rounds: int, steps: int, directory: Path) -> None:
    """Both, in turn, and their ratios."""
    seconds: dict[int, list[float]] = {1: [], 2: []}
    core: dict[int, list[float]] = {1: [], 2: []}
    memory: dict[int, float] = {}
    sent = ""
    for turn in range(rounds):
        for size in (1, 2):
            answers = run(size, steps, directory, f"{size}_{turn}")
            seconds[size] += answers[0]["seconds"][1:]  # type: ignore[index]
            core[size].append(sum(float(str(answer["core"])) for answer in answers))
            memory[size] = max(float(str(answer["mebibytes"])) for answer in answers)
            if size == 2:
                # Once more at the end, where the ranks wait for one another.
                numbers = 8 * (count_numbers(()) + 1)
                each = (int(str(answers[0]["sent"])) - numbers) / steps
                sent = f"{each:.0f} bytes a step from each rank: {answers[0]['gradients']} of gradients and {numbers}"
    one, two = (statistics.median(seconds[size]) for size in (1, 2))
    columns = ("processes, a thread each", "seconds a step of two samples", "of a core", "peak memory of a process")
    print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
    for size, taken in ((1, one), (2, two)):
        print(f"| {size} | {taken:.3f} | {statistics.median(core[size]):.3f} | {memory[size]:.0f} MiB |")
    print(f"\nload {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores at the end")
    print(f"\nSamples a second: {one / two:.2f} times as many. Memory of a rank: {memory[2] / memory[1]:.3f}. {sent}.")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3, help="how often each trains")
    parser.add_argument("--steps", type=int, default=8, help="optimizer steps each time")
    parser.add_argument("--directory", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--process", help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    comfy.utils.PROGRESS_BAR_ENABLED = False
    if options.process:
        size, rank, name = options.process.split(":")
        material = prepare(options.directory, Text())
        meeting, output = options.directory / f"meeting{name}", options.directory / f"lora{name}"
        work(material, int(size), int(rank), options.steps, meeting, output)
        return
    with tempfile.TemporaryDirectory() as temporary:
        directory = options.directory or Path(temporary)
        prepare(directory, Text())
        tables(options.rounds, options.steps, directory)


if __name__ == "__main__":
    main()
