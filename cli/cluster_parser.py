"""The arguments of `maskloss cluster`."""

from __future__ import annotations

import argparse
from typing import Any

from .prompt_parser import add_base_directory, add_run_here


def add_cluster(commands: Any) -> None:
    """Add the command to those of `maskloss`."""
    cluster = commands.add_parser("cluster", help="make a prompt's masks and cache with the processes of a Ray cluster")
    add_run_here(cluster)
    add_base_directory(cluster)
    cluster.add_argument(
        "--address",
        default="local",
        metavar="RAY",
        help="auto, an address, or local: a Ray of its own, here",
    )
    cluster.add_argument(
        "--workers", type=int, default=0, metavar="N", help="processes (default: one on each core, or part of a GPU)"
    )
    cluster.add_argument(
        "--gpus", type=float, default=0.0, metavar="G", help="GPUs of each process, such as 1 or 0.25 (default: none)"
    )
    cluster.set_defaults(command=_cluster)


def _cluster(options: argparse.Namespace) -> None:
    from .cluster import run_on_cluster

    run_on_cluster(
        options.file,
        options.set,
        options.input,
        options.output,
        options.base_directory,
        options.address,
        options.workers,
        options.gpus,
    )
