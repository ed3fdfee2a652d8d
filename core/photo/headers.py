"""What headers of picture files say, read once for as long as a file stays as it is.

A dataset of a thousand photographs is planned again after every stroke of a correction.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

Value = TypeVar("Value")

_REMEMBERED = 50_000
# Some disks keep times in steps of two seconds: what changed so shortly before may change once more without a trace.
_SETTLED_NS = 2_000_000_000


def remembered(read: Callable[[Path], Value], path: Path) -> Value:
    """`read(path)`, or what that was before for a file that is the same in size and in all its times, and has been so
    for a while. What `read` raises is not kept."""
    try:
        status = path.stat()
    except OSError:
        return read(path)
    if time.time_ns() - max(status.st_mtime_ns, status.st_ctime_ns) < _SETTLED_NS:
        return read(path)
    key = (status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    return _read(read, path, key)


@lru_cache(maxsize=_REMEMBERED)
def _read(read: Callable[[Path], Any], path: Path, _status: tuple[int, ...]) -> Any:
    return read(path)
