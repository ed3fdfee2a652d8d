"""Interrupting work between its stages: only where somebody asks for it, and only as long."""

import threading
from contextvars import copy_context

import numpy as np
import pytest
from maskloss.core.progress import SILENT, WorkStopped, check_interrupted, set_interrupt_check


def stop() -> None:
    raise WorkStopped


def test_work_stops_only_inside_and_the_innermost_check_counts() -> None:
    calls: list[str] = []
    check_interrupted()
    with set_interrupt_check(lambda: calls.append("outer")):
        check_interrupted()
        with pytest.raises(WorkStopped), set_interrupt_check(stop):
            check_interrupted()
        check_interrupted()
    check_interrupted()
    assert calls == ["outer", "outer"]


def test_no_handler_of_errors_swallows_an_interrupt() -> None:
    assert not issubclass(WorkStopped, Exception)


def test_threads_have_the_check_with_the_callers_context_alone() -> None:
    outcomes: dict[str, bool] = {}

    def work(name: str) -> None:
        try:
            check_interrupted()
            outcomes[name] = False
        except WorkStopped:
            outcomes[name] = True

    with set_interrupt_check(stop):
        context = copy_context()
        threads = [
            threading.Thread(target=context.run, args=(work, "with context")),
            threading.Thread(target=work, args=("without",)),
        ]
        for thread in threads:
            thread.start()
            thread.join()
    assert outcomes == {"with context": True, "without": False}


def test_silent_progress_takes_everything() -> None:
    assert SILENT.update(1, 2, "text", np.zeros((2, 2, 3), np.uint8)) is None
