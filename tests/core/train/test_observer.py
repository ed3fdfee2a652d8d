import numpy as np
from maskloss.core.train.config import LossPoint
from maskloss.core.train.observer import ProgressObserver, SilentObserver


class Recorder:
    def __init__(self) -> None:
        self.updates: list[tuple[int, int, str]] = []

    def update(self, done: int, total: int, text: str = "", preview_HWC: np.ndarray | None = None) -> None:
        self.updates.append((done, total, text))


def test_progress_gets_steps_and_texts():
    recorder = Recorder()
    observer = ProgressObserver(recorder)
    observer.say("hello")
    observer.step(LossPoint(3, 0.25, None, None, 1.0, 1e-4, 1.0), 10)
    observer.check()
    assert recorder.updates == [(0, 1, "hello"), (3, 10, "loss 0.2500"), (3, 10, "")]
    assert observer.said == ["hello"]


def test_silent_observer_takes_everything():
    observer = SilentObserver()
    observer.say("x")
    observer.check()
    observer.step(LossPoint(1, 0.0, None, None, 1.0, 1e-4, 1.0), 1)
