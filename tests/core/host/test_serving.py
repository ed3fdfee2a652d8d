"""The viewer's routes on a real aiohttp server, where that is installed; `tests/on_server` has them on ComfyUI's."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace

import pytest
from maskloss.core.host.reports import KEPT_REPORTS
from maskloss.core.host.results import KEPT_RESULTS
from maskloss.core.host.serving import serve_kept, serve_viewer
from maskloss.core.viewer.answers import MOST_BYTES


def test_every_route_is_served_once_and_answers_without_a_dataset() -> None:
    pytest.importorskip("aiohttp")
    from aiohttp import web
    from aiohttp.test_utils import TestClient, TestServer

    async def ask() -> list[tuple[int, str]]:
        routes = web.RouteTableDef()
        for _ in range(2):
            serve_viewer(SimpleNamespace(routes=routes), lambda event, content: None)
        assert len(routes) == 14
        app = web.Application(client_max_size=2 * MOST_BYTES)
        app.add_routes(routes)
        async with TestClient(TestServer(app)) as client:
            seen: list[tuple[int, str]] = []
            for method, path, size in [
                ("GET", "/maskloss/viewer/none", 0),
                ("GET", "/maskloss/viewer/none/..%2f..%2fetc/thumbnail", 0),
                ("POST", "/maskloss/viewer/none/x/marks", 10),
                ("POST", "/maskloss/viewer/none/x/correction", MOST_BYTES + 1),
                ("GET", "/maskloss/viewer/none/x/marks", 0),
            ]:
                answer = await client.request(method, path, data=bytes(size) if size else None)
                seen.append((answer.status, answer.headers.get("X-Content-Type-Options", "")))
            return seen

    assert asyncio.run(ask()) == [(404, "nosniff"), (404, "nosniff"), (404, "nosniff"), (413, ""), (405, "")]


def test_what_nodes_showed_and_their_reports_are_served_once(tmp_path: Path) -> None:
    pytest.importorskip("aiohttp")
    from aiohttp import web
    from aiohttp.test_utils import TestClient, TestServer
    from yarl import URL

    (tmp_path / "r/images").mkdir(parents=True)
    (tmp_path / "r/images/a.jpg").write_bytes(b"jpeg")
    (tmp_path / "secret.jpg").write_bytes(b"secret")
    report = KEPT_REPORTS.keep(tmp_path / "r")
    KEPT_RESULTS.keep("a workflow", "p", "1:2", "Train", {"said": ["Änna"]})

    async def ask() -> list[tuple[int, object]]:
        routes = web.RouteTableDef()
        for _ in range(2):
            serve_kept(SimpleNamespace(routes=routes, prompt_queue=SimpleNamespace(currently_running={})))
        assert len(routes) == 2
        app = web.Application()
        app.add_routes(routes)
        async with TestClient(TestServer(app)) as client:
            shown = await client.get("/maskloss/results/a%20workflow")
            seen: list[tuple[int, object]] = [(shown.status, await shown.json())]
            for path in ("images/a.jpg", "..%2fsecret.jpg", "images/..%2f..%2fsecret.jpg"):
                answer = await client.get(URL(f"/maskloss/report/{report}/{path}", encoded=True))
                seen.append((answer.status, answer.headers["X-Content-Type-Options"]))
            refused = await client.post(f"/maskloss/report/{report}/images/a.jpg")
            return [*seen, (refused.status, "")]

    kept = {"nodes": {"1:2": {"said": ["Änna"]}}, "classes": {"1:2": "Train"}}
    assert asyncio.run(ask()) == [(200, kept), (200, "nosniff"), (404, "nosniff"), (404, "nosniff"), (405, "")]
