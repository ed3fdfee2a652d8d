"""The trials of `benchmarks/torture.py` in which something happens meanwhile: a full disk, a folder that is closed,
files that change, and the process killed. Afterwards the disturbance is gone, and the same step makes what it makes
undisturbed.
"""

from __future__ import annotations

import ctypes
import multiprocessing
import os
import resource
import shutil
import subprocess
import sys
import time
from collections.abc import Generator
from contextlib import contextmanager
from functools import cache as once
from functools import partial
from pathlib import Path
from random import Random
from tempfile import mkdtemp
from typing import Any

import cv2
import numpy as np
import torch
from maskloss.core.errors import UserError
from maskloss.core.images import load_image
from PIL import Image

from . import torture_files as files
from . import torture_steps as steps
from .torture_steps import Trial, expect

COUNT = 4
# A killed process is waited for, however busy the machine is.
SECONDS = 600
_PAUSE = 0.004
_CONTEXT = multiprocessing.get_context("forkserver")
_CONTEXT.set_forkserver_preload([__name__])


def do_cache(root: Path, out: Path, pause: float = 0.0) -> None:
    steps.cache(steps.dataset(root), out, steps.Encoder(pause))


def do_merge(root: Path, out: Path, pause: float = 0.0) -> None:
    steps.merge(steps.dataset(root), out)


def do_build(root: Path, out: Path, pause: float = 0.0) -> None:
    steps.build(root, out, steps.Red(pause))


def do_train(root: Path, out: Path, pause: float = 0.0) -> None:
    steps.train(root, out, 3)


WORK = {"caching": do_cache, "merging": do_merge, "mask building": do_build, "training": do_train}


def killed(random: Random, root: Path, what: str) -> None:
    """kill -9 in the middle of it; whatever has its final name is whole, and the next run completes."""
    base, expected = _undisturbed(what)
    out = root / "out"
    ready = _CONTEXT.Event()
    process = _CONTEXT.Process(target=_alone, args=(ready, what, base, out), daemon=True)
    process.start()
    while not ready.wait(0.1) and process.is_alive():
        pass
    # By the files that are there and not by the clock, so that a slow machine is caught in the middle as well.
    enough = random.randrange(len(_finished(expected)) + 1)
    while len(_finished(out)) < enough and process.is_alive():
        time.sleep(0.0005)
    time.sleep(random.uniform(0, 2 * _PAUSE))
    process.kill()
    process.join(SECONDS)
    steps.expect_whole(out)
    WORK[what](base, out)
    _expect_same(what, out, expected)


def full_disk(random: Random, root: Path) -> None:
    """No file may grow beyond some bytes, or the disk has no room; what was there before stays whole."""
    what = random.choice(sorted(WORK))
    base, expected = _undisturbed(what)
    again = random.random() < 0.4
    with _small_disk(random, root, expected if again else None) as out:
        if again:
            shutil.copytree(expected, out, dirs_exist_ok=True)
            for victim in random.sample(_finished(out), 2):
                victim.unlink()
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (random.choice((0, 100, 1000, 4000, 30_000)), limits[1]))
        refused = None
        try:
            WORK[what](base, out)
        except UserError as error:
            refused = error
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        steps.expect_whole(out)
        steps.expect_tidy(out)
        roomy = root / "roomy"
        shutil.copytree(out, roomy)
        if refused is None:
            _expect_same(what, roomy, expected)
            return
    if what == "training":
        shutil.rmtree(roomy)  # the paths of its cache are those of the folder that was full
    WORK[what](base, roomy)
    _expect_same(what, roomy, expected)
    raise refused


def closed_folder(random: Random, root: Path) -> None:
    """The photographs on a read-only disk are read; an output there is refused, and nothing of it changes."""
    what = random.choice(sorted(WORK))
    base, expected = _undisturbed(what)
    mine = root / "base"
    shutil.copytree(base, mine, ignore=lambda *_: ["out"])
    out = root / "out"
    out.mkdir()
    closed = random.choice((mine, out, root))
    with _without_privileges():
        folders = [closed, *(path for path in closed.rglob("*") if path.is_dir())]
        for folder in folders:
            folder.chmod(0o555)
        try:
            WORK[what](mine, out)
        finally:
            for folder in folders:
                folder.chmod(0o755)
            steps.expect_tidy(out)
    _expect_same(what, out, expected)


def changing_files(random: Random, root: Path) -> None:
    """A photograph, mask or caption is replaced, cut off, deleted or renamed in the middle; nothing stale stays."""
    steps.place(root, 3, random.getrandbits(30))
    out = root / "out"
    left = random.randrange(3)

    def strike() -> None:
        nonlocal left
        left -= 1
        if left == -1:
            _change(random, root)

    class Struck(steps.Encoder):
        def encode(self, rgb_BTHWC: torch.Tensor) -> torch.Tensor:
            strike()
            return super().encode(rgb_BTHWC)

    class StruckRed(steps.Red):
        def segment(self, rgb_HWC: np.ndarray):
            strike()
            return super().segment(rgb_HWC)

    caching = random.random() < 0.6
    refused = None
    try:
        steps.cache(steps.dataset(root), out, Struck()) if caching else steps.build(root, out, StruckRed())
    except UserError as error:
        refused = error
    steps.expect_tidy(out)
    again = root / "fresh"
    if caching:
        mended = steps.cache(steps.dataset(root), out)
        steps.expect_same_cache(mended, steps.cache(steps.dataset(root), again))
        expect(not mended.stale_entries, "stale after caching again")
    else:
        steps.build(root, out)
        steps.build(root, again)
        for path in again.rglob("*.png"):
            same = np.array_equal(load_image(path)[0], load_image(out / path.relative_to(again))[0])
            expect(same, f"the mask {path.name} is of a photograph that is no more")
    if refused is not None:
        raise refused


def _change(random: Random, root: Path) -> None:
    victim = random.choice(sorted(path for path in root.rglob("p0*") if path.parent.name in ("set", "masks")))
    how = random.choice(("replace", "cut", "delete", "rename", "touch"))
    if how == "delete":
        victim.unlink()
    elif how == "rename":
        victim.rename(victim.with_name(f"q{victim.name}"))
    elif how == "touch":
        os.utime(victim)
    elif victim.suffix == ".txt":
        victim.write_text("another caption" if how == "replace" else "")
    elif how == "cut":
        content = victim.read_bytes()
        victim.write_bytes(content[: len(content) // 2])
    else:
        with Image.open(victim) as image:
            mode, size = image.mode, image.size
        Image.fromarray(files.pixels(random)).resize(size).convert(mode).save(victim)


@once
def _undisturbed(what: str) -> tuple[Path, Path]:
    """A dataset, and what `what` makes of it, once for a process."""
    root = Path(mkdtemp(prefix="maskloss-torture-base-"))
    steps.place(root, COUNT)
    WORK[what](root, root / "out")
    return root, root / "out"


def _alone(ready: Any, what: str, root: Path, out: Path) -> None:
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    ready.set()
    WORK[what](root, out, _PAUSE)


def _finished(out: Path) -> list[Path]:
    return sorted(path for path in out.rglob("*") if path.is_file() and not path.name.startswith("."))


def _expect_same(what: str, out: Path, expected: Path) -> None:
    steps.expect_tidy(out)
    if what == "caching":
        steps.expect_same_cache(steps.all_of(out), steps.all_of(expected))
    elif what == "training":
        for name in ("lora.safetensors", "saved_00001_.safetensors"):
            found, made = sorted(out.rglob(name)), sorted(expected.rglob(name))
            expect(len(found) == len(made), f"{name} is missing")
            for mine, its in zip(found, made, strict=True):
                steps.expect_same_lora(mine, its)
    else:
        for path in expected.rglob("*.png"):
            mine = out / path.relative_to(expected)
            expect(mine.is_file() and mine.read_bytes() == path.read_bytes(), f"{path.name} is another")


@contextmanager
def _small_disk(random: Random, root: Path, held: Path | None) -> Generator[Path]:
    """A folder; where this process may mount one, half the times a disk of its own of a few pages, besides those for
    what is in `held`."""
    out = root / "out"
    out.mkdir()
    pages = 0 if held is None else sum(path.stat().st_size // 4096 + 1 for path in held.rglob("*"))
    size = 4 * pages + random.choice((8, 16, 40, 120))
    mounting = ["mount", "-t", "tmpfs", "-o", f"size={size}k", "tmpfs", str(out)]
    mounted = (
        sys.platform == "linux" and os.geteuid() == 0 and random.random() < 0.5
        and subprocess.run(mounting, capture_output=True, check=False).returncode == 0
    )  # fmt: skip
    try:
        yield out
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(out)], capture_output=True, check=False)


@contextmanager
def _without_privileges() -> Generator[None]:
    """The superuser's right to write where nobody may is laid down meanwhile; others have none."""
    if sys.platform != "linux" or os.geteuid() != 0:
        yield
        return
    libc = ctypes.CDLL(None, use_errno=True)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    before, without = (ctypes.c_uint32 * 6)(), (ctypes.c_uint32 * 6)()
    libc.capget(header, before)
    without[:] = before[:]
    without[0] &= ~0b110  # CAP_DAC_OVERRIDE, CAP_DAC_READ_SEARCH; the rest is permitted still
    libc.capset(header, without)
    try:
        yield
    finally:
        libc.capset(header, before)


TRIALS: dict[str, Trial] = {
    "full disk": full_disk,
    "closed folders": closed_folder,
    "files that change": changing_files,
    **{f"kill -9 while {what}": partial(killed, what=what) for what in WORK},
}
