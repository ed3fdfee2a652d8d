"""What the check of gradients before the first step learns and refuses."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from functools import partial

import pytest
import torch
from maskloss.core.autograd.checkpointing import BlockCheckpointing
from maskloss.core.autograd.gradient_check import check_gradients
from maskloss.core.errors import TrainingError
from torch import nn

from .blocks import InPlaceBlock, Stack


def test_the_check_learns_what_writes_in_place_and_refuses_wrong_gradients() -> None:
    class Plain(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(8, 8)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x + self.linear(x)

    class Stateful(Plain):
        """Runs otherwise the second time, as a patch that counts its calls would."""

        calls = 0

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.calls += 1
            return x + self.linear(x) * self.calls

    stack, plain = Stack(), Plain()
    x = torch.randn(4, 8)

    def checked(blocks: list[nn.Module], run: object) -> BlockCheckpointing:
        checkpointing = BlockCheckpointing(blocks)
        with checkpointing.install():
            check_gradients(checkpointing, run)
        return checkpointing

    assert checked([*stack.blocks], lambda: stack(x)).mutating == {InPlaceBlock}
    assert checked([plain], lambda: plain(x)).mutating == set()
    stateful = Stateful()
    with pytest.raises(TrainingError, match="Stateful come out wrong"):
        checked([stateful], lambda: stateful(x))


def test_the_check_refuses_a_wrong_backward_pass() -> None:
    """Checkpointed and plain agree, but neither is the slope."""

    class Halved(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x: torch.Tensor) -> torch.Tensor:
            return x.clone()

        @staticmethod
        def backward(ctx, gradient: torch.Tensor) -> torch.Tensor:
            return gradient / 2

    class Wrong(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(8, 8)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return Halved.apply(self.linear(x))

    block, x = Wrong(), torch.randn(4, 8)
    checkpointing = BlockCheckpointing([block])
    with checkpointing.install(), pytest.raises(TrainingError, match="Wrong differ from finite differences"):
        check_gradients(checkpointing, lambda: block(x))


class Normalised(nn.Module):
    """Makes the weights that it multiplies with, whose size is divided out again, as Chroma Radiance's do."""

    def __init__(self, then: Callable[[torch.Tensor], torch.Tensor] | None = None) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.linear = nn.Linear(8, 64)
        self.then = then or partial(nn.functional.normalize, dim=(-2, -1))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        made = self.then(self.linear(x).unflatten(-1, (8, 8)))
        return x + (made @ x[..., None])[..., 0]


def test_the_check_knows_a_flat_direction_from_a_gradient_of_zero() -> None:
    """By the gain of its layer the first has no slope; the second has one."""
    x = torch.randn(4, 8, generator=torch.Generator().manual_seed(1))
    wrong = pytest.raises(TrainingError, match="differ from finite differences")
    for block, outcome in ((Normalised(), nullcontext()), (Normalised(lambda made: made.detach() + 0 * made), wrong)):
        checkpointing = BlockCheckpointing([block])
        with checkpointing.install(), outcome:
            check_gradients(checkpointing, lambda block=block: block(x))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_the_check_sees_a_lost_gradient_in_any_precision(dtype: torch.dtype) -> None:
    """As behind sage attention, whose result no gradient comes through. A layer that does nothing needs none."""

    class Idle(Normalised):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.linear(x)
            return x * 2

    x = torch.randn(4, 8, generator=torch.Generator().manual_seed(1)).to(dtype)
    lost = pytest.raises(TrainingError, match=r"detached from the backward pass.*sage attention")
    cut = Normalised(torch.Tensor.detach)
    for block, outcome in ((Normalised(), nullcontext()), (Idle(), nullcontext()), (cut, lost)):
        block.to(dtype)
        checkpointing = BlockCheckpointing([block])
        with checkpointing.install(), outcome:
            check_gradients(checkpointing, lambda block=block: block(x))


def test_the_check_learns_what_writes_to_its_inputs_without_harm() -> None:
    """Frozen weights need no input for their gradient, so autograd says nothing; a block run again needs it."""

    class Adding(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(8, 8).requires_grad_(False)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            x += self.linear(x)
            return x

    block, x = Adding(), torch.randn(4, 8)
    checkpointing = BlockCheckpointing([block])
    with checkpointing.install():
        check_gradients(checkpointing, lambda: block(x.clone()))
    assert checkpointing.mutating == {Adding}


def test_the_check_takes_booleans_that_are_saved_for_the_backward_pass() -> None:
    class Routed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(8, 8)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.where(x > 0, self.linear(x), x)

    block, x = Routed(), torch.randn(4, 8)
    checkpointing = BlockCheckpointing([block])
    with checkpointing.install():
        check_gradients(checkpointing, lambda: block(x))
    assert not checkpointing.mutating


def test_blocks_that_are_given_their_streams_together_are_checked_too() -> None:
    """As LTX-2's, which write to a tuple of video and sound."""

    class Streams(nn.Module):
        def __init__(self, slope: float) -> None:
            super().__init__()
            self.linear, self.slope = nn.Linear(8, 8), slope

        def forward(self, x: tuple[torch.Tensor, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
            video, sound = x
            made = self.linear(video)
            video.add_(Scaled.apply(made, self.slope))
            return video, sound * 2

    class Scaled(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x: torch.Tensor, slope: float) -> torch.Tensor:
            ctx.slope = slope
            return x.clone()

        @staticmethod
        def backward(ctx, gradient: torch.Tensor) -> tuple[torch.Tensor, None]:
            return gradient * ctx.slope, None

    for slope in (1.0, 0.5):
        block = Streams(slope)
        checkpointing = BlockCheckpointing([block])
        video, sound = torch.randn(4, 8), torch.randn(4, 0)
        with checkpointing.install():
            if slope == 1.0:
                check_gradients(checkpointing, partial(block, (video, sound)))
                assert checkpointing.mutating == {Streams}
            else:
                with pytest.raises(TrainingError, match="differ from finite differences"):
                    check_gradients(checkpointing, partial(block, (video, sound)))
