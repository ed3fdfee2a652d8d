"""A training run told from one process to another."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from maskloss.core.errors import DiskError
from maskloss.core.host.relay import Relay, Relayed
from maskloss.core.scores.checkpoint_scores import CheckpointScores
from maskloss.core.train.metrics import History, LossPoint

POINT = LossPoint(1, 0.5, 0.75, None, 0.2, 1e-4, 1.0, ("a",), prior=0.125, people={"anna": 0.5})
SCORES = CheckpointScores(1, 4, 3, likeness=0.5, copy_of="b.png")


class Notes:
    """Notes down all that it hears."""

    def __init__(self) -> None:
        self.heard: list[tuple[Any, ...]] = []

    def __getattr__(self, name: str) -> Any:
        return lambda *values: self.heard.append((name, *values))

    def begin(self, history: History) -> None:
        self.heard.append(("begin", history.points, history.validation, history.scores))

    def on_sample(self, step: int, picture: np.ndarray) -> None:
        self.heard.append(("on_sample", step, picture.tolist()))


def test_everything_that_is_said_is_heard_once_and_in_order(tmp_path: Path) -> None:
    relay, notes = Relay(tmp_path / "events"), Notes()
    relayed = Relayed(tmp_path / "events", notes, lambda text: notes.heard.append(("warned", text)))
    relayed.tell()
    assert notes.heard == []
    picture = np.random.default_rng(0).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    relay.say("a\nb 好")
    relay.begin(History([POINT], [(0, 0.25)], [SCORES]))
    relay.check()
    relayed.tell()
    relay.warn("careful")
    relay.on_validation(2, 0.5)
    relay.on_sample(2, picture)
    relay.on_scores(SCORES)
    relay.step(POINT, 9)
    relayed.tell()
    relayed.tell()
    assert notes.heard == [
        ("say", "a\nb 好"),
        ("begin", [POINT], [(0, 0.25)], [SCORES]),
        ("warned", "careful"),
        ("on_validation", 2, 0.5),
        ("on_sample", 2, picture.tolist()),
        ("on_scores", SCORES),
        ("step", POINT, 9),
    ]
    assert (relayed.finished, relayed.failed) == (None, None)


def test_half_a_line_waits_for_its_other_half(tmp_path: Path) -> None:
    path, notes = tmp_path / "events", Notes()
    relayed = Relayed(path, notes, print)
    line = json.dumps({"event": "say", "values": ["whole"]})
    path.write_text(line[:10])
    relayed.tell()
    assert notes.heard == []
    path.write_text(line + "\n" + line[:3])
    relayed.tell()
    assert notes.heard == [("say", "whole")]


def test_what_an_observer_raises_costs_no_line_and_tells_none_twice(tmp_path: Path) -> None:
    relay, heard = Relay(tmp_path / "events"), []

    class Interrupts(Notes):
        def say(self, text: str) -> None:
            heard.append(text)
            if text == "one":
                raise KeyboardInterrupt

    relayed = Relayed(tmp_path / "events", Interrupts(), print)
    relay.say("one")
    relay.say("two")
    with pytest.raises(KeyboardInterrupt):
        relayed.tell()
    relayed.tell()
    assert heard == ["one", "two"]


@pytest.mark.parametrize(
    ("problem", "text"),
    [(ValueError("no room"), "no room"), (ValueError(), "ValueError: "), (KeyboardInterrupt(), "KeyboardInterrupt: ")],
)
def test_how_it_ends(tmp_path: Path, problem: BaseException, text: str) -> None:
    relay, relayed = Relay(tmp_path / "events"), Relayed(tmp_path / "events", Notes(), print)
    relay.fail(problem)
    relay.finish("/out/lora.safetensors")
    relayed.tell()
    assert relayed.failed == text
    assert relayed.finished == Path("/out/lora.safetensors")


def test_a_folder_that_is_gone(tmp_path: Path) -> None:
    with pytest.raises(DiskError, match="queue again"):
        Relay(tmp_path / "gone/events").say("anything")
