"""The arguments of `maskloss plan`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .plan import Asked


def add_plan(commands: Any) -> None:
    """Add the command to the subparsers of `maskloss`."""
    plan = commands.add_parser("plan", help="say how much memory a training needs and which cards it fits")
    _add_run(plan)
    plan.add_argument("--json", action="store_true", help="print all figures as JSON")
    plan.set_defaults(command=_plan)


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
    add("--base-precision", default="as_loaded", choices=["as_loaded", "int8"], help="as in Train LoRA")
    add("--blocks-in-main-memory", type=int, default=0, help="as in Train LoRA")


# The imports are late, as in `main`.


def _plan(options: argparse.Namespace) -> None:
    from .plan import print_plan

    print_plan(_asked(options), options.json)


def _asked(options: argparse.Namespace) -> Asked:
    from .plan import Asked

    return Asked(
        options.model, options.resolution, options.frames, options.cache, options.rank, options.algorithm,
        options.optimizer, options.batch, not options.no_checkpointing, options.prior, options.weights,
        options.base_precision, options.blocks_in_main_memory,
    )  # fmt: skip
