"""`maskloss models`: the bundled files, their licences, and their installation."""

from __future__ import annotations

from pathlib import Path

from ..core.bundled.install import copy_demo_photographs, install, state
from ..core.host import LocalHost


def models(install_missing: bool, photographs_directory: Path | None) -> None:
    """List every bundled file on stdout, after installing and copying what is asked for."""
    host = LocalHost()
    host.label = "models"
    if install_missing:
        for line in install(host.progress()):
            print(line)
    for file, path, present in state():
        print(f"{'present' if present else 'missing'}  {path}  ({file.licence}; {file.source}): {file.enables}")
    if photographs_directory is not None:
        copy_demo_photographs(photographs_directory)
        print(f"demo photographs are in {photographs_directory / 'maskloss_demo'}")
