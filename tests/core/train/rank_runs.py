"""Trainings by several processes: gloo on this machine, one core each."""

from __future__ import annotations

import os
import signal
import sys
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.multiprocessing as multiprocessing
from maskloss.core.demo.denoiser import DemoDenoiser
from maskloss.core.mask_weights import MaskLossSettings
from maskloss.core.train.config import LoraConfig, OptimizerConfig, TrainConfig
from maskloss.core.train.loop import TrainResult, train
from maskloss.core.train.ranks import ALONE, ProcessRanks, Ranks
from maskloss.core.train.recipe import TrainingRecipe

from .runs import LORA, PLAIN, Watcher

# Adam divides gradients by their size: of the smallest ones, which are all rounding, it would make full steps.
EVEN = OptimizerConfig(learning_rate=1e-3, optimizer_args="eps=1e-4")


@dataclass(frozen=True)
class Case:
    """A run; `config` as `TrainConfig` takes it."""

    settings: MaskLossSettings | None = PLAIN
    lora: LoraConfig = LORA
    optimizer: OptimizerConfig = EVEN
    validates: bool = False
    config: dict[str, Any] = field(default_factory=dict)

    def run(
        self,
        cache: Any,
        output: Path,
        ranks: Ranks = ALONE,
        watcher: Watcher | None = None,
        denoiser: DemoDenoiser | None = None,
    ) -> TrainResult:
        chosen = TrainConfig(
            **{"steps": 3, "gradient_accumulation_steps": 6, "gradient_checkpointing": False, **self.config}
        )
        other = cache if self.validates else None
        recipe = TrainingRecipe(cache, self.settings, self.lora, self.optimizer, chosen, other)
        return train(denoiser or DemoDenoiser(), recipe, output, watcher, ranks=ranks)


Work = Callable[..., Any]


def in_ranks(size: int, works: Mapping[str, tuple[Work, tuple[Any, ...]]], directory: Path) -> list[dict[str, Any]]:
    """What each `work(ranks, directory, *arguments)` returns in each of `size` processes, one after the other, or the
    text of what it raised. A process that was killed has only what came before."""
    directory.mkdir(parents=True, exist_ok=True)
    context = multiprocessing.get_context("spawn")
    processes = [context.Process(target=_rank, args=(rank, size, works, directory)) for rank in range(size)]
    # They import this folder's modules by the names that pytest gives them.
    sys.path.append(str(Path(__file__).parents[1]))
    try:
        for process in processes:
            process.start()
    finally:
        sys.path.pop()
    for process in processes:
        process.join()
    files = [directory / f"answers{rank}" for rank in range(size)]
    return [torch.load(file, weights_only=False) if file.exists() else {} for file in files]


def _rank(rank: int, size: int, works: Mapping[str, tuple[Work, tuple[Any, ...]]], directory: Path) -> None:
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{directory}/meeting", rank=rank, world_size=size)
    ranks, answers = ProcessRanks(), dict[str, Any]()
    for name, (work, arguments) in works.items():
        try:
            answers[name] = work(ranks, directory, *arguments)
        except BaseException as problem:  # noqa: BLE001 - the test looks at it
            traceback.print_exc()
            answers[name] = f"{type(problem).__name__}: {problem}"
        torch.save(answers, directory / f"answers{rank}")
    dist.destroy_process_group()


def die() -> None:
    """As a process that the system kills."""
    os.kill(os.getpid(), signal.SIGKILL)
