"""Atomic files: written beside, then renamed, so that a file is whole or not there; and locks of directories."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import re
import secrets
import socket
import stat
import sys
import tempfile
import time
from collections.abc import Generator
from contextlib import contextmanager, suppress
from pathlib import Path

from .errors import DiskError

if sys.platform == "win32":
    import msvcrt
else:
    import fcntl

DAY_S = 86_400
LOCK_FILE = ".maskloss.lock"
_LOCK_POLL_S = 0.02
_HOST = hashlib.sha256(socket.gethostname().encode()).hexdigest()[:8]
# Differs between processes of the same id, such as process 1 of every container.
_LIFE = secrets.token_hex(4)
_TAG = re.compile(r"-(?P<host>[0-9a-f]{8})-(?P<process>\d+)-(?P<life>[0-9a-f]{8})(?=[-.])")
_STEM_LENGTH = 32
_LONGEST_NAME = 255


@contextmanager
def convert_disk_errors(path: Path) -> Generator[None]:
    """Turn an OSError of the block into a DiskError that names `path`."""
    try:
        yield
    except OSError as error:
        raise DiskError(
            f"{path} cannot be written ({error.strerror or error}); make room on that disk and see that files may be "
            "written there, or choose another folder, then run again."
        ) from error


@contextmanager
def atomic_write(path: Path) -> Generator[Path]:
    """Yield a temporary path beside `path`; on success it replaces `path`, on any exception it is removed.

    Directories are made as needed. Two processes never share a temporary file, so the last rename wins whole.
    DiskError naming `path` when the disk is full or refuses.
    """
    temporary: Path | None = None
    try:
        with convert_disk_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
            start = f".{path.stem[:_STEM_LENGTH]}-{process_tag()}-"
            handle, name = tempfile.mkstemp(prefix=start, suffix=f".part{path.suffix}", dir=path.parent)
            os.close(handle)
            temporary = Path(name)
            yield temporary
            os.chmod(temporary, 0o666 & ~_umask())
            os.replace(temporary, path)
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def shorten_stem(name: str, longest_ending: str) -> str:
    """`name`, a "/"-separated path, whose last part with that ending is at most 255 bytes, as disks require: a longer
    one is cut, and ends in 16 digits of the whole name's hash."""
    folder, slash, last = name.rpartition("/")
    if len((last + longest_ending).encode()) <= _LONGEST_NAME:
        return name
    mark = "~" + hashlib.sha256(name.encode()).hexdigest()[:16]
    room = _LONGEST_NAME - len((mark + longest_ending).encode())
    return f"{folder}{slash}{last.encode()[:room].decode(errors='ignore')}{mark}"


def process_tag() -> str:
    """The process's mark in the names of files that it is writing."""
    return f"{_HOST}-{os.getpid()}-{_LIFE}"


def is_abandoned(path: Path) -> bool:
    """Whether the process whose tag is in the name of `path` has ended; False without a tag. For another machine's
    process: whether the file is a day old."""
    tag = _TAG.search(path.name)
    if tag is None:
        return False
    process = int(tag["process"])
    if tag["host"] == _HOST and process == os.getpid():
        return tag["life"] != _LIFE
    if tag["host"] == _HOST and not _is_running(process):
        return True
    try:
        return time.time() - path.stat().st_mtime > DAY_S
    except FileNotFoundError:
        return False  # renamed by its owner meanwhile


def sweep(directory: Path, subfolders: bool = True) -> None:
    """Remove the half-written files of killed processes in `directory`, which need not exist, and below it."""
    for folder, below, files in os.walk(directory):
        if not subfolders:
            below.clear()
        for name in files:
            path = Path(folder, name) if name.startswith(".") and ".part" in name else None
            if path is not None and is_abandoned(path):
                path.unlink(missing_ok=True)


def is_case_sensitive(directory: Path) -> bool:
    """Whether `a` and `A` are two files in `directory`, which is made where it is missing."""
    directory.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(prefix=f".case-{process_tag()}-", suffix=".part", dir=directory) as probe:
        return not Path(probe.name.replace(".case-", ".CASE-")).exists()


@contextmanager
def lock_directory(directory: Path) -> Generator[None]:
    """Lock `directory` against other processes, waiting for them; a process that ends or is killed frees its lock.

    On disks without such locks (some network drives) this does nothing. Not by `filelock`, which would leave a lock
    file in every folder of masks; where the system can, the folder itself is locked.
    """
    if sys.platform == "win32":
        # Folders cannot be held there; a hidden file in it stands for the folder, and stays.
        handle = os.open(directory / LOCK_FILE, os.O_RDWR | os.O_CREAT)
    else:
        handle = os.open(directory, os.O_RDONLY)
    try:
        with suppress(OSError):
            _wait_for_lock(handle)
        yield
    finally:
        os.close(handle)


def refuse_special(path: Path) -> None:
    """OSError where `path` is missing or no regular file: a device has no end, and a pipe may never begin."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "it is a folder, a device or a pipe and no regular file", str(path))


def read_bytes(path: Path) -> bytes:
    """All of a regular file. OSError as `refuse_special`, and where it cannot be read."""
    refuse_special(path)
    return path.read_bytes()


def read_text(path: Path, errors: str = "strict") -> str:
    """All of a regular file as UTF-8, line ends as "\\n". OSError as `read_bytes`; UnicodeDecodeError where `errors` is
    "strict"."""
    refuse_special(path)
    return path.read_text(encoding="utf-8", errors=errors)


def write_bytes(path: Path, content: bytes) -> None:
    """Write `content` to `path`, whole or not at all."""
    with atomic_write(path) as temporary:
        temporary.write_bytes(content)


def write_text(path: Path, content: str) -> None:
    """Write `content` to `path` as UTF-8, whole or not at all."""
    write_bytes(path, content.encode("utf-8"))


def write_json(path: Path, value: object) -> None:
    """Write `value` as indented JSON (finite numbers only), whole or not at all."""
    write_text(path, json.dumps(value, ensure_ascii=False, indent=1, allow_nan=False) + "\n")


def sha256_file(path: Path) -> str:
    """Hex SHA-256 of a file's bytes, read in pieces."""
    digest = hashlib.sha256()
    with path.open("rb") as stream:
        while block := stream.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _wait_for_lock(handle: int) -> None:
    """Wait for the lock, which closing the file gives back. OSError where there are none."""
    if sys.platform != "win32":
        fcntl.flock(handle, fcntl.LOCK_EX)
        return
    while True:
        try:
            msvcrt.locking(handle, msvcrt.LK_NBLCK, 1)
            return
        except PermissionError:
            time.sleep(_LOCK_POLL_S)  # its own waiting gives up after ten seconds


def _is_running(process: int) -> bool:
    if sys.platform == "win32":
        return True  # there, asking would end it
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True  # another user's
    # A killed process still answers until its parent has reaped it; Linux shows it as a zombie.
    try:
        state = Path(f"/proc/{process}/stat").read_text(errors="replace").rpartition(")")[2].split()
    except OSError:
        return True
    return state[:1] != ["Z"]


def _umask() -> int:
    # os.umask can only be read by setting it; where /proc does not show it, 0o022 is the usual value.
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text().splitlines():
            if line.startswith("Umask:"):
                return int(line.split()[1], 8)
    return 0o022
