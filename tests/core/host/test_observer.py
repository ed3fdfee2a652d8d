"""A training run watched through the host: its texts, its progress, and its course for the panel."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from maskloss.core.host import LocalHost
from maskloss.core.host.live import EVENT, KEPT_RUNS, RunState
from maskloss.core.host.observer import HostObserver
from maskloss.core.images import load_image
from maskloss.core.train.metrics import History, LossPoint


def test_an_observer_says_everything_and_shows_the_loss(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    observer = HostObserver(LocalHost(tmp_path, tmp_path), 2, "lora")
    observer.say("first\nsecond")
    observer.check()
    observer.step(LossPoint(2, 0.5, 0.75, None, 0.2, 1e-4, 1.0, prior=0.125), 2)
    assert observer.said == ["first\nsecond"]
    assert observer.remarks == []
    observer.say("going on")
    assert observer.remarks == ["going on"]
    text = capsys.readouterr().err
    assert "  first\n  second\n" in text
    assert "2/2 loss 0.5000, inside 0.7500, prior 0.1250" in text
    assert "outside" not in text


def test_after_ten_steps_it_says_how_much_time_is_left(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr("maskloss.core.host.observer.time.monotonic", lambda: now)
    observer = HostObserver(LocalHost(tmp_path, tmp_path), 100, "lora")
    for step in range(1, 12):
        now += 60.0
        observer.step(LossPoint(step, 0.5, None, None, 0.2, 1e-4, 1.0), 100)
    lines = capsys.readouterr().err.splitlines()
    assert "left" not in lines[-2]
    assert lines[-1].endswith("11/100 loss 0.5000, 89 min left")


class WatchedHost(LocalHost):
    """The local host, with a graph editor that watches node 7."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder, folder)
        self.sent: list[tuple[str, dict]] = []

    def running_node(self) -> tuple[str, str]:
        return "7", "prompt"

    def send(self, event: str, content: Mapping[str, Any]) -> None:
        self.sent.append((event, dict(content)))


POINT = LossPoint(1, 0.5, 0.75, None, 0.2, 1e-4, 1.0)


@pytest.mark.parametrize(
    ("ended_by", "state"),
    [(None, RunState.FINISHED), (ValueError, RunState.FAILED), (KeyboardInterrupt, RunState.INTERRUPTED)],
)
def test_how_the_run_ended_reaches_the_panel(
    tmp_path: Path, ended_by: type[BaseException] | None, state: RunState
) -> None:
    host = WatchedHost(tmp_path)
    with contextlib.suppress(ValueError, KeyboardInterrupt), HostObserver(host, 3, "loras/x") as observer:
        observer.begin(History())
        observer.step(POINT, 3)
        if ended_by is not None:
            raise ended_by
    assert {event for event, _ in host.sent} == {EVENT}
    first, last = host.sent[0][1], host.sent[-1][1]
    assert (last["node"], last["run"], last["state"]) == ("7", "loras/x", state.value)
    assert first["state"] not in {each.value for each in (RunState.FINISHED, RunState.FAILED, RunState.INTERRUPTED)}


def test_a_sample_picture_is_kept_and_told(tmp_path: Path) -> None:
    host = WatchedHost(tmp_path)
    picture_HWC = np.full((4, 6, 3), 90, np.uint8)
    with HostObserver(host, 3, "x") as observer:
        observer.on_sample(2, picture_HWC)
        (shown,) = observer.shown
    assert np.array_equal(load_image(tmp_path / shown["subfolder"] / shown["filename"])[0], picture_HWC)
    assert any(shown["filename"] in json.dumps(content) for _, content in host.sent)


def test_without_a_graph_editor_nothing_is_kept_for_one(tmp_path: Path) -> None:
    with HostObserver(LocalHost(tmp_path, tmp_path), 1, "unwatched") as observer:
        observer.begin(History())
        observer.step(POINT, 1)
    assert "unwatched" not in {run["run"] for run in KEPT_RUNS.whole()["runs"]}
