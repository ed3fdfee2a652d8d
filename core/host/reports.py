"""Reports that nodes wrote in this process, by an id each: the graph editor opens them from here.

ComfyUI hands out an HTML file of its output folder as a download, since it would run in its own name. These pages load
nothing but pictures and the viewer's scripts from beside them, none that stands in the page itself, and send nothing
anywhere. (ComfyUI answers no request of a page without a name, so that a sandbox would leave them without pictures.)
"""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path

from ..viewer.request import FRESH, Answer

ROUTE = "/maskloss/report"
MOST_REPORTS = 200
_POLICY = (
    "default-src 'none'; img-src 'self' data: blob:; script-src 'self'; style-src 'self' 'unsafe-inline'; "
    "base-uri 'none'; form-action 'none'"
)
# In the page as well: with --disable-api-nodes ComfyUI 0.33 puts a looser policy in the place of every header.
_IN_PAGE = f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'.encode()
_DOCTYPE = b"<!doctype html>"
_TYPES = {".html": "text/html", ".jpg": "image/jpeg", ".js": "text/javascript", ".css": "text/css"}


class KeptReports:
    """Folders of reports; what lies in them and nothing else is given out."""

    def __init__(self, most: int = MOST_REPORTS) -> None:
        self._most = most
        self._folders: dict[str, Path] = {}
        self._lock = threading.Lock()

    def keep(self, directory: Path) -> str:
        """The id of a report's folder: the same one for the same folder."""
        known = hashlib.sha256(str(directory.absolute()).encode()).hexdigest()[:20]
        with self._lock:
            self._folders.pop(known, None)
            self._folders[known] = directory.absolute()
            if len(self._folders) > self._most:
                del self._folders[next(iter(self._folders))]
        return known

    def answer(self, report: str, name: str) -> Answer:
        """A file of a report: 404 for anything that is none, wherever its name leads."""
        folder = self._folders.get(report)
        kind = _TYPES.get(Path(name).suffix.lower())
        if folder is None:
            return Answer.of({"error": "This report is not known any more; run the workflow again."}, 404)
        path = _inside(folder, name)
        if kind is None or path is None:
            return Answer.of({"error": "The report has no such file; run the workflow again."}, 404)
        content = path.read_bytes()
        if kind == "text/html":
            content = _DOCTYPE + _IN_PAGE + content.removeprefix(_DOCTYPE)
        policy = f"{_POLICY}; frame-ancestors 'none'"
        return Answer(200, kind, content, {"Content-Security-Policy": policy, **FRESH})


def _inside(folder: Path, name: str) -> Path | None:
    """The file of that name, where it really lies in the folder; a name may hold what no file system takes."""
    try:
        path = (folder / name).resolve()
        return path if path.is_relative_to(folder.resolve()) and path.is_file() else None
    except (OSError, ValueError):
        return None


KEPT_REPORTS = KeptReports()
