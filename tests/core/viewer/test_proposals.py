"""Regions are proposed one at a time, by the newest segmenter, and only for what makes sense."""

from __future__ import annotations

import threading
import zlib
from pathlib import Path

import numpy as np
import pytest
from maskloss.core.errors import SettingError
from maskloss.core.people.regions import Pointing
from maskloss.core.viewer.proposals import Helper, Proposals, pointing_of
from maskloss.core.viewer.request import RefusedError

from .small_dataset import Browser, content


def around(rgb_HWC: np.ndarray, pointing: Pointing) -> np.ndarray:
    """Five pixels to each side of the first point."""
    ys, xs = np.mgrid[: rgb_HWC.shape[0], : rgb_HWC.shape[1]]
    return (abs(xs - pointing.on[0][0]) <= 5) & (abs(ys - pointing.on[0][1]) <= 5)


def helper(name: str = "here", busy: bool = False) -> Helper:
    return Helper(name, around, lambda: busy)


def test_a_region_is_proposed_and_nothing_is_painted(tmp_path: Path) -> None:
    browser = Browser(tmp_path)
    assert browser.post("propose", {"on": [[20, 10]]}).status == 404
    browser.proposals.offer(helper())
    assert content(browser.get("list"))["helper"] == "here"
    answer = browser.post("propose", {"on": [[20, 10]]})
    assert answer.headers["X-MaskLoss-Place"] == "15,5,11,11"
    assert zlib.decompress(answer.body) == b"\xff" * 121
    assert browser.store.find(tmp_path / "photos/a.png") is None
    nothing = Helper("nothing", lambda rgb_HWC, _: np.zeros(rgb_HWC.shape[:2], np.bool_), lambda: False)
    browser.proposals.offer(nothing)
    assert "Nothing was found there" in content(browser.post("propose", {"on": [[20, 10]]}))["error"]


@pytest.mark.parametrize(
    "wrong",
    [
        {}, {"on": "x"}, {"on": [[1]]}, {"on": [[1, 2, 3]]}, {"on": [[1, "2"]]}, {"on": [[True, 2]]}, {"on": [[41, 2]]},
        {"on": [[1, 2]] * 33}, {"box": [1, 2, 3]}, {"box": {"left": 1}}, {"box": [0, 0, 40, 31]}, {"on": [[-1, 0]]},
    ],
)  # fmt: skip
def test_what_points_at_nothing_is_refused(tmp_path: Path, wrong: dict) -> None:
    browser = Browser(tmp_path)
    browser.proposals.offer(helper())
    assert browser.post("propose", wrong).status == 400
    with pytest.raises(SettingError):
        pointing_of(wrong, (40, 30))


def test_one_at_a_time(tmp_path: Path) -> None:
    proposals, began, go_on = Proposals(), threading.Event(), threading.Event()
    rgb_HWC, pointing = np.zeros((30, 40, 3), np.uint8), Pointing(on=((5, 5),))

    def slow(rgb_HWC: np.ndarray, pointing: Pointing) -> np.ndarray:
        began.set()
        assert go_on.wait(60)
        return around(rgb_HWC, pointing)

    proposals.offer(Helper("slow", slow, lambda: False))
    first = threading.Thread(target=proposals.propose, args=(rgb_HWC, pointing))
    first.start()
    assert began.wait(60)
    with pytest.raises(RefusedError, match="Another region is being proposed") as refused:
        proposals.propose(rgb_HWC, pointing)
    assert refused.value.status == 429
    go_on.set()
    first.join()
    assert proposals.propose(rgb_HWC, pointing).any()
    proposals.offer(helper(busy=True))
    with pytest.raises(RefusedError, match="A workflow is running, beside which here cannot"):
        proposals.propose(rgb_HWC, pointing)


def test_the_usual_one_is_made_when_it_is_asked_and_the_newest_is_used() -> None:
    proposals, made = Proposals(), []

    def make() -> Helper:
        made.append(1)
        return helper("usual")

    proposals.offer_usual(make)
    assert (proposals.name, made) == ("bundled", [])
    for _ in range(2):
        proposals.propose(np.zeros((30, 40, 3), np.uint8), Pointing(on=((5, 5),)))
    assert (proposals.name, made) == ("usual", [1])
    proposals.offer(helper("newer"))
    assert proposals.name == "newer"


def test_a_body_that_is_too_long_is_refused(tmp_path: Path) -> None:
    body = b'{"on": [[1, 1]], "more": "' + b"x" * (1 << 20) + b'"}'
    answer = Browser(tmp_path).ask("POST", "propose", body=body, kind="application/json")
    assert answer.status == 413
