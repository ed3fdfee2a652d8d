"""A ComfyUI server as the command line sees it: its nodes, its queue, its messages and its history."""

from __future__ import annotations

import json
import struct
import time
import urllib.error
import urllib.parse
import urllib.request
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import websocket

from ..core.errors import ServerError

SECONDS_TO_ANSWER = 30
SECONDS_BETWEEN_LOOKS = 5.0
# ComfyUI's binary messages begin with their kind; 3 is a line of text for a node.
_TEXT_MESSAGE = 3


@dataclass(frozen=True)
class Message:
    """One message about a running prompt: `kind` as ComfyUI names it (`progress_text` for a node's line of text)."""

    kind: str
    data: Mapping[str, Any]


class ComfyServer:
    """A server by its address, such as `127.0.0.1:8188` or `https://host/comfy`; ServerError when it is silent."""

    def __init__(self, address: str) -> None:
        url = address if "://" in address else f"http://{address}"
        parts = urllib.parse.urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.netloc:
            raise ServerError(f"--server {address!r} is no address; give host:port, such as 127.0.0.1:8188")
        self.address = url.rstrip("/")
        self._client = uuid.uuid4().hex

    def nodes(self) -> dict[str, dict[str, Any]]:
        """What the server says of every node class that it has."""
        return self._call("/object_info")

    def queue(self, prompt: Mapping[str, Any]) -> dict[str, Any]:
        """Queue a prompt. The answer holds `prompt_id` unless nothing of it can run, and `node_errors` or `error`."""
        return self._call("/prompt", {"prompt": prompt, "client_id": self._client}, refusal_is_answer=True)

    def remove(self, prompt_id: str) -> None:
        """Take a prompt out of the queue, and stop it where it runs already."""
        self._call("/queue", {"delete": [prompt_id]})
        self._call("/interrupt", {"prompt_id": prompt_id})

    def result(self, prompt_id: str) -> dict[str, Any] | None:
        """What the history holds of a prompt; None until it has ended."""
        return self._call(f"/history/{prompt_id}").get(prompt_id)

    def is_waiting(self, prompt_id: str) -> bool:
        """Whether the prompt still stands in the queue or runs."""
        queue = self._call("/queue")
        return any(entry[1] == prompt_id for group in queue.values() for entry in group)

    def follow(self) -> MessageStream:
        """The messages from now on; open it before queueing, so that none is missed."""
        return MessageStream(self.address, self._client)

    def _call(self, path: str, body: Mapping[str, Any] | None = None, refusal_is_answer: bool = False) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.address + path, data, {"Content-Type": "application/json"})
        try:
            with urllib.request.urlopen(request, timeout=SECONDS_TO_ANSWER) as answer:
                text = answer.read()
        except urllib.error.HTTPError as refusal:
            text = refusal.read()
            if not refusal_is_answer or refusal.code != 400:
                raise ServerError(
                    f"{self.address}{path} answers {refusal.code} ({refusal.reason}); is this a ComfyUI server?"
                ) from refusal
        except (OSError, ValueError) as error:
            reason = getattr(error, "reason", error)
            raise ServerError(
                f"No ComfyUI answers at {self.address} ({reason}); start it, or name another with --server host:port"
            ) from error
        try:
            return json.loads(text) if text else {}
        except ValueError as error:
            raise ServerError(
                f"{self.address}{path} answers with something that is not JSON; is this ComfyUI?"
            ) from error


class MessageStream:
    """ComfyUI's websocket, opened again whenever it breaks; a context manager."""

    def __init__(self, address: str, client: str) -> None:
        self._url = f"{address.replace('http', 'ws', 1)}/ws?clientId={client}"
        self._socket: websocket.WebSocket | None = None

    def __enter__(self) -> MessageStream:
        self._connect()
        return self

    def __exit__(self, *exception: object) -> None:
        self._drop()

    def messages(self) -> Iterator[Message | None]:
        """Every message as it comes; None whenever nothing was heard for a while or the connection was lost."""
        while True:
            try:
                if self._socket is None:
                    self._connect()
                message = _read(self._socket)
            except websocket.WebSocketTimeoutException:
                message = None
            except (OSError, websocket.WebSocketException, ServerError):
                self._drop()
                time.sleep(SECONDS_BETWEEN_LOOKS)
                message = None
            yield message

    def _connect(self) -> None:
        try:
            self._socket = websocket.create_connection(self._url, timeout=SECONDS_BETWEEN_LOOKS)
        except (OSError, websocket.WebSocketException) as error:
            raise ServerError(
                f"{self._url.partition('?')[0]} cannot be opened ({error}); is this ComfyUI, and is it running?"
            ) from error

    def _drop(self) -> None:
        if self._socket is not None:
            self._socket.close()
            self._socket = None


def _read(socket: websocket.WebSocket | None) -> Message | None:
    if socket is None:
        return None
    frame = socket.recv()
    if isinstance(frame, str):
        content = json.loads(frame) if frame else {}
        return Message(content["type"], content.get("data") or {}) if "type" in content else None
    if len(frame) >= 8 and struct.unpack(">I", frame[:4])[0] == _TEXT_MESSAGE:
        length = struct.unpack(">I", frame[4:8])[0]
        node, text = frame[8 : 8 + length].decode(), frame[8 + length :].decode("utf-8", "replace")
        return Message("progress_text", {"node": node, "text": text})
    return None  # a preview picture
