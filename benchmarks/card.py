"""What training costs on a card: published architectures at full size with random weights, in under nine minutes.

    COMFYUI_PATH=/path/to/ComfyUI /path/to/its/python -m benchmarks.card [--device cuda] [--only krea-2] [--tiny]

Krea 2's architecture at 1024², Z-Image, SDXL, Flux and WAN 2.2 14B, with the base in bf16, fp8, int8 and 4 bits, blocks
in main memory and compiled; before these, whether a card and the CPU learn the same. Unattended: every part is a
process of its own with a time of its own, a case that fails is a row with the reason, and what comes after goes on.
Meanwhile another process plans the memory of each case, without the card. Prints a Markdown table beside published
figures; with --tiny and --device cpu the same of tiny models, on any machine. Nothing is fetched.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WHOLE_S = 525
PART_NAMES = ("agreement", "krea-2", "z-image", "sdxl", "flux-1-dev", "wan2.2-14b")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda")
    parser.add_argument("--tiny", action="store_true", help="tiny models of the same kinds")
    parser.add_argument("--only", action="append", choices=PART_NAMES, help="this part; may be given several times")
    parser.add_argument("--seconds", type=int, default=WHOLE_S, help="for everything")
    parser.add_argument("--part", choices=PART_NAMES, help=argparse.SUPPRESS)
    parser.add_argument("--plans", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    names = options.only or PART_NAMES
    if options.part:
        _be_part(options)
    elif options.plans:
        _be_planner(options, names)
    else:
        _run_all(options, names)


def _run_all(options: argparse.Namespace, names: Sequence[str]) -> None:
    from .card_rows import Row, read_row, table

    end, rows = time.monotonic() + options.seconds, list[Row]()
    again = [sys.executable, "-m", "benchmarks.card", "--device", options.device, *(["--tiny"] if options.tiny else [])]
    budgets = _budgets()
    with tempfile.TemporaryDirectory() as temporary:
        plans = Path(temporary) / "plans.jsonl"
        only = [word for name in names for word in ("--only", name)]
        environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
        planner = subprocess.Popen([*again, *only, "--plans", str(plans)], cwd=ROOT, env=environment)
        try:
            for name in names:
                left = end - time.monotonic()
                # How long a CPU takes nobody knows, and it is not lent by the minute.
                allowed = min(budgets[name], left) if options.device == "cuda" else left
                for line in lines_within([*again, "--part", name], allowed):
                    row = read_row(line)
                    if row is not None:
                        rows.append(row)
                        print(f"{name}: {row.case}: {row.found or row.seconds}", file=sys.stderr, flush=True)
                    elif line.startswith(ENDED):
                        rows.append(Row(name, "-", found=line[len(ENDED) :]))
            planner.wait(max(1.0, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            rows.append(Row("plan", "-", found="not all cases were planned in the time that there was"))
        finally:
            planner.kill()
            planner.wait()
        planned = dict(json.loads(line) for line in plans.read_text().splitlines()) if plans.exists() else {}
    print("\n".join(table(rows, planned)))


ENDED = "ended "


def lines_within(command: Sequence[str], seconds: float, clock: Callable[[], float] = time.monotonic) -> Iterator[str]:
    """What a process prints, until it ends or is stopped after so many seconds; then a line that begins with `ENDED`
    says so, as it does where the process fails."""
    if seconds <= 0:
        yield f"{ENDED}not begun: no time was left"
        return
    start = clock()
    # In a session of its own, so that whatever it has started ends with it.
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True, start_new_session=True)
    stopper = threading.Timer(seconds, _stop, (process,))
    stopper.start()
    try:
        assert process.stdout is not None
        yield from process.stdout
        code = process.wait()
    finally:
        stopper.cancel()
        _stop(process)
        process.wait()
    if clock() - start >= seconds:
        yield f"{ENDED}stopped after {seconds:.0f} s"
    elif code:
        yield f"{ENDED}ended with exit status {code}"


def _stop(process: subprocess.Popen[str]) -> None:
    """With all that it has started; whether it still runs or not."""
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(process.pid, signal.SIGKILL)


def _budgets() -> dict[str, int]:
    _choose_device("cpu")
    from .card_cases import PARTS

    return {name: part.seconds for name, part in PARTS.items()}


def _be_part(options: argparse.Namespace) -> None:
    _choose_device(options.device)
    import torch

    from .card_parts import Machine, part_rows

    for row in part_rows(options.part, Machine(torch.device(options.device), options.tiny)):
        print(row.line, flush=True)


def _be_planner(options: argparse.Namespace, names: Sequence[str]) -> None:
    """Write the planned peak of every case, by its key."""
    _choose_device("cpu")
    from .card_plans import planned_peaks

    with options.plans.open("w", encoding="utf-8") as file:
        for pair in planned_peaks(names, options.tiny, options.device == "cuda"):
            file.write(json.dumps(pair) + "\n")
            file.flush()


def _choose_device(device: str) -> None:
    """Before ComfyUI is imported by anything."""
    sys.path.insert(0, os.environ.get("COMFYUI_PATH", ""))
    try:
        import comfy.cli_args
    except ImportError as problem:
        sys.exit(f"Set COMFYUI_PATH to a ComfyUI checkout and use its own interpreter ({problem}).")
    comfy.cli_args.args.cpu = device == "cpu"


if __name__ == "__main__":
    main()
