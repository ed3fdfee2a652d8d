"""A request of the viewer and its answer, and what is checked of every request."""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..errors import ImageError, PathError, SettingError, UserError

_JSON, BYTES = "application/json", "application/octet-stream"
FRESH: Mapping[str, str] = {"Cache-Control": "no-store"}
_FAST = 1
MOST_JSON_BYTES = 1 << 20


@dataclass(frozen=True)
class Request:
    """`query` are the parameters of the address, `content_type` without parameters; the ids are as they came."""

    dataset: str
    item: str = ""
    query: Mapping[str, str] = field(default_factory=dict[str, str])
    content_type: str = ""
    body: bytes = b""


@dataclass(frozen=True)
class Answer:
    """What goes back."""

    status: int
    content_type: str
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict[str, str])

    @classmethod
    def of(cls, value: object, status: int = 200) -> Answer:
        """JSON."""
        return cls(status, _JSON, json.dumps(value, ensure_ascii=False, allow_nan=False).encode())


class RefusedError(UserError):
    """A request that is answered with another status than 400."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


def packed(content: bytes, headers: Mapping[str, str]) -> Answer:
    """Bytes, by zlib."""
    return Answer(200, BYTES, zlib.compress(content, _FAST), {**headers, **FRESH})


def unpacked(body: bytes, length: int) -> bytes:
    """Exactly so many bytes. ImageError for anything else, however much it would unpack to."""
    stream = zlib.decompressobj()
    try:
        content = stream.decompress(body, length + 1)
    except zlib.error as error:
        raise ImageError(f"a stroke is damaged ({error}); paint it again") from error
    if len(content) != length:
        raise ImageError(f"a stroke has another length than its {length} bytes; paint it again")
    return content


def check_type(request: Request, wanted: str) -> None:
    """RefusedError (415) unless the request has this type."""
    if request.content_type != wanted:
        raise RefusedError(415, f"The request is {request.content_type or 'of no type'}; send {wanted}.")


def content_of(request: Request) -> Mapping[str, Any]:
    """The JSON object of a request. RefusedError for another type, SettingError for anything else."""
    check_type(request, _JSON)
    if len(request.body) > MOST_JSON_BYTES:
        raise RefusedError(413, f"The request has {len(request.body)} bytes; {MOST_JSON_BYTES} are the most.")
    try:
        content: Any = json.loads(request.body)
    except (ValueError, RecursionError) as error:
        raise SettingError(f"The request is no JSON ({error}); load the page again.") from error
    if not isinstance(content, dict):
        raise SettingError("The request is no JSON object; load the page again.")
    return content


def text_of(content: Mapping[str, Any], name: str) -> str:
    """A text of that object. SettingError where there is none."""
    value = content.get(name)
    if not isinstance(value, str):
        raise SettingError(f"The request has no text {name}; load the page again.")
    return value


def number_of(request: Request, name: str) -> int:
    """A number of the address, 0 to 999,999. PathError where it is none."""
    text = request.query.get(name, "")
    if not text.isdecimal() or len(text) > 6 or not text.isascii():
        raise PathError(f"{name} is {text[:20]!r} and no number; load the page again.")
    return int(text)
