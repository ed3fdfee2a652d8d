from __future__ import annotations

import numpy as np
import pytest
from maskloss.core.bundled.found_faces import Recent, check_picture
from maskloss.core.errors import InternalError


def picture(value: int, size: tuple[int, int] = (4, 3)) -> np.ndarray:
    return np.full((size[1], size[0], 3), value, np.uint8)


def test_recent_remembers_the_last_pictures_by_content():
    asked: list[str] = []
    recent: Recent[str] = Recent(pictures=2)

    def get(rgb_HWC: np.ndarray, text: str, also: bytes = b"") -> str:
        return recent.get(rgb_HWC, lambda: asked.append(text) or text, also)

    assert get(picture(1), "one") == "one"
    assert get(picture(1).copy(), "again") == "one"
    assert get(picture(1, (3, 4)), "other shape") == "other shape"
    assert get(picture(1), "other question", b"q") == "other question"
    assert get(picture(1), "forgotten") == "forgotten"
    assert asked == ["one", "other shape", "other question", "forgotten"]


def test_recent_takes_views_that_are_not_contiguous():
    recent: Recent[int] = Recent()
    wide_HWC = np.arange(96, dtype=np.uint8).reshape(4, 8, 3)
    assert recent.get(wide_HWC[:, ::2], lambda: 1) == 1
    assert recent.get(wide_HWC[:, ::2].copy(), lambda: 2) == 1
    assert recent.get(wide_HWC[:, 1::2], lambda: 3) == 3


@pytest.mark.parametrize(
    "wrong",
    [np.zeros((4, 4), np.uint8), np.zeros((4, 4, 4), np.uint8), np.zeros((4, 4, 3)), np.zeros((0, 4, 3), np.uint8)],
)
def test_only_rgb_uint8_is_a_picture(wrong: np.ndarray):
    with pytest.raises(InternalError, match="uint8 RGB"):
        check_picture(wrong)
