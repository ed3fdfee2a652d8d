"""What the mask saves of a training step: exactly, and with background tokens on a budget.

    COMFYUI_PATH=/path/to/ComfyUI /path/to/its/python -m benchmarks.mask_saves --rival /path/to/an/older/checkout

All contenders train the same random WAN (width 1024, 12 blocks, 1024 picture tokens) in fp32 on the CPU on the same
pictures, of which a square person covers a quarter; rank 8, captions of 120 tokens. The rival is this pack as it was:
another checkout of it (`git worktree add …`), which the same benchmark drives. Contenders make their steps in turn, as
in `benchmarks.step`, medians count. Memory is what a step takes beyond what the loaded model and its adapter lie in.
Growth is the time of a step with 4096 picture tokens over that with 256, the person being equally large in cells.
Prints Markdown; what is written goes to a temporary directory.
"""

from __future__ import annotations

import argparse
import gc
import os
import re
import sys
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from maskloss.core.cache.latents import cache_latents
from maskloss.core.cache.text import cache_text
from maskloss.core.comfy.model.denoiser import open_denoiser
from maskloss.core.dataset.items import Dataset, DatasetItem, LoadSettings
from maskloss.core.demo.encoders import DemoLatentEncoder
from maskloss.core.images import save_image
from maskloss.core.mask_weights import MaskLossSettings
from maskloss.core.train.config import LoraConfig, OptimizerConfig, TrainConfig, TrainingDtype
from maskloss.core.train.loop import train
from maskloss.core.train.observer import SilentObserver
from maskloss.core.train.recipe import TrainingRecipe
from safetensors.torch import save_file

from .step_contenders import FOREVER, RANK, WAN, Material, Text, native, random_weights
from .turns import ANSWER, Pause, Result, measure

import comfy.utils  # isort: skip (found once the contenders have been imported)

PICTURES = 4
_TOKEN_PX = 16


@dataclass(frozen=True)
class Contest:
    """What is trained: blocks of the network, tokens along a picture's side, and along the person's."""

    blocks: int
    side: int
    person: int


@dataclass(frozen=True)
class Contender:
    """Who trains it: the rival or this build, or ComfyUI's node, with which fraction of the background's tokens and
    which floor."""

    who: str
    fraction: float = 1.0
    checkpoint: bool = False
    floor: float = 0.0


MAIN, SHALLOW = Contest(12, 32, 16), Contest(4, 32, 16)
SMALL, LARGE = Contest(12, 16, 8), Contest(12, 64, 8)
RIVAL, OURS, ROUTED = Contender("rival"), Contender("ours"), Contender("ours", 0.1)
FLOOR = Contender("ours", 0.1, floor=0.05)
RIVAL_CHECKPOINTED, ROUTED_CHECKPOINTED = Contender("rival", checkpoint=True), Contender("ours", 0.1, checkpoint=True)
NATIVE = Contender("native")
GROUPS: dict[str, tuple[Contest, tuple[Contender, ...]]] = {
    "step": (MAIN, (RIVAL, OURS, ROUTED, FLOOR, NATIVE)),
    "checkpointing": (MAIN, (RIVAL_CHECKPOINTED, ROUTED_CHECKPOINTED)),
    "exact": (SHALLOW, (RIVAL, OURS)),
    "small": (SMALL, (RIVAL, ROUTED)),
    "large": (LARGE, (RIVAL, ROUTED)),
}


class StepPause(Pause):
    """Tells of each step the most memory that was held in it beyond that at `loaded`."""

    def __init__(self) -> None:
        super().__init__(0)
        self._loaded = 0

    def loaded(self) -> None:
        gc.collect()
        self._loaded = _memory("VmRSS")
        _forget_peak()

    def __call__(self) -> None:
        seconds = time.perf_counter() - self._start
        print(f"{ANSWER} {seconds} {(_memory('VmHWM') - self._loaded) / 1024}", flush=True)
        self.wait()


def _memory(name: str) -> int:
    """KiB, by the kernel's account of this process."""
    found = re.search(rf"{name}:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(found[1]) if found else 0


def _forget_peak() -> None:
    Path("/proc/self/clear_refs").write_text("5")


def prepare(directory: Path, contest: Contest) -> Material:
    """A random checkpoint and a cache of pictures with masks, written once."""
    checkpoint = directory / f"wan{contest.blocks}.safetensors"
    if not checkpoint.exists():
        save_file(random_weights({**WAN, "num_layers": contest.blocks}), checkpoint)
    place = directory / f"{contest.side}x{contest.person}"
    side, first = contest.side * _TOKEN_PX, (contest.side - contest.person) // 2 * _TOKEN_PX
    generator = np.random.default_rng(0)
    items = []
    for index in range(PICTURES):
        path, mask = place / f"{index}.png", np.zeros((side, side), np.uint8)
        mask[first : first + contest.person * _TOKEN_PX, first : first + contest.person * _TOKEN_PX] = 255
        if not path.exists():
            save_image(path, generator.integers(0, 256, (side, side, 3), dtype=np.uint8))
            save_image(place / "masks" / path.name, mask)
        settings = LoadSettings(resolution=(side, side))
        items.append(DatasetItem(str(index), path, settings, place / "masks" / path.name, "word " * (index + 1)))
    cache, _ = cache_latents(Dataset(tuple(items)), DemoLatentEncoder(), place / "cache")
    return Material(checkpoint, cache_text(cache, Text())[0], directory)


def run(material: Material, contender: Contender, pause: StepPause) -> None:
    """The pack's trainer as its node runs it."""

    class Watch(SilentObserver):
        def step(self, point: object, total_steps: int) -> None:
            pause()

    # The rival knows nothing of the setting.
    more = {} if contender.fraction == 1 else {"background_tokens": contender.fraction}
    config = TrainConfig(
        steps=FOREVER, gradient_checkpointing=contender.checkpoint, training_dtype=TrainingDtype.FP32, **more
    )
    settings = MaskLossSettings(min_weight=contender.floor)
    with open_denoiser(material.model(), material.cache.empty_text()) as denoiser:
        recipe = TrainingRecipe(material.cache, settings, LoraConfig(RANK, RANK), OptimizerConfig(), config)
        pause.loaded()
        train(denoiser, recipe, material.directory / f"lora-{os.getpid()}", Watch())


def contend(group: str, index: int, directory: Path) -> None:
    """The life of a contender's process."""
    contest, contenders = GROUPS[group]
    material, pause, contender = prepare(directory, contest), StepPause(), contenders[index]

    def execute() -> None:
        pause.wait()
        with torch.inference_mode():
            if contender.who == "native":
                native(material, checkpoint=contender.checkpoint)(pause)
            else:
                run(material, contender, pause)

    with ThreadPoolExecutor(1) as nodes:
        nodes.submit(execute).result()


def compete(group: str, directory: Path, rival: Path, rounds: int) -> dict[Contender, Result]:
    """Median and memory of each contender of a group."""
    contest, contenders = GROUPS[group]
    prepare(directory, contest)
    # A folder in which the rival's checkout has the package's name, ahead of this one's.
    (directory / "rival").mkdir(exist_ok=True)
    if not (directory / "rival/maskloss").exists():
        (directory / "rival/maskloss").symlink_to(rival)
    paths = [path for path in os.environ.get("PYTHONPATH", "").split(os.pathsep) if path]
    commands = {}
    for index, contender in enumerate(contenders):
        ahead = [str(directory / "rival")] if contender.who == "rival" else []
        program = [sys.executable, "-m", "benchmarks.mask_saves", "--directory", str(directory)]
        commands[str(index)] = [
            "env", f"PYTHONPATH={os.pathsep.join([*ahead, *paths])}", *program, "--contender", f"{group}:{index}",
        ]  # fmt: skip
    results = measure(commands, rounds)
    return {contender: results[str(index)] for index, contender in enumerate(contenders)}


def rows(results: dict[str, dict[Contender, Result]]) -> list[tuple[str, float, float]]:
    """What is compared, the ratio, and its bound; of the groups that were measured."""
    found: list[tuple[str, float, float]] = []
    if step := results.get("step"):
        found += [
            ("step, background_tokens 0.1 / rival", step[ROUTED].seconds / step[RIVAL].seconds, 0.50),
            ("the same, with a floor of 0.05 / rival", step[FLOOR].seconds / step[RIVAL].seconds, 0.50),
            ("step, background_tokens 0.1 / ComfyUI's node", step[ROUTED].seconds / step[NATIVE].seconds, 0.22),
            ("memory, background_tokens 0.1 / rival", step[ROUTED].mebibytes / step[RIVAL].mebibytes, 0.50),
            ("step, exact savings alone / rival", step[OURS].seconds / step[RIVAL].seconds, 1.0),
        ]
    if step := results.get("checkpointing"):
        ratio = step[ROUTED_CHECKPOINTED].seconds / step[RIVAL_CHECKPOINTED].seconds
        found += [("step with checkpointing, background_tokens 0.1 / rival", ratio, 0.50)]
    if step := results.get("exact"):
        found += [("step, 4 blocks, exact savings alone / rival", step[OURS].seconds / step[RIVAL].seconds, 0.90)]
    if "small" in results and "large" in results:
        small, large = results["small"], results["large"]
        growth = {who: large[who].seconds / small[who].seconds for who in (RIVAL, ROUTED)}
        found += [("growth from 256 to 4096 tokens / rival's", growth[ROUTED] / growth[RIVAL], 0.60)]
    return found


def _name(who: Contender) -> str:
    return ", ".join(
        [who.who]
        + ([f"background_tokens {who.fraction:g}"] if who.fraction < 1 else [])
        + ([f"floor {who.floor:g}"] if who.floor else [])
        + (["checkpointing"] if who.checkpoint else [])
    )


def _tables(groups: Sequence[str], directory: Path, rival: Path, rounds: int) -> None:
    results: dict[str, dict[Contender, Result]] = {}
    print("| contest | contender | median of a step | memory of a step |\n|---|---|---|---|")
    for group in groups:
        results[group] = compete(group, directory, rival, rounds)
        for who, result in results[group].items():
            print(f"| {group} | {_name(who)} | {result.seconds:.3f} s | {result.mebibytes:.0f} MiB |", flush=True)
    print("\n| ratio | measured | bound | |\n|---|---|---|---|")
    for name, value, bound in rows(results):
        print(f"| {name} | {value:.3f} | ≤ {bound:g} | {'kept' if value <= bound else '**missed**'} |")


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rival", type=Path, help="a checkout of this pack as it was")
    parser.add_argument("--rounds", type=int, default=7, help="timed steps of each contender")
    parser.add_argument("--groups", nargs="+", choices=GROUPS, default=list(GROUPS))
    parser.add_argument("--contender", help=argparse.SUPPRESS)
    parser.add_argument("--directory", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    comfy.utils.PROGRESS_BAR_ENABLED = False
    if options.contender:
        group, index = options.contender.split(":")
        contend(group, int(index), options.directory)
        return
    if options.rival is None:
        parser.error("--rival names no checkout")
    with tempfile.TemporaryDirectory() as temporary:
        directory, rival = options.directory or Path(temporary), options.rival.resolve()
        _tables(options.groups, directory, rival, options.rounds)


if __name__ == "__main__":
    main()
