"""`maskloss train`: a prompt with a training node, in one process or, started by torchrun, in several at once."""

from __future__ import annotations

import os
import signal
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from types import FrameType

import torch
import torch.distributed as dist

from ..core.comfy.registry import comfyui_nodes
from ..core.errors import PathError
from ..core.host.hand_over import HandOver
from ..core.host.launch import told_to_stop
from ..core.host.rank import RankHost
from ..core.host.relay import Relay
from ..core.train.ranks import ALONE, ProcessRanks, Ranks
from ..core.warning import collect_warnings
from .prompt import Prompt, Registry, override, read_prompt
from .rank_prompts import FoundCaches, prompt_of_others, training_node, until_training
from .run import REGISTRY, tell_results
from .runner import NodeResult, run_prompt

# Rank 0 may sample for long while the others wait; one that dies is noticed by its closed connections.
_LONGEST_WAIT = timedelta(hours=12)


def train_file(
    file: Path,
    settings: Sequence[str],
    input_directory: Path | None,
    output_directory: Path | None,
    base_directory: Path | None = None,
    waiting: Path | None = None,
) -> None:
    """Run the prompt in `file` as `maskloss run` does, its training node on all ranks that torchrun started.

    It may have nodes of ComfyUI itself, whose models lie under `base_directory`. `waiting`: the folder of the hand-over
    by a program that waits for this run; it stops when that program closes its standard input.
    """
    if input_directory is not None and not input_directory.is_dir():
        raise PathError(f"--input {input_directory} is not a directory; give the folder with your photographs")
    prompt = read_prompt(file)
    handed = None if waiting is None else HandOver(waiting)
    facts, comfyui = ({}, None) if handed is None else handed.read()
    with open_ranks(facts) as ranks, _terminated_as_interrupted(ranks):
        relay = None if handed is None or not ranks.leads else Relay(handed.events)
        with _telling(relay):
            foreign = any(node.class_type not in REGISTRY for node in prompt.values())
            registry: Registry = {**comfyui_nodes(base_directory, comfyui), **REGISTRY} if foreign else REGISTRY
            override(prompt, settings, registry)
            needed = until_training(prompt, registry)
            stop = told_to_stop() if relay else lambda: False
            found = FoundCaches(training_node(needed))
            host = RankHost(ranks, input_directory, output_directory, relay, stop, found.places)
            if ranks.leads:
                results = _lead(prompt, registry, host, found)
                if relay:
                    relay.finish(_lora_of(results, needed))
            else:
                _follow(needed, registry, host)


@contextmanager
def open_ranks(expected: Mapping[str, object] | None = None) -> Generator[Ranks]:
    """The ranks that torchrun started, of which this process is one; without torchrun this process alone. `expected` as
    `ProcessRanks` takes it."""
    if "RANK" not in os.environ:
        yield ALONE
        return
    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    dist.init_process_group("cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo", timeout=_LONGEST_WAIT)
    try:
        yield ProcessRanks(expected)
    finally:
        dist.destroy_process_group()


def _lead(prompt: Prompt, registry: Registry, host: RankHost, found: FoundCaches) -> Mapping[str, NodeResult]:
    try:
        results = run_prompt(prompt, registry, host, watcher=found)
    except BaseException as problem:
        host.stop_others(problem)
        raise
    tell_results(results, prompt)
    return results


@contextmanager
def _telling(relay: Relay | None) -> Generator[None]:
    """What ends this process goes to the program that waits."""
    try:
        yield
    except BaseException as problem:
        if relay:
            relay.fail(problem)
        raise


def _lora_of(results: Mapping[str, NodeResult], needed: Prompt) -> str:
    return str(results[training_node(needed).id].ui["maskloss"][0]["path"])


def _follow(needed: Prompt, registry: Registry, host: RankHost) -> None:
    own = prompt_of_others(needed, registry, host.wait_for_first())
    # Rank 0 gives the same warnings.
    with collect_warnings(lambda _: None):
        run_prompt(own, registry, host, quiet=True)


@contextmanager
def _terminated_as_interrupted(ranks: Ranks) -> Generator[None]:
    """torchrun terminates the ranks of a run of which one is dead: as Ctrl-C does, so that what was trained is kept.
    One that is about to keep it goes on."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        if not ranks.stopping:
            raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
