"""Which files the ranks of a run open, as Python itself tells it in each of them."""

from __future__ import annotations

import os
from pathlib import Path

# Python runs this at its start.
_HEARS = """
import os, sys
if "RANK" in os.environ:
    heard = os.open(os.environ["OPENED"] + os.environ["RANK"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    def hear(event, arguments):
        if event == "open":
            os.write(heard, f"{arguments[0]}\\n".encode())
    sys.addaudithook(hear)
"""


def listening(folder: Path) -> dict[str, str]:
    """The environment of a process whose ranks are listened to."""
    own = folder / "listens"
    own.mkdir()
    (own / "sitecustomize.py").write_text(_HEARS)
    path = os.pathsep.join(filter(None, (str(own), os.environ.get("PYTHONPATH"))))
    return {**os.environ, "PYTHONPATH": path, "OPENED": str(folder / "opened")}


def opened_by(folder: Path, rank: int) -> str:
    """Paths that a rank has opened, a line each."""
    return (folder / f"opened{rank}").read_text()
