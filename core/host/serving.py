"""Our routes on ComfyUI's web server, aiohttp: each request is answered in a thread, so that none waits."""

from __future__ import annotations

import asyncio
import importlib
from collections.abc import Callable, Mapping
from typing import Any

from ..viewer.answers import MOST_BYTES, PREFIX, Answers, Tell
from ..viewer.proposals import PROPOSALS
from ..viewer.request import Answer, Request
from ..viewer.viewed import VIEWED
from .reports import KEPT_REPORTS
from .reports import ROUTE as REPORTS
from .results import KEPT_RESULTS
from .results import ROUTE as RESULTS


def serve_viewer(server: Any, tell: Tell) -> None:
    """Answer below `PREFIX`; to be called while ComfyUI imports its packs, on `server.routes`. Once is enough."""
    if any(str(route.path).startswith(PREFIX) for route in server.routes):
        return
    for method, path, answer in Answers(VIEWED, tell, PROPOSALS).routes():
        server.routes.route(method, PREFIX + path)(_handler(answer))


def serve_kept(server: Any) -> None:
    """Answer what nodes of a workflow showed, and the files of reports; as `serve_viewer`."""
    if any(str(route.path).startswith(RESULTS) for route in server.routes):
        return

    def results(named: Mapping[str, str]) -> Answer:
        running = {str(item[1]) for item in tuple(server.prompt_queue.currently_running.values())}
        return Answer.of(KEPT_RESULTS.of(named["workflow"], running))

    server.routes.get(RESULTS + "/{workflow}")(_named(results))
    report = _named(lambda named: KEPT_REPORTS.answer(named["report"], named["name"]))
    server.routes.get(REPORTS + "/{report}/{name:.+}")(report)


def _named(answer: Callable[[Mapping[str, str]], Answer]) -> Callable[[Any], Any]:
    async def handle(request: Any) -> Any:
        return _response(await asyncio.to_thread(answer, request.match_info))

    return handle


def _handler(answer: Callable[[Request], Answer]) -> Callable[[Any], Any]:
    async def handle(request: Any) -> Any:
        web = importlib.import_module("aiohttp.web")
        if (request.content_length or 0) > MOST_BYTES:
            return web.json_response({"error": f"A request has {MOST_BYTES} bytes at most."}, status=413)
        body = await request.read() if request.method == "POST" else b""
        named: Mapping[str, str] = request.match_info
        asked = Request(
            named.get("dataset", ""), named.get("item", ""), dict(request.query), request.content_type, body
        )
        told = await asyncio.to_thread(answer, asked)
        return _response(told)

    return handle


def _response(told: Answer) -> Any:
    web = importlib.import_module("aiohttp.web")
    headers = {**told.headers, "X-Content-Type-Options": "nosniff"}
    return web.Response(status=told.status, body=told.body, content_type=told.content_type, headers=headers)
