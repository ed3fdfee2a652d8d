"""Regions that the viewer is proposed where somebody points at something: by the segmenter that was loaded last, one at
a time.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import SettingError
from ..people.regions import MOST_POINTS, Box, Point, Pointing
from .request import RefusedError

WORK_PX = 2048


@dataclass(frozen=True, eq=False)
class Helper:
    """What proposes. `propose(rgb_HWC, pointing)` gives region_HW bool; `is_busy()`: something else runs that its model
    must not run beside."""

    name: str
    propose: Callable[[np.ndarray, Pointing], np.ndarray]
    is_busy: Callable[[], bool]


class Proposals:
    """The helper of this process, for any number of threads."""

    def __init__(self) -> None:
        self._at_work = threading.Lock()
        self._helper: Helper | None = None
        self._usual: Callable[[], Helper] | None = None

    def offer(self, helper: Helper) -> None:
        """From now on this one proposes; no other is held."""
        self._helper = helper

    def offer_usual(self, make: Callable[[], Helper]) -> None:
        """What proposes where nothing else was offered; made when it is first asked."""
        self._usual = make

    @property
    def name(self) -> str:
        """What proposes; empty where nothing does."""
        if self._helper is not None:
            return self._helper.name
        return "" if self._usual is None else "bundled"

    def propose(self, rgb_HWC: np.ndarray, pointing: Pointing) -> np.ndarray:
        """region_HW bool of what is pointed at. RefusedError where nothing proposes, or something runs already; what
        the helper raises."""
        if not self._at_work.acquire(blocking=False):
            raise RefusedError(429, "Another region is being proposed; wait for it, then point again.")
        try:
            helper = self._helper
            if helper is None:
                if self._usual is None:
                    raise RefusedError(404, "No person segmenter is loaded; run a workflow with Load Person Segmenter.")
                helper = self._helper = self._usual()
            if helper.is_busy():
                raise RefusedError(429, f"A workflow is running, beside which {helper.name} cannot; wait for its end.")
            return helper.propose(rgb_HWC, pointing)
        finally:
            self._at_work.release()


PROPOSALS = Proposals()


def pointing_of(content: Mapping[str, Any], size: tuple[int, int]) -> Pointing:
    """What {"on": [[x, y]], "off": [[x, y]], "box": [left, top, right, bottom]} points at in a picture of `size`
    (width, height). SettingError for anything else."""
    box = content.get("box")
    pointing = Pointing(_points(content.get("on", [])), _points(content.get("off", [])), None if not box else _box(box))
    pointing.check_inside(size)
    return pointing


def _points(value: Any) -> tuple[Point, ...]:
    if not isinstance(value, list) or len(value) > MOST_POINTS:
        raise SettingError(f"What is pointed at is a list of {MOST_POINTS} points at most; load the page again.")
    return tuple((x, y) for x, y in (_numbers(each, 2) for each in value))


def _box(value: Any) -> Box:
    left, top, right, bottom = _numbers(value, 4)
    return left, top, right, bottom


def _numbers(value: Any, count: int) -> list[float]:
    wrong = not isinstance(value, list) or len(value) != count
    if wrong or not all(isinstance(each, int | float) and not isinstance(each, bool) for each in value):
        raise SettingError(f"A place in the picture is a list of {count} numbers; load the page again.")
    return [float(each) for each in value]
