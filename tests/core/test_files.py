"""Files are whole or not there."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from maskloss.core.errors import DiskError
from maskloss.core.files import (
    DAY_S,
    LOCK_FILE,
    atomic_write,
    is_abandoned,
    is_case_sensitive,
    lock_directory,
    process_tag,
    sha256_file,
    sweep,
    write_bytes,
    write_json,
    write_text,
)

# Only for what never comes: nothing is measured by it.
SECONDS = 600


def test_content_replaces_and_directories_are_made(tmp_path):
    path = tmp_path / "a" / "b.txt"
    write_text(path, "één")
    write_text(path, "twee")
    assert path.read_text(encoding="utf-8") == "twee"
    assert [p.name for p in path.parent.iterdir()] == ["b.txt"]


def test_a_failure_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "b.txt"
    write_text(path, "old")
    with pytest.raises(KeyboardInterrupt), atomic_write(path) as temporary:  # noqa: PT012
        temporary.write_text("half")
        raise KeyboardInterrupt
    assert path.read_text() == "old"
    assert [p.name for p in tmp_path.iterdir()] == ["b.txt"]


def test_json_refuses_nan_and_writes_nothing(tmp_path):
    with pytest.raises(ValueError, match="JSON"):
        write_json(tmp_path / "a.json", {"loss": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_new_files_have_ordinary_permissions(tmp_path):
    write_bytes(tmp_path / "a", b"x")
    (tmp_path / "plain").write_bytes(b"x")
    assert (tmp_path / "a").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_sha256_of_known_bytes(tmp_path):
    write_bytes(tmp_path / "a", b"abc")
    assert sha256_file(tmp_path / "a") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


def test_a_disk_that_refuses_is_named(tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(DiskError, match=r"file/a\.txt cannot be written \(.*\); make room on that disk"):
        write_text(tmp_path / "file/a.txt", "x")


def test_long_names_leave_room_for_the_temporary_one(tmp_path):
    path = tmp_path / ("a" * 250 + ".txt")
    write_text(path, "x")
    assert path.read_text() == "x"


def left_by_a_dead_process(directory):
    """A half-written file, as a process leaves it that is killed."""
    program = (
        "import os, sys; from pathlib import Path; from maskloss.core.files import atomic_write\n"
        "with atomic_write(Path(sys.argv[1]) / 'a.txt') as temporary: temporary.write_text('half'); os._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", program, str(directory)], check=False).returncode == 9
    (left,) = Path(directory).glob(".a-*.part.txt")
    return left


def test_what_killed_processes_left_is_swept_and_nothing_else(tmp_path):
    folder = tmp_path / "sub"
    left = left_by_a_dead_process(folder)
    (folder / ".hidden").write_text("someone's")
    (folder / ".a-part.txt").write_text("someone's")
    with atomic_write(folder / "b.txt") as temporary:
        temporary.write_text("being written")
        assert is_abandoned(left)
        assert not is_abandoned(temporary)
        sweep(tmp_path)
        assert temporary.exists()
    assert sorted(path.name for path in folder.iterdir()) == [".a-part.txt", ".hidden", "b.txt"]


def test_whose_file_it_is(tmp_path):
    host, process, life = process_tag().split("-")
    earlier = tmp_path / f".a-{host}-{process}-{'0' * 8}-x.part"
    elsewhere = tmp_path / f".a-{'0' * 8}-{process}-{life}-x.part"
    running = tmp_path / f".a-{host}-1-{'0' * 8}-x.part"
    for path in (earlier, elsewhere, running):
        path.write_text("x")
    assert is_abandoned(earlier), "this process's number belonged to another before"
    assert not is_abandoned(elsewhere), "whether another machine's process runs cannot be told"
    assert not is_abandoned(running)
    day_ago = time.time() - DAY_S - 1
    for path in (elsewhere, running):
        os.utime(path, (day_ago, day_ago))
        assert is_abandoned(path)


def test_a_lock_is_held_by_one_process_at_a_time(tmp_path):
    program = (
        "import sys; from pathlib import Path; from maskloss.core.files import lock_directory\n"
        "with lock_directory(Path(sys.argv[1])): Path(sys.argv[1], 'held').touch()"
    )
    with lock_directory(tmp_path):
        other = subprocess.Popen([sys.executable, "-c", program, str(tmp_path)])
        with pytest.raises(subprocess.TimeoutExpired):
            other.wait(3)
        assert not (tmp_path / "held").exists()
    assert other.wait(SECONDS) == 0
    assert (tmp_path / "held").exists()


# What Windows has in place of flock, made of what this system has: a byte of a file, asked for without waiting.
LOCKS_OF_WINDOWS = """
import fcntl, json, os, pathlib, socket, sys, tempfile, time, types
from pathlib import Path

def locking(handle, mode, count):
    assert mode == 2
    try:
        fcntl.lockf(handle, fcntl.LOCK_EX | fcntl.LOCK_NB, count)
    except OSError as error:
        raise PermissionError(13, "Permission denied") from error

sys.modules["msvcrt"] = types.SimpleNamespace(locking=locking, LK_NBLCK=2)
sys.platform = "win32"
from maskloss.core.files import LOCK_FILE, lock_directory
"""


@pytest.mark.skipif(sys.platform == "win32", reason="there the real ones are tried by the tests above")
def test_the_locks_of_windows_lose_no_update_and_a_killed_process_lets_go(tmp_path):
    (tmp_path / "count").write_text("0")
    holder = subprocess.Popen(
        [
            sys.executable,
            "-c",
            f"{LOCKS_OF_WINDOWS}\nwith lock_directory(Path(sys.argv[1])):\n"
            "  Path(sys.argv[1], 'held').touch(); time.sleep(600)",
            str(tmp_path),
        ]
    )
    adding = (
        f"{LOCKS_OF_WINDOWS}\ncount = Path(sys.argv[1], 'count')\nfor _ in range(50):\n"
        "  with lock_directory(count.parent):\n"
        "    number = int(count.read_text()); time.sleep(0.001); count.write_text(str(number + 1))"
    )
    while not (tmp_path / "held").exists():
        assert holder.poll() is None
        time.sleep(0.01)
    others = [subprocess.Popen([sys.executable, "-c", adding, str(tmp_path)]) for _ in range(2)]
    with pytest.raises(subprocess.TimeoutExpired):
        others[0].wait(2)
    assert (tmp_path / "count").read_text() == "0"
    holder.kill()
    assert [other.wait(SECONDS) for other in others] == [0, 0]
    assert (tmp_path / "count").read_text() == "100"
    assert holder.wait(SECONDS) < 0
    assert {path.name for path in tmp_path.iterdir()} == {"count", "held", LOCK_FILE}


def test_case_is_probed_and_nothing_stays(tmp_path):
    plain = tmp_path / "a"
    plain.touch()
    assert is_case_sensitive(tmp_path) is not (tmp_path / "A").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="only Linux tells a killed process from a running one")
def test_a_killed_process_whose_parent_has_not_looked_is_gone(tmp_path):
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    path = tmp_path / f".x-{process_tag().replace(str(os.getpid()), str(child.pid), 1)}-1.part"
    path.touch()
    assert not is_abandoned(path)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # ended, and still a zombie
    assert is_abandoned(path)
    child.wait()
