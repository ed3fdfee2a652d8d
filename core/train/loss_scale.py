"""Loss scaling for fp16 arithmetic, whose small gradients would vanish otherwise (arXiv 1710.03740)."""

from __future__ import annotations

from collections.abc import Sequence

import torch

_START = 2.0**16
_LEAST = 2.0**-14
_STEPS_BEFORE_DOUBLING = 2000


class LossScale:
    """A factor on the loss that is halved when gradients overflow and doubled after 2000 steps in which none did."""

    def __init__(self) -> None:
        self._factor = _START
        self._good = 0

    @property
    def to_save(self) -> tuple[float, int]:
        """What a resumed run needs."""
        return self._factor, self._good

    def restore(self, saved: Sequence[float]) -> None:
        """Go back to what `saved` was."""
        self._factor, self._good = float(saved[0]), int(saved[1])

    def scale_loss(self, loss: torch.Tensor) -> torch.Tensor:
        """The loss to go backward from."""
        return loss * self._factor

    def unscale(self, parameters: Sequence[torch.nn.Parameter]) -> None:
        """Give the gradients their own size, in place."""
        for parameter in parameters:
            if parameter.grad is not None:
                parameter.grad.div_(self._factor)

    def reduce(self) -> bool:
        """Halve the factor, to try the same step again. False where it is so small already that something else must be
        wrong."""
        self._factor, self._good = self._factor / 2.0, 0
        return self._factor >= _LEAST

    def record_success(self) -> None:
        """A step's gradients were finite."""
        self._good += 1
        if self._good == _STEPS_BEFORE_DOUBLING:
            self._factor, self._good = self._factor * 2.0, 0
