"""Small real trainings and how to compare them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from maskloss.core.demo.denoiser import DemoDenoiser
from maskloss.core.mask_weights import MaskLossSettings
from maskloss.core.train.config import LoraConfig, OptimizerConfig
from maskloss.core.train.loop import TrainResult
from maskloss.core.train.metrics import LossPoint
from maskloss.core.train.observer import SilentObserver

SIZE = (6, 6)
PLAIN = MaskLossSettings()
LORA = LoraConfig(rank=2, alpha=4.0)
OPTIMIZER = OptimizerConfig(learning_rate=1e-3)


class Stop(BaseException):
    """As ComfyUI's interrupt: no Exception."""


class Watcher(SilentObserver):
    def __init__(self, stop_after: int | None = None, stop_at_check: int | None = None) -> None:
        self.texts: list[str] = []
        self.points: list[LossPoint] = []
        self.samples: list[tuple[int, np.ndarray]] = []
        self.checks = 0
        self._stop_after, self._stop_at_check = stop_after, stop_at_check

    def say(self, text: str) -> None:
        self.texts.append(text)

    def check(self) -> None:
        self.checks += 1
        if self.checks == self._stop_at_check:
            raise Stop

    def on_sample(self, step: int, picture: np.ndarray) -> None:
        self.samples.append((step, picture))

    def step(self, point: LossPoint, total_steps: int) -> None:
        self.points.append(point)
        if point.step == self._stop_after:
            raise Stop


class Recording(DemoDenoiser):
    """Keeps what it is asked and what it answers."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[tuple[tuple[object, ...], torch.Tensor]] = []

    def predict(self, clean, noise, t, text, checkpoint):
        difference = super().predict(clean, noise, t, text, checkpoint)
        self.calls.append(((clean, noise, t, text, False), difference.detach()))
        return difference


@contextmanager
def full_disk(largest: int) -> Iterator[None]:
    """No file may grow beyond `largest` bytes, as on a full disk. Skips the test where that cannot be had."""
    resource = pytest.importorskip("resource")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (largest, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def half(size: tuple[int, int] = SIZE) -> torch.Tensor:
    """(1,1,h,w): left half 1, right half 0."""
    mask = torch.zeros(1, 1, size[1], size[0])
    mask[..., : size[0] // 2] = 1.0
    return mask


def assert_same(first: TrainResult, second: TrainResult) -> None:
    assert first.points == second.points
    assert first.lora.keys() == second.lora.keys()
    for key in first.lora:
        assert torch.equal(first.lora[key], second.lora[key]), key


def distance(first: TrainResult, second: TrainResult) -> float:
    return max(float((first.lora[key].float() - second.lora[key].float()).abs().max()) for key in first.lora)
