"""Gradients that are written out, against those that PyTorch makes of the same operations."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from maskloss.core.autograd.fused_backward import apply_rotation, is_faster_rms_norm, rms_norm


def turned(x: torch.Tensor, rotation: torch.Tensor) -> torch.Tensor:
    """Pairs (…, n, 2) times matrices (n, 2, 2)."""
    return (rotation @ x.unflatten(-1, (-1, 2))[..., None])[..., 0].flatten(-2)


@pytest.mark.parametrize("weighted", [True, False])
@pytest.mark.parametrize("eps", [None, 1e-6, 0.5])
def test_the_norm_passes_gradcheck_and_has_pytorchs_value(weighted: bool, eps: float | None) -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(3, 4, 6, generator=generator, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(6, generator=generator, dtype=torch.float64) if weighted else None
    assert torch.autograd.gradcheck(lambda x: rms_norm(x, weight, eps), (x,))
    torch.testing.assert_close(rms_norm(x, weight, eps), F.rms_norm(x, (6,), weight, eps))


def test_the_rotation_passes_gradcheck() -> None:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(3, 5, 8, generator=generator, dtype=torch.float64, requires_grad=True)
    # Any matrices: what is turned back the wrong way would be seen.
    rotation = torch.randn(4, 2, 2, generator=generator, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda x: apply_rotation(x, rotation, turned), (x,))
    assert torch.equal(apply_rotation(x, rotation, turned), turned(x, rotation))


def test_results_may_be_written_to() -> None:
    x = torch.randn(2, 4, requires_grad=True)
    result = apply_rotation(x, torch.eye(2).expand(2, 2, 2), lambda x, _: x.view(x.shape))
    result += x
    (gradient,) = torch.autograd.grad(result.sum(), x)
    assert torch.equal(gradient, torch.full_like(x, 2.0))


def test_what_is_saved_is_not_enough_for_a_second_derivative_and_says_so() -> None:
    x = torch.randn(2, 4, requires_grad=True)
    (gradient,) = torch.autograd.grad(rms_norm(x, None, None).square().sum(), x, create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        gradient.sum().backward()


@pytest.mark.parametrize(
    ("dtype", "shape", "trained", "faster"),
    [
        (torch.float32, (6,), False, True),
        (torch.bfloat16, (6,), False, False),
        (torch.float32, (4, 6), False, False),
        (torch.float32, (6,), True, False),
    ],
)
def test_where_the_norm_is_right_and_faster(dtype: torch.dtype, shape: tuple[int, ...], trained: bool, faster: bool):
    weight = torch.ones(shape[-1], dtype=dtype, requires_grad=trained)
    assert is_faster_rms_norm(torch.zeros(3, 4, 6, dtype=dtype), shape, weight) is faster
