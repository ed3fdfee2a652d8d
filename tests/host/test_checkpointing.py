"""Gradients of checkpointed blocks: on small blocks that need no ComfyUI, and on every architecture's own."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from functools import partial

import pytest
import torch
from maskloss.core.errors import TrainingError
from maskloss.core.host.checkpointing import BlockCheckpointing, mutation_allowed
from maskloss.core.host.denoiser import ComfyDenoiser, open_denoiser
from maskloss.core.host.gradient_check import check_gradients
from maskloss.core.train.adapters import LoraAdapters
from maskloss.core.train.config import LoraConfig, TrainingDtype
from torch import nn

from . import tiny_models as tiny  # skips where there is no ComfyUI

pytestmark = pytest.mark.comfy


@dataclass
class Gate:
    scale: torch.Tensor


class InPlaceBlock(nn.Module):
    """A residual block as Flux has them: it overwrites its input, which its norm has saved."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 8)

    def forward(self, x: torch.Tensor, gate: tuple[Gate, ...], options: dict[str, int]) -> tuple[torch.Tensor, int]:
        x += self.linear(torch.sin(x)) * gate[0].scale * (1 + options["block_index"])
        x += torch.tanh(self.linear(x)) * x
        return x, options["block_index"]


class Stack(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Linear(8, 8)
        self.gate = nn.Linear(8, 8)
        self.blocks = nn.ModuleList(InPlaceBlock() for _ in range(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        gate = (Gate(self.gate(x.mean(0, keepdim=True))),)
        options: dict[str, int] = {}
        x = self.first(x)
        for index, block in enumerate(self.blocks):
            options["block_index"] = index
            x, _ = block(x, gate, options=options)
        return x


def stack_gradients(stack: Stack, x: torch.Tensor) -> torch.Tensor:
    stack.zero_grad()
    (stack(x) ** 2).mean().backward()
    return torch.cat([parameter.grad.flatten() for parameter in stack.parameters() if parameter.grad is not None])


def test_in_place_blocks_get_the_gradients_of_the_plain_pass() -> None:
    stack, x = Stack(), torch.randn(4, 8, generator=torch.Generator().manual_seed(1))
    with mutation_allowed():
        plain = stack_gradients(stack, x)
    checkpointing = BlockCheckpointing(stack.blocks)
    with checkpointing.installed(), checkpointing.on(True):
        checkpointed = stack_gradients(stack, x)
    assert checkpointed.shape == plain.shape
    torch.testing.assert_close(checkpointed, plain, rtol=1e-5, atol=1e-7)


def test_the_usual_checkpointing_would_be_wrong() -> None:
    """The reason for this file. Should torch come to refuse or mend it, so much the better: look at it again then."""
    stack, x = Stack(), torch.randn(4, 8, generator=torch.Generator().manual_seed(1))
    with mutation_allowed():
        plain = stack_gradients(stack, x)
    for block in stack.blocks:
        inner = block.forward

        def forward(x, gate, options, inner=inner):
            index = options["block_index"]
            run = lambda y: inner(y.clone(), gate, {"block_index": index})[0]  # noqa: E731
            return torch.utils.checkpoint.checkpoint(run, x, use_reentrant=False), index

        block.forward = forward
    try:
        usual = stack_gradients(stack, x)
    except RuntimeError:
        return
    assert (usual - plain).norm() > 1e-3 * plain.norm()


def test_activations_are_not_kept() -> None:
    stack, x = Stack(), torch.randn(4, 8)
    kept: list[int] = []
    checkpointing = BlockCheckpointing(stack.blocks)

    def forward_memory() -> int:
        kept.clear()
        with torch.autograd.graph.saved_tensors_hooks(lambda t: (kept.append(t.numel()), t)[1], lambda t: t):
            stack(x)
        return sum(kept)

    with checkpointing.installed():
        plain = forward_memory()
        with checkpointing.on(True):
            assert forward_memory() < plain / 2


def test_blocks_are_left_as_they_were_also_after_an_exception() -> None:
    stack = Stack()
    own = stack.blocks[1].forward
    stack.blocks[1].forward = own
    checkpointing = BlockCheckpointing(stack.blocks)
    with pytest.raises(ZeroDivisionError), checkpointing.installed():
        raise ZeroDivisionError
    assert "forward" not in vars(stack.blocks[0])
    assert stack.blocks[1].forward is own


def test_without_gradients_nothing_is_recomputed() -> None:
    stack, x = Stack(), torch.randn(4, 8)
    checkpointing = BlockCheckpointing(stack.blocks)
    with checkpointing.installed(), checkpointing.on(True), torch.no_grad():
        assert not stack(x).requires_grad


def test_the_precision_of_the_way_forth_is_that_of_the_way_back() -> None:
    stack, x = Stack(), torch.randn(4, 8)
    seen: list[torch.dtype] = []
    stack.blocks[1].linear.register_forward_hook(lambda _m, _a, output: seen.append(output.dtype))
    checkpointing = BlockCheckpointing(stack.blocks)
    with checkpointing.installed(), checkpointing.on(True):
        with torch.autocast("cpu", dtype=torch.bfloat16):
            result = stack(x)
        result.float().square().mean().backward()
    assert seen == [torch.bfloat16] * 4


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
        with checkpointing.installed():
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
    with checkpointing.installed(), pytest.raises(TrainingError, match="Wrong are not its slope"):
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
    wrong = pytest.raises(TrainingError, match="not its slope")
    for block, outcome in ((Normalised(), nullcontext()), (Normalised(lambda made: made.detach() + 0 * made), wrong)):
        checkpointing = BlockCheckpointing([block])
        with checkpointing.installed(), outcome:
            check_gradients(checkpointing, lambda block=block: block(x))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_the_check_sees_a_lost_gradient_in_any_precision(dtype: torch.dtype) -> None:
    """As behind sage attention, whose result no gradient comes through. A layer that does nothing needs none."""

    class Idle(Normalised):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            self.linear(x)
            return x * 2

    x = torch.randn(4, 8, generator=torch.Generator().manual_seed(1)).to(dtype)
    lost = pytest.raises(TrainingError, match=r"lost on the way back.*sage attention")
    cut = Normalised(torch.Tensor.detach)
    for block, outcome in ((Normalised(), nullcontext()), (Idle(), nullcontext()), (cut, lost)):
        block.to(dtype)
        checkpointing = BlockCheckpointing([block])
        with checkpointing.installed(), outcome:
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
    with checkpointing.installed():
        check_gradients(checkpointing, lambda: block(x.clone()))
    assert checkpointing.mutating == {Adding}


def test_the_check_takes_booleans_that_are_kept_for_the_way_back() -> None:
    class Routed(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.linear = nn.Linear(8, 8)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.where(x > 0, self.linear(x), x)

    block, x = Routed(), torch.randn(4, 8)
    checkpointing = BlockCheckpointing([block])
    with checkpointing.installed():
        check_gradients(checkpointing, lambda: block(x))
    assert not checkpointing.mutating


def _of(block: str, *layers: str) -> set[str]:
    return {f"{block}.{layer}" for layer in layers}


# What the last block of these makes of the text, nobody reads.
_QWEN = _of("transformer_blocks.1", "txt_mlp.net.0.proj", "txt_mlp.net.2", "attn.add_q_proj", "attn.to_add_out")
IDLE = {
    "qwen_image": _QWEN,
    "mage_flow": _QWEN,
    "lens": _of("transformer_blocks.1", "attn.to_add_out", "txt_mlp.w1", "txt_mlp.w2", "txt_mlp.w3"),
    "joy_image": _of("double_blocks.1", "attn.txt_attn_proj", "txt_mlp.net.0.proj", "txt_mlp.net.2"),
    "pixeldit": _of("patch_blocks.1", "attn.proj_y", "mlp_y.w1", "mlp_y.w2", "mlp_y.w3"),
}


@contextmanager
def adapted(name: str, targets: str = "") -> Generator[tuple[ComfyDenoiser, LoraAdapters]]:
    """A denoiser with a LoRA that already does something, in fp32."""
    with open_denoiser(tiny.load_model(name), tiny.text_for(name)) as denoiser:
        generator = torch.Generator().manual_seed(0)
        adapters = LoraAdapters(
            denoiser.module, LoraConfig(rank=4, alpha=4, targets=targets), denoiser.default_targets, generator,
            denoiser.device, torch.float32,
        )  # fmt: skip
        with torch.no_grad():
            for parameter in adapters.parameters:
                parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.05)
        with adapters.attached():
            yield denoiser, adapters


def sample(name: str, batch: int = 2) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(7)
    # Krea 2 takes pictures alone, though in a video model's latents.
    frames = 2 if tiny.takes_videos(name) and name != "krea2" else 1
    shape = (batch, *tiny.latent_shape(name, frames))
    clean, noise = (torch.randn(shape, generator=generator) for _ in range(2))
    return clean, noise, torch.linspace(0.3, 0.7, batch)


def loss(name: str, denoiser: ComfyDenoiser, checkpoint: bool) -> torch.Tensor:
    clean, noise, t = sample(name)
    texts = [tiny.text_for(name, length=length, seed=length) for length in (6, 4)]
    return denoiser.predict(clean, noise, t, texts, checkpoint).square().mean()


def gradients(name: str, denoiser: ComfyDenoiser, adapters: LoraAdapters, checkpoint: bool) -> torch.Tensor:
    for parameter in adapters.parameters:
        parameter.grad = None
    with denoiser.recording(checkpoint):
        loss(name, denoiser, checkpoint).backward()
    return torch.cat([torch.zeros(p.numel()) if p.grad is None else p.grad.flatten() for p in adapters.parameters])


@pytest.mark.parametrize("name", tiny.EVERY_ARCHITECTURE)
def test_gradients_of_every_architecture_are_right(name: str) -> None:
    """Checkpointed equals plain; both equal central differences; no adapter is left without a gradient."""
    with adapted(name) as (denoiser, adapters):
        plain = gradients(name, denoiser, adapters, checkpoint=False)
        pairs = zip(adapters.layer_names, adapters.parameters[::2], strict=True)
        assert {layer for layer, down in pairs if down.grad is None or down.grad.norm() == 0} == IDLE.get(name, set())
        checkpointed = gradients(name, denoiser, adapters, checkpoint=True)
        assert (checkpointed - plain).norm() < 1e-4 * plain.norm()
        direction = plain / plain.norm()
        step = 0.02
        values = []
        with torch.no_grad():
            for sign in (1, -1):
                moves = direction.split([parameter.numel() for parameter in adapters.parameters])
                for parameter, move in zip(adapters.parameters, moves, strict=True):
                    parameter.add_(sign * step * move.reshape(parameter.shape))
                values.append(loss(name, denoiser, False).double())
                for parameter, move in zip(adapters.parameters, moves, strict=True):
                    parameter.sub_(sign * step * move.reshape(parameter.shape))
        numeric = float((values[0] - values[1]) / (2 * step))
        assert numeric == pytest.approx(float(plain.norm()), rel=1e-2)


@pytest.mark.parametrize("name", tiny.EVERY_ARCHITECTURE)
def test_checkpointing_changes_nothing_in_bf16_either(name: str) -> None:
    with open_denoiser(
        tiny.load_model(name, torch.bfloat16), tiny.text_for(name), dtype=TrainingDtype.BF16
    ) as denoiser:
        adapters = LoraAdapters(
            denoiser.module, LoraConfig(rank=4, alpha=4), denoiser.default_targets, torch.Generator().manual_seed(0),
            denoiser.device, torch.float32,
        )  # fmt: skip
        with adapters.attached(), torch.autocast(denoiser.device.type, dtype=torch.bfloat16):
            plain, checkpointed = (gradients(name, denoiser, adapters, checkpoint) for checkpoint in (False, True))
    assert torch.isfinite(plain).all()
    assert plain.norm() > 0
    # A block that runs again may add up in another order where it was given more at once.
    assert (checkpointed - plain).norm() < 2e-2 * plain.norm()


@pytest.mark.parametrize("name", ["flux", "hunyuan_video"])
def test_adapters_before_the_blocks_get_the_right_gradient_too(name: str) -> None:
    """Their gradient passes through every checkpointed block's inputs (modulation, text stream)."""
    with adapted(name, targets=r"^(img_in|txt_in|time_in|vector_in)") as (denoiser, adapters):
        plain = gradients(name, denoiser, adapters, checkpoint=False)
        checkpointed = gradients(name, denoiser, adapters, checkpoint=True)
        assert plain.norm() > 0
        assert (checkpointed - plain).norm() < 1e-4 * plain.norm()
