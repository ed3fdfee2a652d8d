"""What was found in a picture is found once, by anybody in any thread, and what it takes stays bounded."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from maskloss.core.bundled.findings import Findings, PackedMap, check_picture
from maskloss.core.errors import InternalError


def picture(value: int, size: tuple[int, int] = (4, 3)) -> np.ndarray:
    return np.full((size[1], size[0], 3), value, np.uint8)


def test_the_last_pictures_are_known_by_content():
    asked: list[str] = []
    findings: Findings[str] = Findings(20, lambda _: 10)

    def get(rgb_HWC: np.ndarray, text: str, also: bytes = b"") -> str:
        return findings.get(rgb_HWC, lambda: asked.append(text) or text, also)

    assert get(picture(1), "one") == "one"
    assert get(picture(1).copy(), "again") == "one"
    assert get(picture(1, (3, 4)), "other shape") == "other shape"
    assert get(picture(1), "other question", b"q") == "other question"
    assert get(picture(1), "forgotten") == "forgotten"
    assert asked == ["one", "other shape", "other question", "forgotten"]


def test_what_one_thread_found_another_has():
    findings: Findings[int] = Findings(100, lambda _: 1)
    assert findings.get(picture(1), lambda: 1) == 1
    with ThreadPoolExecutor(1) as pool:
        assert pool.submit(findings.get, picture(1), lambda: 2).result() == 1


def test_what_is_larger_than_all_room_is_given_and_not_kept():
    findings: Findings[int] = Findings(5, lambda value: value)
    assert findings.get(picture(1), lambda: 6) == 6
    assert findings.get(picture(1), lambda: 3) == 3
    assert findings.get(picture(1), lambda: 4) == 3


def test_what_failed_is_tried_again():
    findings: Findings[int] = Findings(5, lambda _: 1)

    def fail() -> int:
        raise ValueError("stopped")

    with pytest.raises(ValueError, match="stopped"):
        findings.get(picture(1), fail)
    assert findings.get(picture(1), lambda: 2) == 2


def test_views_that_are_not_contiguous_are_pictures_too():
    findings: Findings[int] = Findings(100, lambda _: 1)
    wide_HWC = np.arange(96, dtype=np.uint8).reshape(4, 8, 3)
    assert findings.get(wide_HWC[:, ::2], lambda: 1) == 1
    assert findings.get(wide_HWC[:, ::2].copy(), lambda: 2) == 1
    assert findings.get(wide_HWC[:, 1::2], lambda: 3) == 3


@pytest.mark.parametrize(
    "wrong",
    [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)],
)
def test_only_rgb_uint8_is_a_picture(wrong: np.ndarray):
    with pytest.raises(InternalError, match="uint8 RGB"):
        check_picture(wrong)


def test_a_packed_map_keeps_what_is_above_one_half_and_what_is_not():
    values = np.array([0, 0.25, np.nextafter(np.float32(0.5), 0), 0.5, 0.503, 1], np.float32)
    soft_HW = np.tile(values, (7, 1))
    unpacked_HW = PackedMap.pack(soft_HW).unpack()
    assert unpacked_HW.dtype == np.float32
    assert unpacked_HW.max() == 1
    np.testing.assert_allclose(unpacked_HW, soft_HW, atol=0.5 / 255 + 1e-6)
    np.testing.assert_array_equal(unpacked_HW > 0.5, soft_HW > 0.5)
    np.testing.assert_array_equal(PackedMap.pack(unpacked_HW).unpack(), unpacked_HW)
    unpacked_HW[:] = 0  # its own
