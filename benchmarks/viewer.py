"""What the viewer costs: opening a large dataset, the memory of its tab, a stroke on a large photograph, a
correction on its way into the cache, and one of a video's frame on its way to the frames behind it.

    python benchmarks/viewer.py [--photographs 1000] [--megapixels 24]

The viewer runs in Chromium against its own routes, without ComfyUI's editor around it (needs `npm ci` and Chromium).
Photographs are drawn; all but one are small, for opening is independent of their size once thumbnails are there. Prints
Markdown; nothing is fetched, and what is written goes to a temporary directory.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import numpy as np
from maskloss.core.cache.latents import cache_latents
from maskloss.core.corrections.override import PaintedOver, revision_of
from maskloss.core.corrections.store import CorrectionStore, Patch
from maskloss.core.dataset.corrected import painted_over, with_corrections
from maskloss.core.dataset.items import Dataset, DatasetItem, LoadSettings
from maskloss.core.dataset.video_corrections import open_corrections
from maskloss.core.demo.encoders import DemoLatentEncoder
from maskloss.core.images import save_image
from maskloss.core.video.masks import MaskVideoWriter
from maskloss.core.viewer.answers import PREFIX, Answers
from maskloss.core.viewer.proposals import Proposals
from maskloss.core.viewer.request import Request
from maskloss.core.viewer.viewed import ViewedDatasets, view_dataset
from PIL import Image

ROOT = Path(__file__).resolve().parent.parent
SCRIPT = ROOT / "benchmarks/viewer.js"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
SETTINGS = LoadSettings((256, 256))
PAGE = """<!doctype html><meta charset="utf-8"><link rel="stylesheet" href="/web/viewer/viewer.css">
<style>:root{--comfy-menu-bg:#222;--comfy-input-bg:#333;--fg-color:#eee}</style>"""


def draw(folder: Path, count: int, megapixels: float) -> Dataset:
    """`count` photographs of 600 x 400 with masks, and a large one that comes first."""
    random = np.random.default_rng(0)
    items: list[DatasetItem] = []
    sizes = [
        (round((megapixels * 1e6 * 1.5) ** 0.5), round((megapixels * 1e6 / 1.5) ** 0.5)),
        *[(600, 400)] * (count - 1),
    ]
    for number, (width, height) in enumerate(sizes):
        name = f"{number:04}"
        small_HWC = random.integers(0, 256, (12, 18, 3), dtype=np.uint8)
        photograph = folder / f"photos/{name}.jpg"
        photograph.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(small_HWC).resize((width, height), Image.Resampling.BICUBIC).save(photograph, quality=90)
        ys, xs = np.ogrid[:height, :width]
        mask_HW = np.zeros((height, width), np.uint8)
        mask_HW[((xs - width / 2) / (width / 4)) ** 2 + ((ys - height * 0.9) / (height / 2)) ** 2 < 1] = 128
        mask_HW[(xs - width / 2) ** 2 + (ys - height * 0.35) ** 2 < (height / 5) ** 2] = 255
        save_image(folder / f"masks/{name}.png", mask_HW)
        items.append(DatasetItem(name, photograph, SETTINGS, folder / f"masks/{name}.png", f"photograph {name}"))
    return Dataset(tuple(items))


class Handler(SimpleHTTPRequestHandler):
    """The viewer's routes and the files of `web`."""

    protocol_version = "HTTP/1.1"
    routes: dict[tuple[str, int, str], Any]

    def do_GET(self) -> None:
        self._answer("GET")

    def do_POST(self) -> None:
        self._answer("POST")

    def log_message(self, format: str, *args: object) -> None:
        pass

    def _answer(self, method: str) -> None:
        url = urlsplit(self.path)
        if url.path == "/":
            return self._send(200, "text/html", PAGE.encode(), {})
        if not url.path.startswith(PREFIX):
            return super().do_GET()
        dataset, item, end, *_ = [*url.path.removeprefix(PREFIX).strip("/").split("/"), "", ""]
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        kind = self.headers.get_content_type() if method == "POST" else ""
        answer = self.routes[method, bool(item), end](Request(dataset, item, dict(parse_qsl(url.query)), kind, body))
        return self._send(answer.status, answer.content_type, answer.body, dict(answer.headers))

    def _send(self, status: int, kind: str, body: bytes, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in {"Content-Type": kind, "Content-Length": str(len(body)), **headers}.items():
            self.send_header(name, value)
        self.end_headers()
        # The browser gives up what it does not want any more.
        with suppress(ConnectionError):
            self.wfile.write(body)


@contextmanager
def served(dataset: Dataset, folder: Path) -> Iterator[tuple[str, str]]:
    """(address, dataset id)."""
    datasets = ViewedDatasets()
    store = CorrectionStore(folder / "corrections")
    identifier = datasets.keep(view_dataset(dataset, "benchmark", [], store, folder / "thumbnails"))
    answers = Answers(datasets, lambda *_: None, Proposals())
    Handler.routes = {
        (method, "{item}" in path, path.rpartition("/")[2] if path.count("/") > 2 else ""): answer
        for method, path, answer in answers.routes()
    }
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(Handler, directory=str(ROOT)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", identifier
    finally:
        server.shutdown()


def in_the_browser(dataset: Dataset, folder: Path) -> dict[str, float]:
    """What browser/viewer.js measured."""
    browser = next((path for path in map(shutil.which, BROWSERS) if path), None)
    if browser is None or shutil.which("node") is None:
        raise SystemExit("Chromium and node are needed: apt install chromium nodejs; npm ci")
    with served(dataset, folder) as (url, identifier):
        task = json.dumps({"url": url, "dataset": identifier, "chromium": browser, "large": dataset.items[0].name})
        done = subprocess.run(["node", str(SCRIPT), task], capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(done.stdout + done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def into_the_cache(dataset: Dataset, folder: Path) -> tuple[float, float]:
    """Seconds to keep one stroke on the large photograph, and to cache what changed by it."""
    store = CorrectionStore(folder / "more_corrections")
    cache_latents(with_corrections(dataset, store)[0], DemoLatentEncoder(), folder / "cache")
    item = dataset.items[0]
    with Image.open(item.media_path) as image:
        size = image.size
    over = painted_over(item)
    began = time.perf_counter()
    for number in range(3):
        patch = Patch(100 * number, 200, np.full((120, 900), 80, np.uint8), np.ones((120, 900), bool))
        store.paint(item.media_path, size, patch, over, revision_of(store.path_of(item.media_path)))
    painted = (time.perf_counter() - began) / 3
    began = time.perf_counter()
    cache_latents(with_corrections(dataset, store)[0], DemoLatentEncoder(), folder / "cache")
    return painted, time.perf_counter() - began


def carried_on(folder: Path) -> float:
    """Seconds to follow what was painted on the first frame of a clip, of 121 of 1280x720, through all of it."""
    size, count = (1280, 720), 121
    noise_HW = np.random.default_rng(0).integers(0, 256, (size[1] // 4, size[0] // 4), dtype=np.uint8)
    ground = Image.fromarray(noise_HW).resize(size, Image.Resampling.BICUBIC)
    video = folder / "clips/clip.mkv"
    with MaskVideoWriter(video, size, [number / 24 for number in range(count)]) as writer:
        for number in range(count):
            writer.add(np.roll(np.asarray(ground), 2 * number, axis=1))
    store = CorrectionStore(folder / "clip_corrections")
    patch = Patch(400, 200, np.full((250, 200), 255, np.uint8), np.ones((250, 200), bool))
    store.paint_frame(video, 0, size, patch, PaintedOver("clip"), "")
    began = time.perf_counter()
    carried = open_corrections(store.frames_of(video), video).spans
    if [span.last for span in carried] != [count - 1]:
        raise SystemExit(f"the clip was not followed to its end: {carried}")
    return time.perf_counter() - began


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photographs", type=int, default=1000)
    parser.add_argument("--megapixels", type=float, default=24)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        dataset = draw(folder, options.photographs, options.megapixels)
        seen = in_the_browser(dataset, folder)
        print(f"in the browser: {seen}", file=sys.stderr, flush=True)
        painted, cached = into_the_cache(dataset, folder)
        few = Dataset(dataset.items[:6])
        _, cached_few = into_the_cache(few, folder / "few")
        followed = carried_on(folder)
    print(f"{options.photographs} photographs, one of {options.megapixels:g} MP\n")
    print("| what | |\n|---|---|")
    for what, value in (
        ("first sheet, thumbnails to be made", f"{seen['first_s']:.2f} s"),
        ("first sheet, thumbnails there", f"{seen['again_s']:.2f} s"),
        ("  of it the list", f"{seen['list_s']:.2f} s"),
        ("memory of the tab, all thumbnails scrolled through", f"{seen['sheet_mb']:.0f} MB"),
        ("memory of the tab, the large photograph painted on", f"{seen['painted_mb']:.0f} MB"),
        ("the large photograph ready to be painted on", f"{seen['ready_s']:.2f} s"),
        ("a move of the brush, median / worst of {:.0f}".format(seen["moves"]),
         f"{seen['move_ms']:.1f} / {seen['worst_move_ms']:.1f} ms"),
        ("drawing what it changed, median / worst", f"{seen['draw_ms']:.1f} / {seen['worst_draw_ms']:.1f} ms"),
        ("from the end of a stroke until it is kept", f"{seen['saved_s']:.2f} s"),
        ("keeping a stroke, the server's part", f"{painted:.2f} s"),
        (f"caching again, 1 of {options.photographs} changed", f"{cached:.2f} s"),
        ("caching again, 1 of 6 changed", f"{cached_few:.2f} s"),
        ("carrying a region of a frame on over 120 frames of 1280x720", f"{followed:.2f} s"),
    ):  # fmt: skip
        print(f"| {what} | {value} |")


if __name__ == "__main__":
    main()
