"""Work for processes of their own, which tests start at once, kill, or give a full disk.

They come from a fork server that has loaded everything but computed nothing: forking the test's own process would take
torch's threads along.
"""

from __future__ import annotations

import multiprocessing
import resource
import time
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from maskloss.core.cache.latents import cache_latents
from maskloss.core.cache.text import cache_text
from maskloss.core.dataset.items import Dataset, LoadSettings
from maskloss.core.dataset.scan import DatasetConfig, scan_dataset
from maskloss.core.dataset.shard import Shard
from maskloss.core.demo.encoders import DemoLatentEncoder, DemoTextEncoder
from maskloss.core.files import write_text
from maskloss.core.masks import ledger as ledger_module
from maskloss.core.masks.build_masks import build_masks
from maskloss.core.masks.ledger import open_ledger
from maskloss.core.masks.merge_alpha import merge_dataset_alpha
from maskloss.core.parts.part_map import SCHEMES, PartMap
from maskloss.core.parts.tiers import TierWeights

_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload(["tests.core.cache.processes"])
# Only for what never comes: nothing is measured by it.
SECONDS = 600


class SlowEncoder(DemoLatentEncoder):
    """The demo autoencoder, a few milliseconds slower."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def encode(self, rgb_BTHWC: torch.Tensor) -> torch.Tensor:
        time.sleep(self._seconds)
        return super().encode(rgb_BTHWC)


def folder_dataset(root: Path, part: slice = slice(None)) -> Dataset:
    """The photographs in `root`/set with their masks in `root`/masks."""
    settings = LoadSettings(resolution=(64, 64))
    config = DatasetConfig(root / "set", root / "masks", settings=settings)
    return Dataset(scan_dataset(config)[0].items[part])


def cache_it(root: Path, directory: Path, seconds: float, shard: Shard | None, part: slice) -> None:
    dataset = folder_dataset(root, part)
    if shard is not None:
        dataset = shard.take(dataset)
    cache, _ = cache_latents(dataset, SlowEncoder(seconds), directory, shard=shard)
    cache_text(cache, DemoTextEncoder())


class RedSegmenter:
    """Everything whose red is above a half is face; it takes a few milliseconds."""

    name = "red"
    identity = "red-1"
    approximate = True

    def segment(self, rgb_HWC: np.ndarray) -> PartMap:
        time.sleep(0.02)
        return PartMap((rgb_HWC[..., 0] > 127).astype(np.uint8), SCHEMES["maskloss_4"])


def build_it(root: Path, directory: Path) -> None:
    dataset, _ = scan_dataset(DatasetConfig(root / "set"))
    build_masks(dataset, RedSegmenter(), TierWeights(), directory)


def merge_it(root: Path, directory: Path) -> None:
    merge_dataset_alpha(folder_dataset(root), directory)


def note_it(directory: Path, names: list[str], most_noted: int = ledger_module.MOST_NOTED) -> None:
    """As a step does that fills a folder; its journal is joined after `most_noted` names."""
    ledger_module.MOST_NOTED = most_noted
    with open_ledger(directory, "Step") as ledger:
        for name in names:
            target = directory / f"{name}.png"
            state = ledger.state(name, target, "one")
            ledger.begin(name, "one")
            write_text(target, name)
            ledger.finish(name, "one", target, {"state": state.value})


def with_file_limit(bytes_: int, pipe: Any, work: Callable[..., None], *arguments: Any) -> None:
    """Send what `work` raises when no file may grow beyond `bytes_`, as on a full disk."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (bytes_, bytes_))
    try:
        work(*arguments)
    except Exception as error:  # noqa: BLE001 - told to the test
        pipe.send((type(error).__name__, str(error)))
    else:
        pipe.send(("", ""))


def started(work: Callable[..., None], *arguments: Any) -> BaseProcess:
    """`work` in a process of its own that has reached its first line."""
    ready = _CONTEXT.Event()
    process = _CONTEXT.Process(target=_run, args=(ready, work, arguments), daemon=True)
    process.start()
    assert ready.wait(SECONDS)
    return process


def pipe() -> tuple[Any, Any]:
    """(read, write) between processes."""
    return _CONTEXT.Pipe(duplex=False)


def _run(ready: Any, work: Callable[..., None], arguments: tuple[Any, ...]) -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    ready.set()
    work(*arguments)
