"""`maskloss models`: the bundled files, their licences, and their installation."""

from __future__ import annotations

from pathlib import Path

from ..core.bundled.install import copy_demo_photographs, install, state
from ..core.host import LocalHost


def models(install_missing: bool, photographs_directory: Path | None) -> None:
    """Do what is asked for and say it in a line each; asked for nothing, list every bundled file on stdout."""
    if install_missing:
        host = LocalHost()
        host.label = "models"
        for line in install(host.progress()):
            print(line)
        files = state()
        print(f"{sum(present for _, _, present in files)} of {len(files)} bundled files are in {files[0][1].parent}")
    if photographs_directory is not None:
        copy_demo_photographs(photographs_directory)
        print(f"The demo's photographs are in {photographs_directory / 'maskloss_demo'}")
    if not install_missing and photographs_directory is None:
        for file, path, present in state():
            print(f"{'present' if present else 'missing'}  {path}  ({file.licence}; {file.source}): {file.enables}")
