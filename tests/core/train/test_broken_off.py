"""A process that is killed loses minutes, and the next one says what it goes on from."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest
from maskloss.core.train.lora_file import load_lora
from maskloss.core.train.loss_log import last_step
from maskloss.core.train.state import load_state
from maskloss.core.warning import collect_warnings

from .runs import Stop, Watcher, assert_same


class Clock:
    """Each step takes so many seconds."""

    def __init__(self, seconds_a_step: float) -> None:
        self.now = 0.0
        self._seconds_a_step = seconds_a_step

    def __call__(self) -> float:
        return self.now


class Ticking(Watcher):
    """Advances the clock with every step, and looks at what is on disk then: what is saved after it comes later."""

    def __init__(self, clock: Clock, state: Path, seconds: float, stop_after: int | None = None) -> None:
        super().__init__(stop_after)
        self.clock, self.state, self.seconds = clock, state, seconds
        self.saved: list[int] = []

    def step(self, point, total_steps) -> None:
        self.saved.append(load_state(self.state).step if self.state.exists() else 0)
        self.clock.now += self.seconds
        super().step(point, total_steps)


def test_the_state_is_saved_every_five_minutes_of_training(run, tmp_path: Path):
    clock = Clock(0)
    watcher = Ticking(clock, tmp_path / "timed.state", 100.0)
    timed = run("timed", steps=9, watcher=watcher, clock=clock)
    assert watcher.saved == [0, 0, 0, 3, 3, 3, 6, 6, 6]
    assert_same(run("plain", steps=9), timed)
    assert not list(tmp_path.glob("timed-step*")), "no numbered LoRAs"


def test_a_save_by_number_counts_as_one(run, tmp_path: Path):
    clock = Clock(0)
    watcher = Ticking(clock, tmp_path / "timed.state", 100.0)
    run("timed", steps=6, save_every=2, watcher=watcher, clock=clock)
    assert watcher.saved == [0, 0, 2, 2, 4, 4]


SCRIPT = """
    import os, signal, sys
    from pathlib import Path
    sys.path[:0] = [{root!r}]
    import torch
    torch.set_num_threads(1)
    from tests.core.train import conftest, runs
    from maskloss.core.train.loop import train

    class Killed(runs.Watcher):
        def step(self, point, total_steps):
            clock.now += {seconds}
            if point.step == {step}:
                os.kill(os.getpid(), signal.SIGKILL)

    class Clock:
        now = 0.0
        def __call__(self):
            return self.now

    clock = Clock()
    make = conftest.make_cache.__wrapped__(Path({directory!r}))
    cache = conftest.cache.__wrapped__(make)
    conftest.run.__wrapped__(cache, Path({directory!r}))("killed", steps=6, watcher=Killed(), clock=clock)
"""


def kill(tmp_path: Path, step: int, seconds: float) -> None:
    root = Path(__file__).parents[3]
    text = textwrap.dedent(SCRIPT).format(root=str(root), directory=str(tmp_path), step=step, seconds=seconds)
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=False, cwd=root)
    assert done.returncode == -signal.SIGKILL, done.stderr


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs a system that can kill")
@pytest.mark.parametrize(
    ("seconds", "words", "first"),
    [
        (100.0, "broken off after step 5: its last save is of step 3, and it goes on from there", 4),
        (1.0, "broken off after step 5: before anything of it was saved, so it begins again at step 1", 1),
    ],
    ids=["saved by time", "never saved"],
)
def test_a_killed_run_is_named_and_goes_on_to_the_same_end(run, tmp_path: Path, seconds, words, first):
    kill(tmp_path, 5, seconds)
    assert last_step(tmp_path / "killed.jsonl") == 5
    if first > 1:
        assert load_lora(tmp_path / "killed.safetensors").metadata["ss_steps"] == "3"
    watcher = Watcher()
    with collect_warnings(lambda text: None) as given:
        resumed = run("killed", steps=6, watcher=watcher)
    assert [text for text in given.texts if "broken off" in text] == [f"{tmp_path / 'killed.safetensors'} is a run "
                                                                       f"that was {words}."]  # fmt: skip
    assert watcher.points[0].step == first
    assert_same(resumed, run("whole", steps=6))
    assert (tmp_path / "killed.jsonl").read_text() == (tmp_path / "whole.jsonl").read_text()
    assert not [path for path in tmp_path.iterdir() if ".part" in path.name]


def test_a_run_that_was_stopped_in_order_is_not_called_broken_off(run, tmp_path: Path):
    with pytest.raises(Stop):
        run("stopped", watcher=Watcher(2))
    with collect_warnings(lambda text: None) as given:
        run("stopped")
    assert not any("broken off" in text for text in given.texts)


@pytest.mark.parametrize(
    ("content", "step"),
    [
        (b"", 0),
        (b'{"step": 3, "loss": 0.5}\n{"step": 4, "lo', 3),
        (b'{"step": 3, "loss": 0.5}\n{"step": 3, "validation": 0.5}\n', 3),
        (b"\xff\xfe\x00\n[1]\n7\n", 0),
        (os.urandom(64).replace(b"\n", b""), 0),
    ],
    ids=["empty", "cut", "validation", "foreign", "random"],
)
def test_the_last_step_of_any_log(tmp_path: Path, content: bytes, step: int):
    (tmp_path / "x.jsonl").write_bytes(content)
    assert last_step(tmp_path / "x.jsonl") == step
    assert last_step(tmp_path / "gone.jsonl") == 0


def test_a_finished_run_says_its_warnings_again(run, cache):
    def warned(**more):
        with collect_warnings(lambda text: None) as given:
            run("warned", settings=None, **more)
        return given.texts

    first = warned()
    assert first == [
        "3 of 4 cached items have a mask, but no mask_loss is connected: this is plain training in which the masks do "
        "nothing."
    ]
    assert warned() == first
    assert warned(steps=6) == first
