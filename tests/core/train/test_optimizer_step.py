"""One optimizer step, through `train`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from maskloss.core.demo.denoiser import DemoDenoiser


def test_forward_and_backward_run_inside_the_models_recording(run):
    events: list[str] = []

    class Recording(DemoDenoiser):
        @contextmanager
        def autograd_context(self, checkpoint: bool) -> Iterator[None]:
            events.append(f"in {checkpoint}")
            yield
            events.append("out")

        def predict(self, *arguments: object) -> torch.Tensor:
            difference = super().predict(*arguments)
            difference.register_hook(lambda _: events.append("backward"))
            events.append("forward")
            return difference

    run(denoiser=Recording(), steps=1, gradient_accumulation_steps=2, gradient_checkpointing=True)
    assert events == ["in True", "forward", "backward", "out"] * 2
