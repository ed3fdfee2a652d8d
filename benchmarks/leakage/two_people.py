"""One LoRA of two people who are on every photograph together: who of them is in whose pictures?

    python -m benchmarks.leakage.two_people      # 8 seeds, writes the second table of docs/leakage.md and its CSV

On the base model and in the world of `benchmarks.leakage`. What is finished is kept in build/leakage.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import io
import json
import multiprocessing
import statistics
import tempfile
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import torch
from maskloss.core.files import write_json, write_text
from maskloss.core.train.loop import train

from . import scores
from .album import ALBUMS, PEOPLE, SECOND, Album, album_cache
from .attention import train_localised
from .base import BaseConfig, load_base
from .experiment import Laboratory, Setup, other_prompts
from .page import with_table
from .runs import Plan, open_laboratory
from .scores import Prompt
from .statistics import paired_difference
from .world import BACKGROUNDS, NEW, PLACES, SIZES, SUBJECTS, Subject

REFERENCE = "each for herself"
SCORES = ("own", "swapped", "other", "together", "bleed", "leak")
# Two people share the steps of one.
SETUP = Setup(steps=160)
_ROOT = Path(__file__).resolve().parents[2]
# To be raised when training, pictures or scores change in a way that no field tells.
_VERSION = 1
MARKS = ("<!-- table: written by python -m benchmarks.leakage.two_people -->", "<!-- end of two people -->")

Results = dict[str, dict[int, dict[str, float]]]


def prompts_of(subject: Subject) -> list[Prompt]:
    """One of the two before every background at every place, the sizes in turn."""
    return [
        Prompt(subject.name, list(SIZES)[(row + column) % 2], place, background)
        for row, background in enumerate(BACKGROUNDS)
        for column, place in enumerate(PLACES)
    ]


def train_album(laboratory: Laboratory, album: Album, seed: int) -> Mapping[str, torch.Tensor]:
    """The LoRA, by its file keys."""
    recipe = laboratory.setup.recipe_for(album_cache(seed, album.items), album.settings, seed)
    recipe = replace(recipe, config=replace(recipe.config, steps=album.times * recipe.config.steps))
    if album.attention:
        return train_localised(laboratory.denoiser, recipe, album.attention)
    with tempfile.TemporaryDirectory() as directory:
        return dict(train(laboratory.denoiser, recipe, Path(directory) / "lora").lora)


def score_album(laboratory: Laboratory, lora: Mapping[str, torch.Tensor], seed: int) -> dict[str, float]:
    """Means over the pictures, in [0, 1].

    `own`: `scores.fit` of each of the two by her name (the other one counts among those that she could be mistaken
    for). `swapped`: of hair, face and body in these pictures, the share that is nearer to the other's than to her own.
    `other`: `scores.fit` of the other by the wrong name. `together`: by both names, the lesser fit of the two, the
    second wherever she stands. `bleed`: how much other subjects' prompts turn into either. `leak`: the planted
    background.
    """
    groups = [*(prompts_of(each) for each in PEOPLE), prompts_of(NEW), other_prompts()]
    companions = [None, None, SECOND.name, None]
    pictures = laboratory.draw_groups(groups, companions, lora, seed)
    base = laboratory.draw_groups(groups, companions, None, seed)
    own: list[np.ndarray] = []
    other: list[np.ndarray] = []
    swapped: list[np.ndarray] = []
    leak: list[np.ndarray] = []
    for index, (mine, theirs) in enumerate((PEOPLE, PEOPLE[::-1])):
        own.append(scores.fit(pictures[index], groups[index], mine, (*SUBJECTS, theirs)))
        other.append(scores.fit(pictures[index], groups[index], theirs, (*SUBJECTS, mine)))
        near, far = (scores.part_distances(pictures[index], groups[index], each) for each in (mine, theirs))
        swapped.append((far < near).mean(axis=1))
        leak.append(scores.leak(pictures[index], groups[index]))
    first = scores.fit(pictures[2], groups[2], NEW, (*SUBJECTS, SECOND))
    second = np.max(
        [scores.fit(pictures[2], _elsewhere(groups[2], turn), SECOND, (*SUBJECTS, NEW)) for turn in (1, 2)], 0
    )
    bleed = [scores.bleed(pictures[3], base[3], groups[3], each) for each in PEOPLE]
    values = {
        "own": np.concatenate(own),
        "swapped": np.concatenate(swapped),
        "other": np.concatenate(other),
        "together": np.minimum(first, second),
        "bleed": np.maximum(*bleed),
        "leak": np.concatenate(leak),
    }
    return {name: float(np.mean(each)) for name, each in values.items()}


def _elsewhere(prompts: list[Prompt], turn: int) -> list[Prompt]:
    """A companion, who is far away at one of the other two places."""
    places = list(PLACES)
    return [replace(each, size="far", place=places[(places.index(each.place) + turn) % 3]) for each in prompts]


def run_one(plan: Plan, album: Album, seed: int) -> dict[str, float]:
    """Train, draw, score and keep one result; what is there is not done again."""
    told = (_VERSION, plan.base.identity, plan.setup, album.identity, seed)
    path = plan.directory / "album" / f"{hashlib.sha256(repr(told).encode()).hexdigest()[:20]}.json"
    if path.exists():
        return json.loads(path.read_text("utf-8"))
    laboratory = open_laboratory(plan)
    result = score_album(laboratory, train_album(laboratory, album, seed), seed)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, result)
    print(album.name, seed, result, flush=True)
    return result


def table_of(results: Results) -> str:
    """Markdown: medians over seeds, and the paired difference from `each for herself`."""
    lines = ["| contender | " + " | ".join(SCORES) + " |", "|---" * (1 + len(SCORES)) + "|"]
    for name, values in results.items():
        cells: list[str] = []
        for score in SCORES:
            cell = f"{statistics.median(each[score] for each in values.values()):.3f}"
            if name != REFERENCE:
                mine, theirs = ({seed: each[score] for seed, each in results[who].items()} for who in (name, REFERENCE))
                apart = paired_difference(mine, theirs)
                text = f"{apart.median:+.3f} [{apart.low:+.3f}, {apart.high:+.3f}]"
                cell += f" (**{text}**)" if apart.certain else f" ({text})"
            cells.append(cell)
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def csv_of(results: Results) -> str:
    """One line for each contender and seed."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(("contender", "seed", *SCORES))
    for name, values in results.items():
        writer.writerows((name, seed, *(f"{each[score]:.4f}" for score in SCORES)) for seed, each in values.items())
    return text.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--workers", type=int, default=2, help="processes of one thread each")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    plan = Plan((), arguments.seeds, BaseConfig(), SETUP, _ROOT / "build" / "leakage")
    load_base(plan.base, plan.directory, print)
    tasks = [(album, seed) for seed in range(plan.seeds) for album in ALBUMS]
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(arguments.workers, spawn, initializer=open_laboratory, initargs=(plan,)) as pool:
        scored = list(pool.map(partial(run_one, plan), *zip(*tasks, strict=True)))
    results: Results = {album.name: {} for album in ALBUMS}
    for (album, seed), values in zip(tasks, scored, strict=True):
        results[album.name][seed] = values
    write_text(_ROOT / "docs" / "leakage_two_people.csv", csv_of(results))
    page = _ROOT / "docs" / "leakage.md"
    write_text(page, with_table(page.read_text("utf-8"), table_of(results), *MARKS))
    print(table_of(results))


if __name__ == "__main__":
    main()
