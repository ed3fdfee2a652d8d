"""In-place operations of a traced block become out-of-place ones, and the block has a backward pass."""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Any

import pytest
import torch
from maskloss.core.autograd.out_of_place import write_out_of_place

Function = Callable[[torch.Tensor], torch.Tensor]


def plain(x: torch.Tensor) -> torch.Tensor:
    y = x * 2
    z = torch.nn.functional.layer_norm(y, (4,))
    y = y + z * torch.exp(y)
    return y * 3


def overwriting(x: torch.Tensor) -> torch.Tensor:
    y = x * 2
    z = torch.nn.functional.layer_norm(y, (4,))
    w = torch.exp(y)
    y += z * w
    y.mul_(3)
    return y


def of_inputs(x: torch.Tensor) -> torch.Tensor:
    x = x.clone()
    z = torch.exp(x)
    x += z
    return x * z


def through_a_view(x: torch.Tensor) -> torch.Tensor:
    y = x * 2
    view = y[:, 1:]
    y += 1
    return view * 2


def mixed(x: torch.Tensor) -> torch.Tensor:
    y = (x * 2).to(torch.bfloat16)
    y += x
    return y


def compiled(function: Function, seen: list[Any]) -> Function:
    def backend(graph: Any, inputs: list[Any]) -> Any:
        write_out_of_place(graph)
        seen.append({node.target for node in graph.graph.nodes})
        return torch._dynamo.lookup_backend("aot_eager")(graph, inputs)

    torch._dynamo.reset()
    return torch.compile(function, backend=backend)


@pytest.mark.parametrize(("function", "same_as"), [(overwriting, plain), (of_inputs, None), (mixed, None)])
def test_values_and_gradients_are_the_same(function: Function, same_as: Function | None) -> None:
    seen: list[Any] = []
    x = torch.randn(3, 4, generator=torch.Generator().manual_seed(0), requires_grad=True)
    found = compiled(function, seen)(x)
    expected = function(x.detach())
    assert torch.equal(found, expected)
    assert found.dtype == expected.dtype
    (gradient,) = torch.autograd.grad(found.float().sum(), x)
    assert torch.isfinite(gradient).all()
    if same_as is not None:
        (wanted,) = torch.autograd.grad(same_as(x).sum(), x)
        torch.testing.assert_close(gradient, wanted)
    assert not {operator.iadd, "mul_"} & seen[0]


def test_what_is_seen_through_a_view_stays() -> None:
    seen: list[Any] = []
    x = torch.randn(3, 4, requires_grad=True)
    found = compiled(through_a_view, seen)(x)
    assert torch.equal(found, through_a_view(x.detach()))
    assert operator.iadd in seen[0]
