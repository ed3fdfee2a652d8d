"""The product that is added in place: its value, its gradients, and that nothing is overwritten unseen."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from maskloss.core.train.low_rank import add_product

SCALE = 0.7


def parts(dtype: torch.dtype = torch.float64, shape: tuple[int, ...] = (2, 3)) -> tuple[torch.Tensor, ...]:
    """x, weight of the layer, down, up."""
    generator = torch.Generator().manual_seed(0)
    sizes = ((*shape, 5), (4, 5), (2, 5), (4, 2))
    return tuple(torch.randn(size, generator=generator, dtype=dtype) for size in sizes)


@pytest.mark.parametrize("shape", [(6,), (2, 3), (2, 1, 3)])
def test_it_is_the_product_and_its_gradients_pass_gradcheck(shape: tuple[int, ...]):
    x, weight, down, up = parts(shape=shape)

    def added(x: torch.Tensor, down: torch.Tensor, up: torch.Tensor) -> torch.Tensor:
        return add_product(F.linear(x, weight, weight[:, 0]), x, down, up, SCALE)

    plain = F.linear(x, weight, weight[:, 0]) + SCALE * (x @ down.T @ up.T)
    torch.testing.assert_close(added(x, down, up), plain)
    assert torch.autograd.gradcheck(added, [value.requires_grad_(True) for value in (x, down, up)])


def test_an_input_without_gradient_gets_none():
    x, weight, down, up = parts()
    add_product(F.linear(x, weight), x, down.requires_grad_(True), up.requires_grad_(True), SCALE).sum().backward()
    assert x.grad is None
    torch.testing.assert_close(up.grad, SCALE * (x @ down.T).sum(dim=(0, 1)).expand(4, 2).detach())


def test_nothing_is_copied():
    x, weight, down, up = parts()
    output = F.linear(x, weight)
    assert add_product(output, x, down, up, SCALE).data_ptr() == output.data_ptr()


def test_who_kept_the_output_for_the_way_back_is_told():
    x, weight, down, up = parts()
    output = F.linear(x.requires_grad_(True), weight)
    kept = output.exp() + output.square()
    add_product(output, x, down, up, SCALE)
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        kept.sum().backward()


def test_autocast_changes_nothing():
    x, weight, down, up = parts(torch.float32)
    plain = add_product(F.linear(x, weight), x, down, up, SCALE)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output = F.linear(x, weight).float()
        around = add_product(output.clone(), x, down, up, SCALE) - output
    torch.testing.assert_close(around, plain - F.linear(x, weight))
