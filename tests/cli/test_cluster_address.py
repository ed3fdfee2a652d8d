"""Clusters that are there already: a real Ray of two cores, as `ray start --head` starts it."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import maskloss
import pytest
from maskloss.core.files import write_text

from benchmarks.cluster import Run, run_command
from tests.helpers.given_masks import GIVEN, place_given

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None, reason="Ray is not installed; pip install maskloss[ray]"
)
# Only for what never comes.
SECONDS_TO_START, SECONDS_TO_STOP = 600, 120


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@contextmanager
def cluster(environment: Mapping[str, str]) -> Iterator[str]:
    """The address of a Ray whose processes have this environment, and of which nothing is left afterwards."""
    address = f"127.0.0.1:{free_port()}"
    options = [
        "--head", "--block", f"--port={address.rpartition(':')[2]}", "--node-ip-address=127.0.0.1", "--num-cpus=2",
        "--include-dashboard=false", "--disable-usage-stats", f"--temp-dir={environment['RAY_TMPDIR']}",
        "--object-store-memory=100000000",
    ]  # fmt: skip
    log = Path(environment["RAY_TMPDIR"], "head.txt")
    with log.open("wb") as said:
        head = subprocess.Popen(
            [sys.executable, "-m", "ray.scripts.scripts", "start", *options], env=dict(environment),
            stdout=said, stderr=subprocess.STDOUT, start_new_session=True,
        )  # fmt: skip
    try:
        deadline = time.monotonic() + SECONDS_TO_START
        while b"Ray runtime started" not in log.read_bytes():
            assert head.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)
        yield address
    finally:
        head.send_signal(signal.SIGTERM)
        try:
            head.wait(SECONDS_TO_STOP)
        finally:
            # All that it has started is of its session.
            if head.poll() is None:
                os.killpg(head.pid, signal.SIGKILL)


@pytest.fixture(scope="module")
def own() -> Iterator[dict[str, str]]:
    """An environment in which Ray finds no clusters but those of this module. Paths of sockets in its folder must be
    short."""
    folder = tempfile.mkdtemp(prefix="mlray", dir="/tmp")
    token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0123456789abcdef" * 4}
    yield {**os.environ, **token, "RAY_TMPDIR": folder, "OMP_NUM_THREADS": "1"}
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def head(own: dict[str, str]) -> Iterator[str]:
    with cluster(own) as address:
        yield address


@pytest.fixture
def folder(tmp_path: Path, own: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Path:
    """Photographs and a prompt; what is run here has the environment of the cluster."""
    for name in ("RAY_TMPDIR", "RAY_AUTH_MODE", "RAY_AUTH_TOKEN"):
        monkeypatch.setenv(name, own[name])
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    place_given(tmp_path)
    (tmp_path / "prompt.json").write_text(json.dumps(GIVEN))
    return tmp_path


@pytest.mark.parametrize("by", ["auto", "address"])
def test_a_cluster_makes_the_same_bytes(folder: Path, head: str, by: str) -> None:
    alone = run_command(["run", "prompt.json"], folder)
    assert alone.code == 0, alone.said
    there = run_command(["cluster", "prompt.json", "--address", head if by == "address" else by], folder)
    assert there.code == 0, there.said
    assert "by 2 workers" in there.said
    assert there.files == alone.files
    assert len([name for name in there.files if name.startswith("cache/")]) > 5


def test_a_cluster_that_asks_for_a_token_says_how_to_give_it(
    folder: Path, head: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("RAY_AUTH_MODE")
    run = run_command(["cluster", "prompt.json", "--address", head], folder)
    assert run.code == 2, run.said
    assert "set RAY_AUTH_MODE=token" in run.said


def run_elsewhere(folder: Path, own: dict[str, str], modules: Path) -> Run:
    """The command with a cluster whose Python looks for modules in a folder first."""
    apart = tempfile.mkdtemp(prefix="mlray", dir="/tmp")
    try:
        with cluster({**own, "RAY_TMPDIR": apart, "PYTHONPATH": str(modules)}) as address:
            return run_command(["cluster", "prompt.json", "--address", address], folder)
    finally:
        shutil.rmtree(apart, ignore_errors=True)


def test_a_cluster_without_the_pack_says_so(folder: Path, own: dict[str, str], tmp_path: Path) -> None:
    write_text(tmp_path / "other/maskloss.py", "raise ImportError('there is no pack here')\n")
    run = run_elsewhere(folder, own, tmp_path / "other")
    assert run.code == 2, run.said
    assert "without having done anything (" in run.said
    assert "there is no pack here); see that the machines of the cluster have" in run.said


def test_another_version_of_the_pack_is_refused_with_both_sides(
    folder: Path, own: dict[str, str], tmp_path: Path
) -> None:
    other = tmp_path / "other/maskloss"
    shutil.copytree(
        Path(maskloss.__file__).parent, other, symlinks=True,
        ignore=shutil.ignore_patterns(".*", "__pycache__", "node_modules", "models", "build", "tests"),
    )  # fmt: skip
    (other / "core/loss.py").write_text((other / "core/loss.py").read_text() + "\n")
    run = run_elsewhere(folder, own, other.parent)
    assert run.code == 2, run.said
    assert "has another version of this pack's code: " in run.said
    assert "where the work is given out; install the same on every machine" in run.said
    assert not list((folder / "out").rglob("*.png"))


# Not "auto", which finds whatever Ray of anybody runs on this machine.
@pytest.mark.parametrize("address", ["127.0.0.1:1", "nowhere"])
def test_where_there_is_no_cluster_it_says_what_to_do(folder: Path, address: str) -> None:
    run = run_command(["cluster", "prompt.json", "--address", address], folder)
    assert run.code == 2, run.said
    assert f"There is no Ray to work with at '{address}' (" in run.said
    assert "or --address local" in run.said
