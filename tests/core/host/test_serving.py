"""The viewer's routes on a real aiohttp server, where that is installed; `tests/on_server` has them on ComfyUI's."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace

import pytest
from maskloss.core.host.serving import serve_viewer
from maskloss.core.viewer.answers import MOST_BYTES


def test_every_route_is_served_once_and_answers_without_a_dataset() -> None:
    pytest.importorskip("aiohttp")
    from aiohttp import web
    from aiohttp.test_utils import TestClient, TestServer

    async def ask() -> list[tuple[int, str]]:
        routes = web.RouteTableDef()
        for _ in range(2):
            serve_viewer(SimpleNamespace(routes=routes), lambda event, content: None)
        assert len(routes) == 12
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
