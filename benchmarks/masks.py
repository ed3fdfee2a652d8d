"""How fast masks are built and one person is kept, for one and for all cores, and what memory that takes.

    python -m benchmarks.masks [--photographs 12]
    git worktree add --detach ../rival 2f683c1 && python -m benchmarks.masks --beside ../rival [--rounds 5]

The six demonstration photographs (1920 px wide, three to five people each), each copy cropped by a little more, so that
no two are the same picture. Each run is a process of its own, whose peak memory is what the system says of it. "Both"
is Build Masks, and then Keep Person on its masks, as a workflow has them. The last one of each step has twice the
photographs: memory must not grow with them. The stages are timed alone, on one core. `--beside` runs both steps of
another working tree in turn with this one's, and prints the ratios of the medians.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from statistics import median

import cv2
import torch
from maskloss.core.alpha import weights_to_uint8
from maskloss.core.bundled.found_faces import find_faces
from maskloss.core.bundled.install import DEMO_REFERENCE_FACE_INDEX
from maskloss.core.bundled.part_segmenter import BundledPartSegmenter
from maskloss.core.bundled.person_segmenter import BundledPersonSegmenter
from maskloss.core.bundled.recognizer import BundledFaceRecognizer
from maskloss.core.bundled.registry import bundled_directory
from maskloss.core.images import load_image, save_image
from maskloss.core.masks.build_masks import build_masks
from maskloss.core.masks.each_item import ItemWork
from maskloss.core.masks.keep_person import PersonOutput, keep_person
from maskloss.core.masks.person_search import PersonSearch
from maskloss.core.parts.tiers import TierWeights, weigh_parts
from maskloss.core.people.identity import Identity
from maskloss.core.people.instances import apply_instance, isolate_person
from maskloss.core.people.references import reference_identity
from maskloss.core.workers import worker_count

from .build_masks import photographs

try:
    from maskloss.core.people.decision import MatchRules, OnNoMatch
except ModuleNotFoundError:  # a rival's tree from before several people were kept
    from maskloss.core.people.identity import MatchRules, OnNoMatch  # pyright: ignore

SAMPLES = [bundled_directory() / "photographs" / f"sample{number}.jpg" for number in range(1, 7)]
REFERENCE = SAMPLES[2]
STEPS = ("BuildMasks", "KeepPerson", "Both")
ROOT = Path(__file__).parents[1]


def identity_of(recognizer: BundledFaceRecognizer) -> Identity:
    """The woman of the demonstration, from her face in another photograph."""
    pictures = [(REFERENCE.name, load_image(REFERENCE)[0])]
    return reference_identity(recognizer, pictures, DEMO_REFERENCE_FACE_INDEX)[0]


def measure(step: str, folder: Path, count: int, workers: int) -> dict[str, float]:
    """One step, or both, over `count` photographs in this process: seconds, seconds of all cores together, and the peak
    memory of the process in MiB."""
    dataset, people = photographs(folder / "photographs", count), BundledPersonSegmenter()
    recognizer = BundledFaceRecognizer()
    identity = identity_of(recognizer)
    segmenter = BundledPartSegmenter()
    segmenter.segment(load_image(SAMPLES[0])[0])  # the nets are loaded
    begun, spent = time.perf_counter(), time.process_time()
    if step != "KeepPerson":
        dataset, _ = build_masks(dataset, segmenter, TierWeights(), folder / "masks", work=ItemWork(workers=workers))
    if step != "BuildMasks":
        rules = MatchRules(on_no_match=OnNoMatch.SKIP)
        sought = (identity,) if "identities" in {each.name for each in fields(PersonSearch)} else identity
        search = PersonSearch(recognizer, sought, people, rules)  # pyright: ignore
        keep_person(dataset, search, PersonOutput(folder / "person"), ItemWork(workers=workers))
    seconds, cpu_seconds = time.perf_counter() - begun, time.process_time() - spent
    peak_mib = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {"seconds": seconds, "cpu_seconds": cpu_seconds, "peak_mib": peak_mib}


def in_child(step: str, count: int, workers: int, tree: Path = ROOT) -> dict[str, float]:
    """`measure` in a process of its own, of the pack in `tree`."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "maskloss").symlink_to(tree.resolve())
        found_first = {"PYTHONPATH": folder, "MASKLOSS_MODELS": str(bundled_directory().parent.resolve())}
        command = [sys.executable, "-m", "benchmarks.masks", "--measure", step, folder, str(count), str(workers)]
        ran = subprocess.run(
            command, check=True, stdout=subprocess.PIPE, text=True, cwd=ROOT, env={**os.environ, **found_first}
        )
        return json.loads(ran.stdout)


class Stopwatch:
    """Adds up the milliseconds that each stage takes."""

    def __init__(self) -> None:
        self.spent: dict[str, float] = {}

    @contextmanager
    def __call__(self, stage: str) -> Generator[None]:
        begun = time.perf_counter()
        yield
        self.spent[stage] = self.spent.get(stage, 0.0) + (time.perf_counter() - begun) * 1000


def stages() -> dict[str, float]:
    """Milliseconds per photograph of each stage, on one core, over the six photographs."""
    cv2.setNumThreads(1)
    torch.set_num_threads(1)
    recognizer, people, parts = BundledFaceRecognizer(), BundledPersonSegmenter(), BundledPartSegmenter()
    recognizer.detect(load_image(SAMPLES[0])[0])
    parts.segment(load_image(SAMPLES[0])[0])  # the nets are loaded
    timed = Stopwatch()
    with tempfile.TemporaryDirectory() as folder:
        for path in SAMPLES[::-1]:
            with timed("decode"):
                rgb_HWC = load_image(path)[0]
            with timed("faces"):
                find_faces(rgb_HWC)
            with timed("embedding"):  # the faces are known now, and so are the people below
                faces = recognizer.detect(rgb_HWC)
            with timed("people"):
                masks = people.segment(rgb_HWC, faces)
            with timed("parts of people"):
                found = parts.segment(rgb_HWC)
            with timed("weigh"):
                weights_HW = weigh_parts(TierWeights(), found)
            with timed("isolate one"):
                kept_HW = apply_instance(weights_HW, isolate_person(faces, masks, 0))
            with timed("write"):
                save_image(Path(folder, "mask.png"), weights_to_uint8(kept_HW))
    return {stage: spent / len(SAMPLES) for stage, spent in timed.spent.items()}


def report(count: int) -> None:
    print("| step | photographs | at once | photographs/s | peak memory |\n|---|---|---|---|---|")
    every = worker_count(BundledPartSegmenter(), BundledPersonSegmenter(), BundledFaceRecognizer())
    for step in STEPS:
        for number, workers in ((count, 1), (count, every), (2 * count, every)):
            found = in_child(step, number, workers)
            rate, peak = number / found["seconds"], found["peak_mib"]
            print(f"| {step} | {number} | {workers} | {rate:.2f} | {peak:.0f} MiB |", flush=True)
    print("\n| stage | ms per photograph, one core |\n|---|---|")
    for name, milliseconds in stages().items():
        print(f"| {name} | {milliseconds:.0f} |")


def beside(rival: Path, count: int, rounds: int) -> None:
    """Both steps of this tree and of the rival's in turn, and the ratios of the medians."""
    workers = worker_count(BundledPartSegmenter(), BundledPersonSegmenter(), BundledFaceRecognizer())
    runs: dict[str, list[dict[str, float]]] = {"rival": [], "ours": []}
    print(f"{count} photographs, {workers} at once\n\n| round | tree | seconds | of all cores | peak memory |")
    print("|---|---|---|---|---|")
    for number in range(rounds):
        for name, tree in (("rival", rival), ("ours", ROOT)):
            run = in_child("Both", count, workers, tree)
            runs[name].append(run)
            shown = f"{run['seconds']:.1f} | {run['cpu_seconds']:.1f} | {run['peak_mib']:.0f} MiB"
            print(f"| {number + 1} | {name} | {shown} |", flush=True)
    ratios = [
        median(run[key] for run in runs["ours"]) / median(run[key] for run in runs["rival"])
        for key in ("seconds", "cpu_seconds", "peak_mib")
    ]
    print("| **ours / rival** | medians | " + " | ".join(f"{ratio:.2f}" for ratio in ratios) + " |")


def main() -> None:
    parser = argparse.ArgumentParser(description="Photographs per second and memory of the two mask steps.")
    parser.add_argument("--photographs", type=int, default=12)
    parser.add_argument("--beside", type=Path, metavar="TREE", help="another working tree, whose build is the rival")
    parser.add_argument("--rounds", type=int, default=5, help="how often each runs beside the other")
    parser.add_argument("--measure", nargs=4, metavar=("STEP", "FOLDER", "COUNT", "WORKERS"), help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.measure:
        step, folder, count, workers = chosen.measure
        print(json.dumps(measure(step, Path(folder), int(count), int(workers))))
    elif chosen.beside:
        beside(chosen.beside, chosen.photographs, chosen.rounds)
    else:
        report(chosen.photographs)


if __name__ == "__main__":
    main()
