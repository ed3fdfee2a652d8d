"""What is checked of every request, one piece at a time."""

from __future__ import annotations

import zlib

import pytest
from maskloss.core.errors import ImageError, PathError, SettingError
from maskloss.core.viewer.request import (
    BYTES,
    Answer,
    RefusedError,
    Request,
    check_type,
    content_of,
    number_of,
    packed,
    text_of,
    unpacked,
)


def test_bytes_come_back_and_only_so_many() -> None:
    answer = packed(b"mask" * 100, {"X": "y"})
    assert unpacked(answer.body, 400) == b"mask" * 100
    assert (answer.content_type, answer.headers["X"], answer.headers["Cache-Control"]) == (BYTES, "y", "no-store")
    for body, length in ((answer.body, 399), (answer.body, 401), (b"", 1), (b"x", 1), (zlib.compress(b"abc")[:5], 3)):
        with pytest.raises(ImageError, match="a stroke"):
            unpacked(body, length)


def test_a_number_is_a_short_row_of_digits() -> None:
    assert number_of(Request("d", query={"left": "042"}), "left") == 42
    for text in ("", "-1", "1.5", "1e3", "٣", "1" * 7, "0x1"):
        with pytest.raises(PathError, match="and no number"):
            number_of(Request("d", query={"left": text}), "left")


def test_an_object_of_the_right_type_and_its_texts() -> None:
    request = Request("d", content_type="application/json", body='{"a": "ä", "b": 1}'.encode())
    content = content_of(request)
    assert text_of(content, "a") == "ä"
    for name in ("b", "c"):
        with pytest.raises(SettingError, match=f"no text {name}"):
            text_of(content, name)
    with pytest.raises(RefusedError) as caught:
        check_type(request, BYTES)
    assert caught.value.status == 415


def test_json_goes_back_as_it_is_with_finite_numbers_only() -> None:
    assert Answer.of({"a": "ä"}).body == '{"a": "ä"}'.encode()
    with pytest.raises(ValueError, match="Out of range"):
        Answer.of(float("inf"))
