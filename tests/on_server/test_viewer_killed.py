"""The viewer's server is killed in the middle of saving, twenty times: the mask is the old one or the new one.

The routes run on aiohttp as in ComfyUI, in a process of their own that is forked: twenty starts of ComfyUI would say
the same and take half an hour.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import socket
import sys
import threading
import time
import urllib.request
import zlib
from collections.abc import Callable
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from maskloss.core.corrections.frames import frame_path
from maskloss.core.corrections.override import read_correction
from maskloss.core.corrections.store import CorrectionStore
from maskloss.core.dataset.items import Dataset, DatasetItem, LoadSettings
from maskloss.core.host.serving import serve_viewer
from maskloss.core.images import save_image
from maskloss.core.viewer.answers import PREFIX, REVISION
from maskloss.core.viewer.viewed import VIEWED, ViewedDataset, view_dataset

web = pytest.importorskip("aiohttp.web")
pytestmark = [pytest.mark.comfy, pytest.mark.skipif(sys.platform == "win32", reason="no fork")]

WIDTH, HEIGHT = 2400, 1800
TURNS = 20
SECONDS = 300  # only for what never comes


def serve(viewed: ViewedDataset, port: int) -> None:
    VIEWED.keep(viewed)
    server = SimpleNamespace(routes=web.RouteTableDef())
    serve_viewer(server, lambda event, content: None)
    application = web.Application(client_max_size=64 << 20)
    application.add_routes(server.routes)
    web.run_app(application, host="127.0.0.1", port=port, print=None, handle_signals=False)


def started(viewed: ViewedDataset, port: int) -> BaseProcess:
    process = multiprocessing.get_context("fork").Process(target=serve, args=(viewed, port), daemon=True)
    process.start()
    deadline = time.monotonic() + SECONDS
    while time.monotonic() < deadline:
        with socket.socket() as there:
            if there.connect_ex(("127.0.0.1", port)) == 0:
                return process
        time.sleep(0.02)
    raise TimeoutError("the server does not answer")


def stroke(value: int) -> bytes:
    """All of the mask painted with noise around a value: a file that takes a while to write."""
    noise_HW = np.random.default_rng(value).integers(0, 2, (HEIGHT, WIDTH)).astype(np.uint8)
    return zlib.compress((noise_HW + np.uint8(value)).tobytes() + b"\xff" * (WIDTH * HEIGHT), 1)


def post(address: str, body: bytes) -> None:
    """What becomes of it is seen in the files."""
    request = urllib.request.Request(address, body, {"Content-Type": "application/octet-stream"})
    with contextlib.suppress(OSError):
        urllib.request.urlopen(request, timeout=SECONDS).read()


@pytest.mark.parametrize("frame", [None, 1], ids=["photograph", "video"])
def test_a_server_that_is_killed_while_it_saves_leaves_the_old_mask_or_the_new_one(
    tmp_path: Path, make_video: Callable[..., Path], frame: int | None
) -> None:
    store = CorrectionStore(tmp_path / "corrections")
    black_HWC = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    if frame is None:
        media = tmp_path / "photos/a.png"
        save_image(media, black_HWC)
        path, of_frame = store.path_of(media), ""
    else:
        media = make_video(tmp_path / "photos/a.mp4", [black_HWC] * 3)
        path, of_frame = frame_path(store.frames_of(media), frame), f"frame={frame}"
    item = DatasetItem("a", media, LoadSettings())
    viewed = view_dataset(Dataset((item,)), "t", [], store, tmp_path / "thumbnails")
    folder = path.parent
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    there = f"http://127.0.0.1:{port}{PREFIX}/{viewed.id}/{viewed.items[0].id}/correction"
    before, kept = -1, []
    for turn in range(TURNS):
        process = started(viewed, port)
        with urllib.request.urlopen(f"{there}?{of_frame}", timeout=SECONDS) as answer:
            revision = answer.headers[REVISION]
            planes = np.frombuffer(zlib.decompress(answer.read()), np.uint8).reshape(2, HEIGHT, WIDTH)
        assert planes[0].min() == max(0, before), "the server tells what is on disk"
        left, value = set(folder.glob(".*.part*")), 10 * turn + 10
        place = f"{there}?left=0&top=0&width={WIDTH}&height={HEIGHT}&revision={revision}&{of_frame}"
        painter = threading.Thread(target=post, args=(place, stroke(value)))
        painter.start()
        deadline = time.monotonic() + SECONDS
        # By turns as soon as its file is there, a little later, or when it was just renamed and nobody was told yet.
        renamed = turn % 3 == 2
        # On a busy machine the file may be there and gone between two looks at it.
        while not ((not renamed and set(folder.glob(".*.part*")) - left) or _value(path) == value):
            assert time.monotonic() < deadline, "nothing is saved"
        time.sleep(0.01 * (turn % 3 == 1) * turn)
        os.kill(process.pid or 0, signal.SIGKILL)
        process.join()
        painter.join()
        after = _value(path)
        assert after in (before, value), f"{after} is neither the old mask, {before}, nor the new one, {value}"
        if after >= 0:
            read = read_correction(path)
            assert read.painted_HW.all()
            assert set(np.unique(read.values_HW)) == {after, after + 1}, "and it is whole"
        kept.append(after == value)
        before = after
    assert any(kept), "no stroke was kept"
    assert not all(kept), "none was killed in the middle"


def _value(path: Path) -> int:
    """What the mask on disk was painted with, -1 where there is none."""
    return int(read_correction(path).values_HW.min()) if path.is_file() else -1
