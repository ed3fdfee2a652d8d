"""What a masked loss buys, measured.

    python -m benchmarks.leakage            # 8 seeds, writes docs/leakage.csv, .png and the table in docs/leakage.md
    python -m benchmarks.leakage --quick    # a small base model, 2 seeds, 8 contenders, to build/leakage/quick.*

A base model learns a world of drawn figures before drawn backgrounds, once. Then each contender trains a LoRA of one
new figure that always stands before one planted background, with its own masks, loss, crops or tokens and everything
else alike, and its pictures are scored. Nothing is fetched. What is finished is kept in build/leakage: a broken-off run
goes on.
"""

from __future__ import annotations

import argparse
import resource
import time
from pathlib import Path

import torch

from .base import BaseConfig
from .contenders import CONTENDERS, QUICK
from .experiment import Setup
from .page import table_of, write_page
from .runs import Plan, run_plan

_ROOT = Path(__file__).resolve().parents[2]
_BUILD = _ROOT / "build" / "leakage"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="a small run, to see that it works")
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--workers", type=int, default=2, help="processes of one thread each")
    parser.add_argument("--output", type=Path, help="path without suffix; default docs/leakage, or build/leakage/quick")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    if arguments.quick:
        contenders = tuple(contender for contender in CONTENDERS if contender.name in QUICK)
        plan = Plan(contenders, 2, BaseConfig(steps=400), Setup(steps=60), _BUILD)
    else:
        plan = Plan(CONTENDERS, arguments.seeds, BaseConfig(), Setup(), _BUILD)
    output = arguments.output or (_BUILD / "quick" if arguments.quick else _ROOT / "docs" / "leakage")
    start = time.perf_counter()
    results = run_plan(plan, arguments.workers, lambda text: print(text, flush=True))
    write_page(plan, results, output, f"{plan.seeds} seeds; medians, and the paired difference from `no mask`.")
    print(table_of(plan.contenders, results))
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    cpu_s = sum(each.ru_utime + each.ru_stime for each in used)
    print(f"{output}.md, .csv, .png; {time.perf_counter() - start:.0f} s, {cpu_s:.0f} s of one core")


if __name__ == "__main__":
    main()
