"""The arguments of `maskloss dataset`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

TRAINERS = ("sd-scripts", "onetrainer", "ai-toolkit", "simpletuner", "diffusion-pipe", "blissful-tuner", "musubi-tuner")


def add_dataset(commands: Any) -> None:
    """Add the command to the subparsers of `maskloss`."""
    dataset = commands.add_parser("dataset", help="write photographs with their masks for another trainer")
    actions = dataset.add_subparsers(required=True, metavar="ACTION")
    export = actions.add_parser("export", help="a folder of pictures, masks and captions, and the trainer's own file")
    export.add_argument("source", type=Path, help="the folder of photographs, or any trainer's dataset file")
    export.add_argument("output", type=Path, help="a new folder")
    export.add_argument("--format", required=True, choices=TRAINERS, help="whom it is for")
    export.add_argument("--masks", type=Path, metavar="DIR", help="folder of masks with the photographs' names")
    export.add_argument("--alpha-mask", action="store_true", help="the photographs' alpha is their mask")
    export.add_argument("--recursive", action="store_true", help="subfolders too")
    export.add_argument("--resolution", type=int, default=1024, metavar="PX", help="side of the training size (1024)")
    export.set_defaults(command=_export)


# The imports are late, as in `main`.


def _export(options: argparse.Namespace) -> None:
    from .dataset import export

    given = (options.masks, options.alpha_mask, options.recursive, options.resolution)
    export(options.source, options.output, options.format, *given)
