"""A real HTTP server on this machine that answers what a test tells it, by path."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class SmallServer(ThreadingHTTPServer):
    """`answers`: by path (status, body); bodies that are not bytes are JSON. `asked`: (path, JSON that was sent)."""

    answers: dict[str, tuple[int, Any]]
    asked: list[tuple[str, Any]]

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: SmallServer

    def do_GET(self) -> None:
        self._answer(None)

    def do_POST(self) -> None:
        self._answer(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))

    def _answer(self, sent: Any) -> None:
        self.server.asked.append((self.path, sent))
        status, body = self.server.answers.get(self.path, (404, b""))
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, format: str, *args: Any) -> None:
        return None


@contextmanager
def small_server(answers: dict[str, tuple[int, Any]]) -> Iterator[SmallServer]:
    with SmallServer(("127.0.0.1", 0), _Handler) as server:
        server.answers, server.asked = answers, []
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()
