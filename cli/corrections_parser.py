"""The arguments of `maskloss corrections`."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any


def add_corrections(commands: Any) -> None:
    """Add the command to the subparsers of `maskloss`."""
    corrections = commands.add_parser("corrections", help="list, revert, export or import masks corrected by hand")
    actions = corrections.add_subparsers(required=True, metavar="ACTION")
    listed = actions.add_parser("list", help="say which photographs and videos have one, and what of them is painted")
    listed.set_defaults(command=_list)
    revert = actions.add_parser("revert", help="take corrections away: the masks under them count again")
    revert.add_argument("photographs", type=Path, nargs="+", metavar="PHOTOGRAPH", help="as `list` names them")
    revert.add_argument("--frame", type=int, metavar="N", help="of this frame of a video alone")
    _add_person(revert)
    revert.set_defaults(command=_revert)
    export = actions.add_parser("export", help="copy all of them, and marks such as done, as files: grey is the weight")
    export.add_argument("folder", type=Path, help="a new folder for the files")
    export.set_defaults(command=_export)
    imported = actions.add_parser("import", help="keep exported ones for the same photographs, also elsewhere")
    imported.add_argument("folder", type=Path, help="the files")
    imported.add_argument("photographs", type=Path, help="the folder of their photographs")
    imported.add_argument("--replace", action="store_true", help="in place of corrections that are there")
    imported.set_defaults(command=_import)
    left_out = actions.add_parser("leave-out", help="leave photographs out of every dataset, or take them back")
    left_out.add_argument("photographs", type=Path, nargs="+", metavar="PHOTOGRAPH")
    left_out.add_argument("--take-back", action="store_true", help="they belong to their datasets again")
    _add_person(left_out)
    left_out.set_defaults(command=_leave_out)
    choose = actions.add_parser("choose", help="say which face of a photograph Keep Person takes for the person's")
    choose.add_argument("photograph", type=Path, metavar="PHOTOGRAPH")
    box = ("LEFT", "TOP", "RIGHT", "BOTTOM")
    choose.add_argument(
        "--box", type=float, nargs=4, metavar=box, help="in pixels, as Keep Person's report has it; none: look again"
    )
    _add_person(choose)
    choose.set_defaults(command=_choose)
    for action in (listed, revert, export, imported, left_out, choose):
        action.add_argument(
            "--output", type=Path, default=Path(), metavar="DIR", help="ComfyUI's output folder, or that of `run`"
        )


def _add_person(action: argparse.ArgumentParser) -> None:
    action.add_argument(
        "--person", default="", metavar="NAME", help="of this person's item of it, where Keep People makes several"
    )


# The imports are late, as in `main`.


def _list(options: argparse.Namespace) -> None:
    from .corrections import print_corrections

    print_corrections(options.output)


def _revert(options: argparse.Namespace) -> None:
    from .corrections import revert

    revert(options.output, options.photographs, options.frame, options.person)


def _export(options: argparse.Namespace) -> None:
    from .corrections import export

    export(options.output, options.folder)


def _import(options: argparse.Namespace) -> None:
    from .corrections import import_

    import_(options.output, options.folder, options.photographs, options.replace)


def _leave_out(options: argparse.Namespace) -> None:
    from .corrections import leave_out

    leave_out(options.output, options.photographs, options.take_back, options.person)


def _choose(options: argparse.Namespace) -> None:
    from .corrections import choose

    choose(options.output, options.photograph, options.box, options.person)
