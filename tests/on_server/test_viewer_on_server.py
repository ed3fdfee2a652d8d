"""The viewer's routes on a real ComfyUI server: a correction reaches the cache, and hostile requests reach nothing."""

from __future__ import annotations

import http.client
import json
import zlib
from typing import Any
from urllib.parse import urlsplit

import numpy as np
import pytest
from PIL import Image

from tests.on_server.comfy_server import Server, node

pytestmark = pytest.mark.comfy

PROMPT = {
    "1": node("MaskLossDemoModels"),
    "2": node(
        "MaskLossLoadDataset", directory="viewed", mask_directory="viewed_masks", resolution_width=64,
        resolution_height=64,
    ),
    "3": node("MaskLossPreviewDataset", dataset=["2", 0]),
    "4": node("MaskLossCacheLatents", dataset=["2", 0], vae=["1", 1], cache_directory="viewed_cache"),
}  # fmt: skip
OCTETS = {"Content-Type": "application/octet-stream"}
JSON = {"Content-Type": "application/json"}


def ask(
    server: Server, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
) -> tuple[int, bytes]:
    """The path goes out as it is, with dots and all."""
    connection = http.client.HTTPConnection(urlsplit(server.url).netloc, timeout=600)
    connection.request(method, path, body or None, headers or {})
    answer = connection.getresponse()
    return answer.status, answer.read()


@pytest.fixture
def opened(server: Server) -> tuple[Server, str, list[str]]:
    """The server, the address of the dataset, and the ids of its two photographs."""
    for folder, channels in (("viewed", 3), ("viewed_masks", 1)):
        (server.base / "input" / folder).mkdir(exist_ok=True)
        for seed, name in enumerate("ab"):
            random = np.random.default_rng(seed).integers(0, 256, (64, 64, channels), dtype=np.uint8)
            pixels = random if channels == 3 else np.full((64, 64), 128, np.uint8)
            Image.fromarray(pixels).save(server.base / "input" / folder / f"{name}.png")
    history = server.run(PROMPT)
    (identifier,) = history["outputs"]["3"]["viewer"]
    path = f"/maskloss/viewer/{identifier}"
    listed: Any = json.loads(ask(server, "GET", path)[1])
    return server, path, [row["id"] for row in listed["items"]]


def files(server: Server) -> dict[str, bytes]:
    return {path.name[0]: path.read_bytes() for path in (server.base / "output/viewed_cache").glob("*.safetensors")}


def stroke(value: int) -> bytes:
    return zlib.compress(bytes([value]) * (64 * 32) + b"\xff" * (64 * 32))


def corrections(server: Server) -> list[str]:
    return sorted(path.name for path in (server.base / "output/maskloss/corrections").rglob("*.png"))


def test_a_stroke_reaches_its_entry_of_the_cache_and_no_other(opened: tuple[Server, str, list[str]]) -> None:
    server, path, (first, _) = opened
    before = files(server)
    assert ask(server, "GET", f"{path}/{first}/thumbnail")[1][:3] == b"\xff\xd8\xff"
    address = f"{path}/{first}/correction?revision=&left=0&top=0&width=32&height=64"
    status, body = ask(server, "POST", address, stroke(255), OCTETS)
    assert status == 200, body
    revision = json.loads(body)["revision"]
    assert ask(server, "POST", address, stroke(1), OCTETS)[0] == 409
    server.run(PROMPT)
    assert [name for name, content in files(server).items() if before[name] != content] == ["a"]
    assert ask(server, "POST", f"{path}/{first}/revert", json.dumps({"revision": revision}).encode(), JSON)[0] == 200
    server.run(PROMPT)
    assert files(server) == before


def test_hostile_requests_read_and_write_nothing(opened: tuple[Server, str, list[str]]) -> None:
    server, path, (first, _) = opened
    (server.base / "secret.txt").write_text("secret")
    host = urlsplit(server.url).netloc
    there = f"{path}/{first}"
    mark = json.dumps({"done": True, "left_out": True}).encode()
    painted = f"{there}/correction?revision=&left=0&top=0&width=32&height=64"
    before = corrections(server)
    # Another site, by what browsers say of it, or in a form that needs no permission.
    for headers in (
        {"Origin": "http://evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Origin": f"http://x.{host}"},
    ):
        for end in ("marks", "face", "propose"):
            assert ask(server, "POST", f"{there}/{end}", mark, {**JSON, **headers})[0] == 403
        assert ask(server, "POST", painted, stroke(9), {**OCTETS, **headers})[0] == 403
        assert ask(server, "GET", f"{there}/thumbnail", headers=headers)[0] == 403
    for kind in ("text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        for end in ("marks", "face", "propose"):
            assert ask(server, "POST", f"{there}/{end}", mark, {"Content-Type": kind})[0] == 415
        assert ask(server, "POST", painted, stroke(9), {"Content-Type": kind})[0] == 415
    # Nothing is changed by a GET, nor by other methods.
    for method in ("GET", "PUT", "DELETE", "PATCH"):
        for end in ("marks", "revert", "keep", "face", "propose", "caption"):
            assert ask(server, method, f"{there}/{end}", mark, JSON)[0] in (404, 405)
    assert ask(server, "GET", painted)[0] == 200
    # Paths in the place of ids.
    for end in ("../../secret.txt", "..%2f..%2fsecret.txt", "%2e%2e/secret.txt", "/etc/passwd", "a.png", "a" * 4000):
        inside = [f"{path}/{end}/{what}" for what in ("mask", "thumbnail", "frames")]
        for address in (f"{path}/{end}", f"/maskloss/viewer/{end}", *inside):
            status, body = ask(server, "GET", address)
            assert status in (400, 404), address
            assert b"secret" not in body
            assert b"root:" not in body
    assert ask(server, "GET", f"{there}/frames?frame=../../secret.txt")[0] == 404
    # Bodies that are too long, or would be.
    bomb = zlib.compress(bytes(100_000_000), 1)
    assert ask(server, "POST", painted, bomb, OCTETS)[0] == 400
    huge = {**OCTETS, "Content-Length": str(1 << 40)}
    assert ask(server, "POST", painted, b"x", huge)[0] == 413
    assert corrections(server) == before == []
    assert not list((server.base / "output/maskloss").rglob("marks.json"))
