"""A picture sampler for the demo model, and an interrupt while it draws."""

from __future__ import annotations

from collections.abc import Callable

import torch
from maskloss.core.scores.checkpoint_scores import POSITIVE
from maskloss.core.train.config import LoraConfig, OptimizerConfig
from maskloss.core.train.denoiser import Denoiser
from maskloss.core.train.sampling import Samples

from .runs import Stop, Watcher

FAST = OptimizerConfig(learning_rate=2e-2, ema_decay=0.5)

DROPPING = LoraConfig(rank=2, alpha=4.0, dropout=0.3)


class Euler:
    """A picture sampler for the demo model, from noise to the clean latent; it uses the global generator, too."""

    def __init__(self, every: int = 2, failing: Callable[[int], bool] = lambda _: False) -> None:
        self.every = every
        self.calls = 0
        self._failing = failing

    def notes(self, *_: object) -> tuple[str, ...]:
        return ()

    def scorer(self, *_: object) -> None:
        return None

    def draw(self, denoiser: Denoiser, check: Callable[[], None]) -> Samples:
        self.calls += 1
        if self._failing(self.calls):
            raise torch.OutOfMemoryError("out of memory")
        torch.manual_seed(3)
        x = torch.randn(1, 16, 1, 6, 6)
        with torch.no_grad():
            for t in (1.0, 0.75, 0.5, 0.25):
                check()
                zeros = torch.zeros_like(x)
                velocity = denoiser.predict(zeros, x / t, torch.tensor([t]), [{"tokens": torch.ones(1, 64)}], False)
                x = x - 0.25 * (velocity + x / t)
        picture_HWC = (x[0, :3, 0].movedim(0, -1) * 40 + 128).round().clamp(0, 255).to(torch.uint8).numpy()
        return {POSITIVE: picture_HWC[None, None]}


class SamplingStops(Watcher):
    """Interrupts in the sampler's second step after optimizer step `wanted`."""

    def __init__(self, wanted: int) -> None:
        super().__init__()
        self._wanted, self._checks_since_step = wanted, 0

    def step(self, point, total_steps):
        super().step(point, total_steps)
        self._checks_since_step = 0

    def check(self) -> None:
        self._checks_since_step += 1
        if self.points and self.points[-1].step == self._wanted and self._checks_since_step == 2:
            raise Stop
