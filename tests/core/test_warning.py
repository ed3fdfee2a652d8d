from __future__ import annotations

import logging
import threading
from contextvars import copy_context

import pytest
from maskloss.core.train.read_ahead import ReadAhead
from maskloss.core.warning import LONGEST_WARNING, MOST_WARNINGS, collect_warnings, given_warnings, warn
from maskloss.core.workers import map_in_order


def test_each_text_is_kept_once_and_told_as_it_comes() -> None:
    told: list[str] = []
    with collect_warnings(told.append) as given:
        for text in ("first", "second", "first"):
            assert warn(text) == text
        assert given_warnings() == given.texts == told == ["first", "second"]
    assert given_warnings() == []


def test_the_log_has_what_nobody_collects(caplog: pytest.LogCaptureFixture) -> None:
    warn("alone")
    with collect_warnings():
        warn("collected for a while")
    assert [(record.levelno, record.getMessage()) for record in caplog.records] == [
        (logging.WARNING, "alone"),
        (logging.WARNING, "collected for a while"),
    ]


def test_an_inner_block_passes_on_what_it_collects() -> None:
    with collect_warnings(lambda text: None) as outer:
        warn("before")
        with collect_warnings() as inner:
            warn("inside")
        assert (inner.texts, outer.texts) == (["inside"], ["before", "inside"])
        with collect_warnings(lambda text: None):
            warn("kept apart")
        assert outer.texts == ["before", "inside"]


def test_there_is_an_end_to_them_and_it_is_said() -> None:
    told: list[str] = []
    with collect_warnings(told.append) as given:
        for number in range(MOST_WARNINGS + 7):
            warn(f"warning {number}")
        assert len(given.texts) == MOST_WARNINGS + 1
        assert given.texts[-1] == "There were 7 more warnings; see the log."
        assert len(told) == MOST_WARNINGS + 7, "the log has all"
    with collect_warnings(told.append) as given:
        warn("x" * (LONGEST_WARNING + 100))
    (text,) = given.texts
    assert len(text) == LONGEST_WARNING
    assert text.endswith("x…")


@pytest.mark.parametrize("workers", [1, 3])
def test_work_in_other_threads_warns_where_it_belongs(workers: int) -> None:
    def work(number: int) -> int:
        warn(f"piece {number}")
        return number

    with collect_warnings(lambda text: None) as given:
        assert list(map_in_order(work, range(5), workers)) == list(range(5))
    assert sorted(given.texts) == [f"piece {number}" for number in range(5)]


def test_reading_ahead_warns_where_it_belongs() -> None:
    with (
        collect_warnings(lambda text: None) as given,
        ReadAhead(lambda step: warn(f"step {step}"), 0, 2) as steps,
    ):
        assert [steps.take(lambda: None) for _ in range(2)] == ["step 0", "step 1"]
    assert given.texts == ["step 0", "step 1"]


def test_many_threads_lose_none() -> None:
    with collect_warnings(lambda text: None) as given:
        threads = [
            threading.Thread(target=copy_context().run, args=(lambda n=n: [warn(f"{n} {i}") for i in range(10)],))
            for n in range(8)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(given.texts) == 80
