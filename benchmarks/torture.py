"""What thousands of random inputs do to us: damaged files, strange names, any prompt, kill -9, full disks.

    python -m benchmarks.torture [--inputs 10000] [--seed 0] [--processes 2] [--kind NAME [--number N]]

Each input is drawn from the seed, its kind and its number, and goes through the real steps with the demo models. The
table says of each kind how many were tried, went well, were refused by an error of ours for the user (exit code 2),
crashed, and lost something: a file that was there, or the right result of the next run. Crashes follow with what
repeats them. Work is done in processes of their own, so that one that dies is a line of the table too. What is written
goes to a temporary directory; nothing is fetched. Ends with 1 where anything crashed or was lost.
"""

from __future__ import annotations

import argparse
import json
import os
import queue
import subprocess
import sys
import threading
import time
import traceback
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO

RUN = "python -m benchmarks.torture"
ROOT = Path(__file__).parents[1]
FINE, REFUSED, CRASHED, LOST = "fine", "refused", "crashed", "lost"
OUTCOMES = (FINE, REFUSED, CRASHED, LOST)
# Only for what never comes: nothing is measured by it.
SECONDS_TO_HANG = 900


# Of every kind its part of all inputs; here, so that whoever only counts loads nothing.
SHARES = {
    "metadata": 0.22,
    "pictures": 0.22,
    "masks": 0.12,
    "videos": 0.07,
    "names": 0.06,
    "prompts": 0.06,
    "prompt files": 0.05,
    "states": 0.03,
    "LoRA files": 0.02,
    "cache files": 0.03,
    "ledgers": 0.03,
    "logs": 0.01,
    "captions, dataset files": 0.03,
    "full disk": 0.015,
    "closed folders": 0.015,
    "files that change": 0.03,
    "kill -9 while caching": 0.01,
    "kill -9 while merging": 0.01,
    "kill -9 while mask building": 0.01,
    "kill -9 while training": 0.005,
}


@dataclass(frozen=True)
class Result:
    """How one input ended, and in one line why."""

    kind: str
    number: int
    outcome: str
    text: str = ""


def run(inputs: int, seed: int = 0, processes: int = 2, kind: str = "", number: int | None = None) -> list[Result]:
    """Try so many inputs; of every kind at least one."""
    if kind:
        jobs = [(kind, one) for one in (range(inputs) if number is None else [number])]
    else:
        whole = sum(SHARES.values())
        jobs = [(name, one) for name, share in SHARES.items() for one in range(max(1, round(inputs * share / whole)))]
    results: queue.Queue[Result] = queue.Queue()
    threads = [
        threading.Thread(target=_supervise, args=(jobs[at::processes], seed, results)) for at in range(processes)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted((results.get() for _ in range(results.qsize())), key=lambda one: (one.kind, one.number))


def table(results: Sequence[Result]) -> str:
    """Markdown, a line per kind in their order, and their sum."""
    counts = Counter((one.kind, one.outcome) for one in results)
    lines = [f"| kind | tried | {FINE} | refused cleanly | {CRASHED} | {LOST} |", "|---|---|---|---|---|---|"]
    for kind in (*(kind for kind in SHARES if any(one.kind == kind for one in results)), "**all**"):
        row = [sum(n for (name, end), n in counts.items() if kind in (name, "**all**") and end == o) for o in OUTCOMES]
        lines.append(f"| {kind} | {sum(row)} | {' | '.join(map(str, row))} |")
    return "\n".join(lines)


def faults(results: Sequence[Result], seed: int) -> str:
    """What crashed or lost something, each with what repeats it."""
    return "\n\n".join(
        f"{one.outcome}: {RUN} --seed {seed} --kind {one.kind!r} --number {one.number}\n{one.text}"
        for one in results
        if one.outcome in (CRASHED, LOST)
    )


def _supervise(jobs: list[tuple[str, int]], seed: int, results: queue.Queue[Result]) -> None:
    """A worker for these jobs, and another one from where it died."""
    done = 0
    while done < len(jobs):
        # What a killed process leaves is swept away with it.
        with TemporaryDirectory(prefix="maskloss-torture-", ignore_cleanup_errors=True) as folder:
            ended = _from_one_worker(jobs[done:], seed, folder, results)
        done += ended.tried
        if done < len(jobs):
            results.put(Result(*jobs[done], CRASHED, ended.text))
            done += 1


@dataclass(frozen=True)
class _End:
    tried: int
    text: str


def _from_one_worker(jobs: list[tuple[str, int]], seed: int, folder: str, results: queue.Queue[Result]) -> _End:
    """Until it is done, or dead; everything temporary lies in `folder`."""
    worker = subprocess.Popen(
        [sys.executable, "-m", "benchmarks.torture", "--worker", "--seed", str(seed)],
        cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "TMPDIR": folder},
    )  # fmt: skip
    assert worker.stdin is not None
    assert worker.stdout is not None
    assert worker.stderr is not None
    said: list[str] = []
    listening = threading.Thread(target=_keep_last, args=(worker.stderr, said))
    listening.start()
    worker.stdin.write(json.dumps(jobs))
    worker.stdin.close()
    tried = 0
    guard = threading.Timer(SECONDS_TO_HANG, worker.kill)
    guard.start()
    for line in worker.stdout:
        results.put(Result(**json.loads(line)))
        tried += 1
        guard.cancel()
        guard = threading.Timer(SECONDS_TO_HANG, worker.kill)
        guard.start()
    guard.cancel()
    code = worker.wait()
    listening.join()
    return _End(tried, f"the process ended with {code}: {''.join(said[-5:])}")


def _keep_last(stream: IO[str], said: list[str]) -> None:
    for line in stream:
        said.append(line)
        del said[:-20]


def _work(seed: int) -> None:
    """Try what stdin says, and say on stdout what came of each."""
    import random
    from contextlib import redirect_stdout

    from maskloss.core.errors import UserError
    from maskloss.core.warning import collect_warnings

    from . import torture_disturbed, torture_readers, torture_trials
    from .torture_steps import Lost

    trials = {**torture_trials.TRIALS, **torture_readers.TRIALS, **torture_disturbed.TRIALS}
    jobs = json.load(sys.stdin)
    told = sys.stdout
    for kind, number in jobs:
        text, outcome = "", FINE
        with (
            TemporaryDirectory(prefix="maskloss-torture-", ignore_cleanup_errors=True) as folder,
            redirect_stdout(sys.stderr),
            collect_warnings(lambda _: None),
        ):
            try:
                trials[kind](random.Random(f"{seed} {kind} {number}"), Path(folder))
            except UserError as error:
                outcome, text = REFUSED, str(error)
            except Lost as error:
                outcome, text = LOST, str(error)
            except Exception:  # noqa: BLE001 - that is what is looked for
                outcome, text = CRASHED, "".join(traceback.format_exc().splitlines(keepends=True)[-8:])
        told.write(json.dumps({"kind": kind, "number": number, "outcome": outcome, "text": text}) + "\n")
        told.flush()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=max(1, len(os.sched_getaffinity(0))))
    parser.add_argument("--kind", default="", help="only this kind")
    parser.add_argument("--number", type=int, help="only this input of it, with what it said")
    parser.add_argument("--worker", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        _work(options.seed)
        return 0
    began = time.monotonic()
    processes = 1 if options.number is not None else options.processes
    results = run(options.inputs, options.seed, processes, options.kind, options.number)
    if options.number is not None:
        print("\n".join(f"{one.outcome}: {one.text}" for one in results))
    print(table(results))
    print(f"\n{len(results)} inputs, seed {options.seed}, {time.monotonic() - began:.0f} s\n")
    found = faults(results, options.seed)
    print(found)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
