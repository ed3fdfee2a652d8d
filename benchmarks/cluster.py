"""What a Ray cluster costs against one process with threads, and whether killed workers lose anything.

    python -m benchmarks.cluster [--photographs 300] [--kills 10] [--workers 2] [--seed 0]

The steps of `workflows/api/demo.json` up to the captions, with the bundled models, on photographs out of packages, cut
and scaled differently, and on generated pictures without anybody. Each run begins in an empty folder of the same name:
`maskloss run` as it is, `maskloss cluster --address local`, and the latter again while its workers are killed at random
moments of the time that this took. What the runs have written is compared byte for byte, but for the times of change of
files, which index and entries note.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
from maskloss.core.bundled.install import copy_demo_photographs
from maskloss.core.bundled.registry import bundled_directory
from maskloss.core.images import load_image
from PIL import Image

from benchmarks.photographs import DIRECTORY

DEMO = Path(__file__).resolve().parent.parent / "workflows" / "api" / "demo.json"
STEPS = ("1", "2", "3", "4", "5", "6", "7", "8", "9", "11", "12")  # of the demo, up to the captions
PIXELS = 1_000_000
_RANDOM_SHARE = 0.1  # of pictures without anybody
_POLL_S = 0.05
_LOOK_S = 0.2


@dataclass(frozen=True)
class Run:
    """How a run went: `seconds`, those that its processes had of a core, `killed` workers, what it wrote by path, and
    what it said."""

    seconds: float
    core_seconds: float
    killed: int
    files: dict[str, str]
    said: str
    code: int


def place_photographs(folder: Path, count: int, seed: int, pixels: int = PIXELS) -> None:
    """`count` photographs with captions in `folder`, no two alike."""
    random = Random(seed)
    paths = [*sorted((bundled_directory() / "photographs").glob("sample*.jpg")), *sorted(DIRECTORY.glob("*.jpg"))]
    pictures = [load_image(path)[0] for path in paths]
    folder.mkdir(parents=True)
    for number in range(count):
        if random.random() < _RANDOM_SHARE:
            noise = np.random.default_rng(number).integers(0, 256, (12, 16, 3), dtype=np.uint8)
            picture = Image.fromarray(noise).resize((int((pixels * 4 / 3) ** 0.5), int((pixels * 3 / 4) ** 0.5)))
        else:
            picture = Image.fromarray(random.choice(pictures))
            left, top = (random.uniform(0, 0.1) * side for side in picture.size)
            picture = picture.crop((round(left), round(top), *picture.size))
            scale = (pixels / (picture.width * picture.height)) ** 0.5
            picture = picture.resize((round(picture.width * scale), round(picture.height * scale)))
        picture.save(folder / f"p{number:04d}.jpg", quality=92)
        (folder / f"p{number:04d}.txt").write_text(f"a photograph, number {number % 20}", encoding="utf-8")


def poisoned(png: bytes) -> bytes:
    """A PNG file of which nothing is wrong before its pixels are read."""
    middle = len(png) // 2
    return png[:middle] + bytes(byte ^ 0x55 for byte in png[middle : middle + 16]) + png[middle + 16 :]


def prompt_for(photographs: str) -> dict[str, Any]:
    """The demo's prompt up to the captions, for another folder of photographs."""
    prompt = {key: node for key, node in json.loads(DEMO.read_text(encoding="utf-8")).items() if key in STEPS}
    prompt["6"]["inputs"]["directory"] = photographs
    prompt["8"]["inputs"]["on_no_match"] = "largest"  # most of them show other people
    return prompt


def run_command(arguments: Sequence[str], root: Path, kill_at_s: Sequence[float] = ()) -> Run:
    """`maskloss ARGUMENTS` in `root`, writing into `root`/out, which is emptied first. At each of `kill_at_s`, seconds
    from the beginning, or as soon afterwards as one works, a worker is killed."""
    out = root / "out"
    shutil.rmtree(out, ignore_errors=True)
    out.mkdir()
    command = [sys.executable, "-m", "maskloss", *arguments, "--input", str(root), "--output", str(out)]
    begun = time.perf_counter()
    killed: list[int] = []
    ticks: dict[int, int] = {}
    with open(root / "said.txt", "w+", encoding="utf-8") as said:
        process = subprocess.Popen(command, cwd=root, stdout=said, stderr=subprocess.STDOUT)
        killer = threading.Thread(target=_kill, args=(process, kill_at_s, killed))
        killer.start()
        while process.poll() is None:
            ticks.update(_ticks(process.pid))
            time.sleep(_LOOK_S)
        code = process.wait()
        seconds = time.perf_counter() - begun
        killer.join()
        said.seek(0)
        text = said.read()
    return Run(seconds, sum(ticks.values()) / os.sysconf("SC_CLK_TCK"), len(killed), digests(out), text, code)


def _kill(process: subprocess.Popen[bytes], kill_at_s: Sequence[float], killed: list[int]) -> None:
    begun = time.perf_counter()
    while process.poll() is None and len(killed) < len(kill_at_s):
        time.sleep(_POLL_S)
        if time.perf_counter() - begun < sorted(kill_at_s)[len(killed)]:
            continue
        working = [worker for worker in workers_of(process.pid) if worker not in killed]
        if working:
            worker = working[len(killed) % len(working)]
            os.kill(worker, signal.SIGKILL)
            killed.append(worker)


def workers_of(ancestor: int) -> list[int]:
    """The processes below `ancestor` that are Ray's workers in the middle of a piece."""
    return [process for process, (title, _) in _below(ancestor).items() if b"RayWorker.do_sent" in title]


def _ticks(ancestor: int) -> dict[int, int]:
    """How much of a core each process below `ancestor`, and itself, has had so far."""
    return {process: ticks for process, (_, ticks) in _below(ancestor).items()}


def _below(ancestor: int) -> dict[int, tuple[bytes, int]]:
    parents: dict[int, int] = {}
    found: dict[int, tuple[bytes, int]] = {}
    for folder in Path("/proc").glob("[0-9]*"):
        try:
            state = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()
            title = (folder / "cmdline").read_bytes()
        except OSError:
            continue  # it has ended
        parents[int(folder.name)] = int(state[1])
        found[int(folder.name)] = title, int(state[11]) + int(state[12])
    return {each: told for each, told in found.items() if each == ancestor or ancestor in _line(each, parents)}


def _line(process: int, parents: dict[int, int]) -> Iterator[int]:
    while process in parents:
        process = parents[process]
        yield process


def digests(folder: Path) -> dict[str, str]:
    """Of every file below `folder`, by its path: the hash of its bytes without times of change."""
    found = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            found[path.relative_to(folder).as_posix()] = hashlib.sha256(_timeless(path)).hexdigest()
    return found


def _timeless(path: Path) -> bytes:
    content = path.read_bytes()
    if path.name == "maskloss_index.json":
        stored = json.loads(content)
        del stored["sources"]["mtime_ns"]
        return json.dumps(stored).encode()
    if path.suffix == ".safetensors":
        length = int.from_bytes(content[:8], "little")
        header = json.loads(content[8 : 8 + length])
        seen = json.loads(header["__metadata__"].pop("maskloss_sources", "[]"))
        header["__metadata__"]["seen"] = json.dumps([[*each[:3], each[-1]] for each in seen])
        return json.dumps(header, sort_keys=True).encode() + content[8 + length :]
    return content


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--photographs", type=int, default=300)
    parser.add_argument("--kills", type=int, default=10)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        copy_demo_photographs(root)
        place_photographs(root / "set", options.photographs, options.seed)
        (root / "prompt.json").write_text(json.dumps(prompt_for("set")), encoding="utf-8")
        cluster = ["cluster", "prompt.json", "--address", "local", "--workers", str(options.workers)]
        runs = {
            "maskloss run": run_command(["run", "prompt.json"], root),
            "maskloss cluster": run_command(cluster, root),
        }
        random, whole_s = Random(options.seed), runs["maskloss cluster"].seconds
        times = [random.uniform(0, whole_s) for _ in range(options.kills)]
        runs[f"{options.kills} kills"] = run_command(cluster, root, times)
        print(f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores at the end\n")
        columns = ("run", "seconds", "seconds of a core", "killed", "files", "other bytes", "missing", "too many")
        print(f"| {' | '.join(columns)} |\n|{'---|' * len(columns)}")
        first = runs["maskloss run"].files
        for title, run in runs.items():
            other = sum(first[path] != digest for path, digest in run.files.items() if path in first)
            missing, more = len(first.keys() - run.files.keys()), len(run.files.keys() - first.keys())
            row = (
                title,
                f"{run.seconds:.1f}",
                f"{run.core_seconds:.1f}",
                run.killed,
                len(run.files),
                other,
                missing,
                more,
            )
            print(f"| {' | '.join(map(str, row))} |")
        for title, run in runs.items():
            print(f"\n{title}: exit code {run.code}")
            told = re.compile(r" s, | s$|replaced|memory|failed|Error")
            print("\n".join(line for line in run.said.splitlines() if told.search(line)))
        largest = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        print(f"\npeak memory of the largest process: {largest:.0f} MiB")


if __name__ == "__main__":
    main()
