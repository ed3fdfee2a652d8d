"""What a run tells whoever watches, in which order, and that nobody need watch."""

import pytest
from maskloss.core.train.observer import SilentObserver, TrainObserver

from .runs import Stop, assert_same


class Notebook(SilentObserver):
    """Writes down what it is told."""

    def __init__(self, stop_at: str = "") -> None:
        self.told: list[str] = []
        self._stop_at = stop_at

    def _note(self, what: str) -> None:
        self.told.append(what)
        if what == self._stop_at:
            raise Stop

    def check(self) -> None:
        self._note("check")

    def begin(self, history) -> None:
        self._note("begin")

    def step(self, point, total_steps: int) -> None:
        self._note(f"step {point.step} of {total_steps}")

    def on_validation(self, step: int, value: float) -> None:
        self._note(f"validation {step}")


def test_it_begins_then_checks_before_every_step_and_an_evaluation_comes_before_its_steps_point(run, cache):
    watcher = Notebook()
    run(watcher=watcher, steps=3, validation_cache=cache)
    assert watcher.told[0] == "begin"
    told = [each for each in watcher.told[1:] if each != "check"]
    assert told.index("validation 3") == told.index("step 3 of 3") - 1
    assert [each for each in told if each.startswith("step")] == ["step 1 of 3", "step 2 of 3", "step 3 of 3"]
    for number in (1, 2, 3):
        before = watcher.told[: watcher.told.index(f"step {number} of 3")]
        assert before.count("check") >= number


@pytest.mark.parametrize("stop_at", ["begin", "check", "step 2 of 4"])
def test_wherever_an_interrupt_comes_the_run_can_go_on_to_the_same_end(run, stop_at: str):
    whole = run("whole", steps=4)
    with pytest.raises(Stop):
        run("cut", steps=4, watcher=Notebook(stop_at))
    assert_same(run("cut", steps=4), whole)


def test_nobody_need_watch(run):
    assert_same(run("silent", steps=2, watcher=SilentObserver()), run("noted", steps=2, watcher=Notebook()))


def test_the_silent_one_hears_everything_there_is_to_hear():
    heard = {name for name in vars(TrainObserver) if not name.startswith("_")}
    assert heard == {name for name in vars(SilentObserver) if not name.startswith("_")}
