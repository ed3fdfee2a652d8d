"""What Build Masks costs when one tier weight changes, and how soon it stops when it is interrupted.

    python -m benchmarks.build_masks [--photographs 100] [--interrupts 10] [--megapixels 24]

The demonstration photographs (2.5 megapixels, two to five people each), each copy cropped by a little more, so that no
two are the same picture. The first run segments them, the second makes the masks of another hair weight from the parts
that were kept. Then runs over the same photographs, and over some enlarged to `--megapixels`, are interrupted at random
moments of their work, as ComfyUI interrupts them: when they next say how far they are.
"""

from __future__ import annotations

import argparse
import os
import random
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
from maskloss.core.bundled.part_segmenter import BundledPartSegmenter
from maskloss.core.bundled.registry import bundled_directory
from maskloss.core.dataset.items import Dataset, DatasetItem, LoadSettings
from maskloss.core.images import load_image
from maskloss.core.masks.build_masks import Reuse, build_masks
from maskloss.core.masks.each_item import ItemWork
from maskloss.core.parts.tiers import TierWeights
from maskloss.core.workers import worker_count
from PIL import Image

SAMPLES = [bundled_directory() / "photographs" / f"sample{number}.jpg" for number in range(1, 7)]
_LATEST_S = 8.0
_ENLARGED = 8  # more than are worked on before the latest interrupt


class Stop(BaseException):
    """As ComfyUI's interrupt: no Exception."""


class Interruptible:
    """A Progress that raises Stop once the moment has come."""

    def __init__(self, after_s: float) -> None:
        self.asked_at: float | None = None
        self._timer = threading.Timer(after_s, self._ask)

    def _ask(self) -> None:
        self.asked_at = time.perf_counter()

    def update(self, done: int, total: int, text: str = "", preview_HWC: np.ndarray | None = None) -> None:
        if self._timer.ident is None:
            self._timer.start()  # the work has begun
        if self.asked_at is not None:
            raise Stop


def photographs(folder: Path, count: int, megapixels: float | None = None) -> Dataset:
    """`count` pictures cut from the samples, at the samples' size or enlarged."""
    folder.mkdir()
    pictures = [load_image(path)[0] for path in SAMPLES]
    items: list[DatasetItem] = []
    for number in range(count):
        rgb_HWC = pictures[number % len(pictures)]
        picture = Image.fromarray(rgb_HWC[number // len(pictures) :])
        if megapixels is not None:
            scale = (megapixels * 1e6 / (picture.width * picture.height)) ** 0.5
            picture = picture.resize((round(picture.width * scale), round(picture.height * scale)))
        path = folder / f"{number:04d}.jpg"
        picture.save(path, quality=92)
        items.append(DatasetItem(path.stem, path, LoadSettings()))
    return Dataset(tuple(items))


def change_one_weight(folder: Path, dataset: Dataset, segmenter: BundledPartSegmenter) -> None:
    print("| run | segmented | seconds |\n|---|---|---|")
    spent: list[float] = []
    for name, tiers in (("first", TierWeights()), ("hair 100 instead of 80", TierWeights(hair=100))):
        begun = time.perf_counter()
        _, report = build_masks(
            dataset, segmenter, tiers, folder / f"masks {tiers.hair}", reuse=Reuse(parts_directory=folder / "parts")
        )
        spent.append(time.perf_counter() - begun)
        print(f"| {name} | {report['segmented']} of {len(dataset.items)} | {spent[-1]:.1f} |", flush=True)
    kept = sum(path.stat().st_size for path in (folder / "parts").rglob("*.parts"))
    share, kib = spent[1] / spent[0], kept / len(dataset.items) / 1024
    print(f"\nThe second takes {share:.3f} of the first; {kib:.0f} KiB of parts are kept for a photograph.")


def interrupt(folder: Path, dataset: Dataset, segmenter: BundledPartSegmenter, after_s: float) -> float | None:
    """Seconds from the interrupt to the end of Build Masks; None where it was done before."""
    progress = Interruptible(after_s)
    try:
        build_masks(dataset, segmenter, TierWeights(), folder, work=ItemWork(progress=progress))
    except Stop:
        assert progress.asked_at is not None
        return time.perf_counter() - progress.asked_at
    return None


def interrupts(folder: Path, name: str, dataset: Dataset, segmenter: BundledPartSegmenter, count: int) -> None:
    moments = random.Random(0)
    waits: list[float] = []
    for number in range(count):
        waited = interrupt(folder / f"{name} {number}", dataset, segmenter, moments.uniform(0.2, _LATEST_S))
        if waited is not None:
            waits.append(waited)
    waits.sort()
    listed = " ".join(f"{waited:.2f}" for waited in waits)
    print(f"| {name} | {len(waits)} | {listed} |", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Another weight, and interrupts, of Build Masks.")
    parser.add_argument("--photographs", type=int, default=100)
    parser.add_argument("--interrupts", type=int, default=10)
    parser.add_argument("--megapixels", type=float, default=24.0)
    chosen = parser.parse_args()
    segmenter = BundledPartSegmenter()
    segmenter.segment(load_image(SAMPLES[0])[0])  # the nets are loaded
    print(f"{worker_count(segmenter)} photographs at once; load of the machine {os.getloadavg()[0]:.1f}\n")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        if chosen.photographs:
            change_one_weight(folder, photographs(folder / "own", chosen.photographs), segmenter)
        if chosen.interrupts:
            print("\n| photographs | interrupts | seconds until it stopped |\n|---|---|---|")
            # Enough of them, so that none is done before it is interrupted.
            own = photographs(folder / "samples", 60)
            interrupts(folder, "2.5 megapixels", own, segmenter, chosen.interrupts)
            large = photographs(folder / "large", _ENLARGED, chosen.megapixels)
            interrupts(folder, f"{chosen.megapixels:g} megapixels", large, segmenter, chosen.interrupts)


if __name__ == "__main__":
    main()
