"""The arguments of `maskloss plan` and `maskloss bench`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .plan import Asked


def add_plan(commands: Any) -> None:
    """Add both commands to the subparsers of `maskloss`."""
    plan = commands.add_parser("plan", help="say how much memory a training needs and which cards it fits")
    _add_run(plan)
    plan.add_argument("--steps", type=_positive, default=1000, help="of the run (default: 1000)")
    plan.add_argument("--json", action="store_true", help="print all figures as JSON")
    plan.set_defaults(command=_plan)
    bench = commands.add_parser(
        "bench", help="time training steps of a published model on this device, without the model's file"
    )
    _add_run(bench)
    bench.add_argument("--steps", type=_positive, default=20, help="to be timed (default: 20)")
    bench.add_argument("--table", type=Path, metavar="FILE", help="append the entry here, not to the pack's own table")
    bench.set_defaults(command=_bench)


def _add_run(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add("model", help="a published model, such as wan2.1-14b; `maskloss plan list` names them")
    add("--resolution", default="1024", metavar="WxH", help="of pictures, in pixels (default: 1024)")
    add("--frames", type=int, default=1, help="of clips (default: 1, pictures)")
    add("--cache", type=Path, metavar="DIR", help="take the largest bucket of this cache instead")
    add("--rank", type=int, default=16, help="of the LoRA (default: 16)")
    add("--algorithm", default="lora", choices=["lora", "dora", "loha", "lokr"], help="default: lora")
    add("--optimizer", default="adamw", metavar="NAME", help="as Optimizer names them (default: adamw)")
    add("--batch", type=int, default=1, help="samples in one forward pass (default: 1)")
    add("--no-checkpointing", action="store_true", help="without gradient checkpointing")
    add("--prior", action="store_true", help="with prior preservation")
    add("--weights", default="bf16", choices=["bf16", "fp16", "fp32", "fp8"], help="default: bf16")
    add("--base-precision", default="as_loaded", choices=["as_loaded", "int8", "nvfp4"], help="as in Train LoRA")
    add("--blocks-in-main-memory", type=int, default=0, help="as in Train LoRA")


def _positive(text: str) -> int:
    if not (text.isdecimal() and int(text) > 0):
        raise argparse.ArgumentTypeError(f"{text!r} is no number of at least 1")
    return int(text)


# The imports are late, as in `main`.


def _plan(options: argparse.Namespace) -> None:
    from .plan import print_plan

    print_plan(_asked(options), options.steps, options.json)


def _bench(options: argparse.Namespace) -> None:
    from .bench import bench

    bench(_asked(options), options.steps, options.table)


def _asked(options: argparse.Namespace) -> Asked:
    from .plan import Asked

    return Asked(
        options.model, options.resolution, options.frames, options.cache, options.rank, options.algorithm,
        options.optimizer, options.batch, not options.no_checkpointing, options.prior, options.weights,
        options.base_precision, options.blocks_in_main_memory,
    )  # fmt: skip
