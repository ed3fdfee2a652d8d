"""Every contender with every seed, on two processes; what is finished is kept, so that a broken-off run goes on."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from maskloss.core.files import atomic_write, write_json

from .base import BaseConfig, load_base
from .contenders import Contender
from .experiment import Laboratory, Pictures, Setup, score_pictures

# To be raised when training, pictures or scores change in a way that no field of a contender or the setup tells.
_VERSION = 1
PICTURED_SEED = 0

Results = dict[str, dict[int, dict[str, float]]]


@dataclass(frozen=True)
class Plan:
    """A whole run: who, how often, on what, and where it is kept."""

    contenders: tuple[Contender, ...]
    seeds: int
    base: BaseConfig
    setup: Setup
    directory: Path

    def result_path(self, contender: Contender, seed: int) -> Path:
        """Where a finished result lies; another path whenever another result would come of it."""
        told = (_VERSION, self.base.identity, self.setup, contender.identity, seed)
        return self.directory / "results" / f"{hashlib.sha256(repr(told).encode()).hexdigest()[:20]}.json"

    def pictures_path(self, contender: Contender) -> Path:
        """Where the pictures of the first seed lie."""
        return self.result_path(contender, PICTURED_SEED).with_suffix(".npz")


def run_plan(plan: Plan, workers: int, say: Callable[[str], None]) -> Results:
    """Scores by contender, seed and name. Whatever is on disk already is not done again."""
    load_base(plan.base, plan.directory, say)
    # Seed after seed, so that a run that is broken off has whole pairs.
    tasks = [
        (contender, seed)
        for seed in range(plan.seeds)
        for contender in plan.contenders
        if not plan.result_path(contender, seed).exists()
    ]
    total = plan.seeds * len(plan.contenders)
    say(f"{total - len(tasks)} of {total} results are there.")
    if tasks:
        spawn = multiprocessing.get_context("spawn")
        with ProcessPoolExecutor(workers, spawn, initializer=open_laboratory, initargs=(plan,)) as pool:
            futures = {pool.submit(run_one, plan, *task): task for task in tasks}
            for done, future in enumerate(as_completed(futures), total - len(tasks) + 1):
                contender, seed = futures[future]
                told = ", ".join(f"{name} {value:.3f}" for name, value in future.result().items())
                say(f"{done} of {total}: {contender.name}, seed {seed}: {told}")
    return read_results(plan)


def read_results(plan: Plan) -> Results:
    """What is on disk."""
    results: Results = {}
    for contender in plan.contenders:
        paths = {seed: plan.result_path(contender, seed) for seed in range(plan.seeds)}
        results[contender.name] = {
            seed: json.loads(path.read_text("utf-8")) for seed, path in paths.items() if path.exists()
        }
    return results


def load_pictures(path: Path) -> Pictures:
    """The pictures that `run_one` kept."""
    with np.load(path) as content:
        return Pictures(content["ours"], content["others"], content["anyone"])


def run_one(plan: Plan, contender: Contender, seed: int) -> dict[str, float]:
    """Train, draw, score and keep one result."""
    laboratory = open_laboratory(plan)
    drawn = laboratory.draw(laboratory.train(contender, seed), seed)
    result = score_pictures(drawn, laboratory.base_pictures(seed))
    if seed == PICTURED_SEED:
        with atomic_write(plan.pictures_path(contender)) as temporary:
            np.savez(temporary, ours=drawn.ours_NHWC, others=drawn.others_NHWC, anyone=drawn.anyone_NHWC)
    write_json(plan.result_path(contender, seed), result)
    return result


_OPEN: dict[tuple[str, Setup], Laboratory] = {}


def open_laboratory(plan: Plan) -> Laboratory:
    """This process's laboratory; the base model is on disk by now."""
    key = (plan.base.identity, plan.setup)
    if key not in _OPEN:
        torch.set_num_threads(1)
        _OPEN[key] = Laboratory(load_base(plan.base, plan.directory, lambda _: None), plan.base.identity, plan.setup)
    return _OPEN[key]
