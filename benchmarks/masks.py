"""How fast masks are built and one person is kept, for one and for all cores, and what memory that takes.

    python -m benchmarks.masks [--photographs 24]

The six demonstration photographs (1920 px wide, two to five people each), copied to as many as are asked. Each run is a
process of its own, whose peak memory is what the system says of it. The second one has twice the photographs: memory
must not grow with them. The stages are timed alone, on one core.
"""

from __future__ import annotations

import argparse
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import cv2
import torch
from maskloss.core.alpha import weights_to_uint8
from maskloss.core.bundled.found_faces import find_faces
from maskloss.core.bundled.install import DEMO_REFERENCE_FACE_INDEX
from maskloss.core.bundled.part_segmenter import BundledPartSegmenter
from maskloss.core.bundled.person_segmenter import BundledPersonSegmenter
from maskloss.core.bundled.recognizer import BundledFaceRecognizer
from maskloss.core.bundled.registry import bundled_directory
from maskloss.core.dataset.items import Dataset, DatasetItem, LoadSettings
from maskloss.core.images import load_image, save_image
from maskloss.core.masks.build_masks import build_masks
from maskloss.core.masks.each_item import ItemWork
from maskloss.core.masks.keep_person import PersonOutput, keep_person
from maskloss.core.masks.person_search import PersonSearch
from maskloss.core.parts.tiers import TierWeights, weigh_parts
from maskloss.core.people.identity import Identity, MatchRules, OnNoMatch
from maskloss.core.people.instances import apply_instance, isolate_person
from maskloss.core.people.references import reference_identity
from maskloss.core.workers import worker_count

SAMPLES = [bundled_directory() / "photographs" / f"sample{number}.jpg" for number in range(1, 7)]
REFERENCE = SAMPLES[2]
STEPS = ("BuildMasks", "KeepPerson")


def identity_of(recognizer: BundledFaceRecognizer) -> Identity:
    """The woman of the demonstration, from her face in another photograph."""
    pictures = [(REFERENCE.name, load_image(REFERENCE)[0])]
    return reference_identity(recognizer, pictures, DEMO_REFERENCE_FACE_INDEX)[0]


def measure(step: str, folder: Path, count: int, workers: int) -> dict[str, float]:
    """One step over `count` photographs in this process: seconds, and the peak memory of the process in MiB."""
    items = []
    for number in range(count):
        path = folder / f"{number:04d}.jpg"
        shutil.copyfile(SAMPLES[number % len(SAMPLES)], path)
        items.append(DatasetItem(path.stem, path, LoadSettings()))
    dataset, people = Dataset(tuple(items)), BundledPersonSegmenter()
    recognizer = BundledFaceRecognizer()
    identity = identity_of(recognizer)
    segmenter = BundledPartSegmenter()
    segmenter.segment(load_image(SAMPLES[0])[0])  # the nets are loaded
    begun = time.perf_counter()
    if step == "BuildMasks":
        build_masks(dataset, segmenter, TierWeights(), folder / "masks", work=ItemWork(workers=workers))
    else:
        rules = MatchRules(on_no_match=OnNoMatch.SKIP)
        search = PersonSearch(recognizer, identity, people, rules)
        keep_person(dataset, search, PersonOutput(folder / "person"), ItemWork(workers=workers))
    seconds = time.perf_counter() - begun
    return {"seconds": seconds, "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024}


def in_child(step: str, count: int, workers: int) -> dict[str, float]:
    """`measure` in a process of its own."""
    with tempfile.TemporaryDirectory() as folder:
        command = [sys.executable, "-m", "benchmarks.masks", "--measure", step, folder, str(count), str(workers)]
        return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout)


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
            with timed("embedding"):  # the faces are remembered, and so are the people below
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


def main() -> None:
    parser = argparse.ArgumentParser(description="Photographs per second and memory of the two mask steps.")
    parser.add_argument("--photographs", type=int, default=24)
    parser.add_argument("--measure", nargs=4, metavar=("STEP", "FOLDER", "COUNT", "WORKERS"), help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.measure:
        step, folder, count, workers = chosen.measure
        print(json.dumps(measure(step, Path(folder), int(count), int(workers))))
    else:
        report(chosen.photographs)


if __name__ == "__main__":
    main()
