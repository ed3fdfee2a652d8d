"""The RMS norm that is quick on the CPU: its value, its gradient, and when PyTorch's own is taken."""

from __future__ import annotations

from contextlib import suppress

import pytest
import torch
import torch.nn.functional as F
from maskloss.core.host.norms import quick_norms

from . import tiny_models as tiny  # skips where there is no ComfyUI

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
    with quick_norms():
        found = normalised(x, weight, eps)
    torch.testing.assert_close(found, expected)


@pytest.mark.usefixtures("training")
def test_what_is_kept_for_the_way_back_is_not_overwritten():
    x = torch.randn(4, 6, generator=torch.Generator().manual_seed(0), requires_grad=True)
    with quick_norms():
        result = F.rms_norm(x, (6,)).sum()
        first, second = (torch.autograd.grad(result, x, retain_graph=True)[0] for _ in range(2))
    assert torch.equal(first, second)


@pytest.mark.usefixtures("training")
@pytest.mark.parametrize("kind", ["bf16", "two axes", "trained weight"])
def test_everything_else_is_pytorchs(kind: str):
    x = torch.randn(3, 4, 6, generator=torch.Generator().manual_seed(0), requires_grad=True)
    weight = torch.ones(6, requires_grad=kind == "trained weight")
    shape = (4, 6) if kind == "two axes" else (6,)
    given = (x.bfloat16(), shape, weight.bfloat16()) if kind == "bf16" else (x, shape)
    given = (x, shape, weight) if kind == "trained weight" else given
    expected = F.rms_norm(*given)
    with quick_norms():
        found = F.rms_norm(*given)
    assert type(found.grad_fn) is type(expected.grad_fn)
    assert torch.equal(found, expected)


def test_who_samples_gets_pytorchs_own():
    x = torch.randn(3, 6, generator=torch.Generator().manual_seed(0), requires_grad=True)
    expected = F.rms_norm(x, (6,))
    with quick_norms():
        assert type(F.rms_norm(x, (6,)).grad_fn) is type(expected.grad_fn)


def test_the_norm_is_as_it_was_also_after_an_exception():
    before = F.rms_norm
    with suppress(KeyboardInterrupt), quick_norms():
        assert F.rms_norm is not before
        raise KeyboardInterrupt
    assert F.rms_norm is before
