"""Weights that are cast as a layer runs, and cast again in the backward pass."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from maskloss.core.autograd.recast import recast


def stored(precision: torch.dtype = torch.float8_e4m3fn) -> torch.Tensor:
    return torch.randn(6, 4, generator=torch.Generator().manual_seed(0)).to(precision)


@pytest.mark.parametrize("product", [True, False], ids=["a product", "run again"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_gradients_are_those_of_the_weight_in_full_precision(product: bool, dtype: torch.dtype) -> None:
    weight, bias = stored(), torch.randn(6).to(dtype)
    x = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(1)).to(dtype).requires_grad_(True)
    found = recast(
        x,
        lambda value: F.linear(value, weight.to(dtype), bias),
        (lambda like: weight.to(like.dtype)) if product else None,
    )
    expected = F.linear(x, weight.to(dtype), bias)
    assert torch.equal(found, expected)
    projection = torch.linspace(-1, 2, found.numel()).view(found.shape).to(dtype)
    gradients = [torch.autograd.grad((result * projection).sum(), x)[0] for result in (found, expected)]
    torch.testing.assert_close(*gradients)


def test_run_again_passes_gradcheck() -> None:
    x = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(lambda x: recast(x, lambda value: torch.sin(value) * 2), (x,))


def test_a_buffer_that_is_used_again_spoils_no_gradient() -> None:
    """The kept cast of an ordinary layer would be another layer's weight by then."""
    weights, buffer = [stored().float(), stored().float() * 3], torch.empty(6, 4)

    def layer(value: torch.Tensor, index: int) -> torch.Tensor:
        return F.linear(value, buffer.copy_(weights[index]))

    x = torch.randn(2, 4, requires_grad=True)
    result = sum(
        recast(x, lambda value, i=i: layer(value, i), lambda _like, i=i: buffer.copy_(weights[i])) for i in range(2)
    )
    (gradient,) = torch.autograd.grad(result.sum(), x)
    torch.testing.assert_close(gradient, (weights[0] + weights[1]).sum(0).expand(2, 4))


def test_nothing_cast_is_kept() -> None:
    kept: list[torch.Tensor] = []
    weight, x = stored(), torch.randn(2, 4, requires_grad=True)
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor) or tensor, lambda tensor: tensor):
        recast(x, lambda value: F.linear(value, weight.float()), lambda _like: weight.float())
        assert not kept
        recast(x, lambda value: F.linear(value, weight.float()))
    assert [tensor.shape for tensor in kept] == [x.shape]


def test_the_precision_of_the_forward_pass_is_that_of_the_backward_pass() -> None:
    seen: list[torch.dtype] = []

    def run(value: torch.Tensor) -> torch.Tensor:
        result = F.linear(value, torch.eye(4))
        seen.append(result.dtype)
        return result

    x = torch.randn(2, 4, requires_grad=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        result = recast(x, run)
    result.float().sum().backward()
    assert seen == [torch.bfloat16] * 2
