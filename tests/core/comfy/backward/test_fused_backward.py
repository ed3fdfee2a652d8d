"""Gradients that are written out: their values, and when PyTorch's own are taken."""

from __future__ import annotations

from contextlib import suppress

import pytest
import torch
import torch.nn.functional as F
from maskloss.core.comfy.backward.fused_backward import use_fused_backward
from tiny_comfy import tiny_models as tiny  # skips where there is no ComfyUI

import comfy.ldm.flux.math as flux_math  # isort: skip

pytestmark = pytest.mark.comfy
Shape = tuple[int, ...]


@pytest.fixture
def training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiny.management, "in_training", True)


def normalised(x: torch.Tensor, weight: torch.Tensor | None, eps: float | None) -> tuple[torch.Tensor, torch.Tensor]:
    """The norm, and the gradient of a fixed projection of it by `x`."""
    x = x.clone().requires_grad_(True)
    result = F.rms_norm(x, (x.shape[-1],), weight, eps)
    (gradient,) = torch.autograd.grad((result * torch.linspace(-1, 2, result.numel()).view(result.shape)).sum(), x)
    return result.detach(), gradient


@pytest.mark.usefixtures("training")
@pytest.mark.parametrize("eps", [None, 1e-6, 0.5])
@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("shape", [(7,), (5, 7), (2, 3, 4, 16)])
def test_it_is_pytorchs_norm_with_its_gradient(shape: Shape, weighted: bool, eps: float | None):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(shape, generator=generator) * 3
    weight = torch.randn(shape[-1], generator=generator) if weighted else None
    expected = normalised(x, weight, eps)
    with use_fused_backward():
        found = normalised(x, weight, eps)
    torch.testing.assert_close(found, expected)


@pytest.mark.usefixtures("training")
def test_what_is_saved_for_the_backward_pass_is_not_overwritten():
    x = torch.randn(4, 6, generator=torch.Generator().manual_seed(0), requires_grad=True)
    with use_fused_backward():
        result = F.rms_norm(x, (6,)).sum()
        first, second = (torch.autograd.grad(result, x, retain_graph=True)[0] for _ in range(2))
    assert torch.equal(first, second)


@pytest.mark.usefixtures("training")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(
    ("shape", "positions"),
    [((2, 5, 3, 8), (1, 5, 1)), ((2, 3, 5, 8), (2, 1, 5)), ((2, 3, 5, 8), (1, 1, 9))],
    ids=["WAN's", "Flux'", "more positions than tokens"],
)
def test_rotations_are_comfyuis_with_their_gradient(shape: Shape, positions: Shape, dtype: torch.dtype):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(shape, generator=generator).to(dtype)
    # Any matrices: what is turned back the wrong way would be seen.
    rotation = torch.randn((*positions, 4, 2, 2), generator=generator)

    def rotated() -> tuple[torch.Tensor, torch.Tensor]:
        leaf = x.clone().requires_grad_(True)
        results = flux_math.apply_rope(leaf, leaf * 2, rotation)
        projection = torch.linspace(-1, 2, x.numel()).view(shape)
        (gradient,) = torch.autograd.grad(sum((each * projection).sum() for each in results), leaf)
        return results[1].detach(), gradient

    expected = rotated()
    with use_fused_backward():
        found = rotated()
    assert torch.equal(found[0], expected[0])
    torch.testing.assert_close(found[1], expected[1])


@pytest.mark.usefixtures("training")
def test_what_was_rotated_may_be_written_to():
    x = torch.randn(1, 2, 3, 8, requires_grad=True)
    with use_fused_backward():
        result = flux_math.apply_rope1(x, torch.eye(2).expand(1, 1, 3, 4, 2, 2))
        result += x
    (gradient,) = torch.autograd.grad(result.sum(), x)
    torch.testing.assert_close(gradient, torch.full_like(x, 2.0))


@pytest.mark.usefixtures("training")
@pytest.mark.parametrize("kind", ["bf16", "two axes", "trained weight"])
def test_everything_else_is_pytorchs(kind: str):
    x = torch.randn(3, 4, 6, generator=torch.Generator().manual_seed(0), requires_grad=True)
    weight = torch.ones(6, requires_grad=kind == "trained weight")
    shape = (4, 6) if kind == "two axes" else (6,)
    given = (x.bfloat16(), shape, weight.bfloat16()) if kind == "bf16" else (x, shape)
    given = (x, shape, weight) if kind == "trained weight" else given
    expected = F.rms_norm(*given)
    with use_fused_backward():
        found = F.rms_norm(*given)
    assert type(found.grad_fn) is type(expected.grad_fn)
    assert torch.equal(found, expected)


def test_who_samples_gets_pytorchs_own():
    x = torch.randn(3, 6, generator=torch.Generator().manual_seed(0), requires_grad=True)
    expected = F.rms_norm(x, (6,))
    with use_fused_backward():
        assert type(F.rms_norm(x, (6,)).grad_fn) is type(expected.grad_fn)


def test_all_is_as_it_was_also_after_an_exception():
    before = F.rms_norm, flux_math._apply_rope1
    with suppress(KeyboardInterrupt), use_fused_backward():
        assert F.rms_norm is not before[0]
        assert flux_math._apply_rope1 is not before[1]
        raise KeyboardInterrupt
    assert (F.rms_norm, flux_math._apply_rope1) == before
