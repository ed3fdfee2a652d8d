"""A frozen layer as one operation of compiled code: values, gradients, dtypes, and code that equal layers share."""

from __future__ import annotations

from typing import Any

import torch
from maskloss.core.autograd.opaque import OpaqueLayer


class Frozen:
    """A linear layer whose weight is another one in each instance, and which counts its calls."""

    def __init__(self, seed: int) -> None:
        self.weight = torch.randn(3, 4, generator=torch.Generator().manual_seed(seed))
        self.calls = 0
        self.opaque = OpaqueLayer(self.run, self.input_gradient, 3)

    def run(self, value: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        return value @ self.weight.to(value).T

    def input_gradient(self, gradient: torch.Tensor, shape: torch.Size) -> torch.Tensor:
        assert shape == (*gradient.shape[:-1], 4)
        return gradient @ self.weight.to(gradient)


def test_equal_layers_share_compiled_code_and_each_runs_its_own_weight() -> None:
    graphs: list[Any] = []

    def backend(graph: Any, inputs: list[Any]) -> Any:
        graphs.append(graph)
        return torch._dynamo.lookup_backend("aot_eager")(graph, inputs)

    torch._dynamo.reset()
    layers = [Frozen(seed) for seed in range(3)]
    compiled = torch.compile(lambda opaque, x: torch.tanh(opaque(x)), backend=backend)
    for layer in layers:
        x = torch.randn(2, 5, 4, requires_grad=True)
        found = compiled(layer.opaque, x)
        expected = torch.tanh(x @ layer.weight.T)
        torch.testing.assert_close(found, expected)
        gradients = [torch.autograd.grad(each.square().sum(), x)[0] for each in (found, expected)]
        torch.testing.assert_close(*gradients)
        assert layer.calls == 1
    assert len(graphs) == 1


def test_autocast_decides_the_dtype_as_for_any_layer() -> None:
    layer, x = Frozen(0), torch.randn(2, 4, requires_grad=True)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = layer.opaque(x)
    assert found.dtype == torch.bfloat16
    (gradient,) = torch.autograd.grad(found.float().sum(), x)
    assert gradient.dtype == torch.float32
    assert layer.opaque(x).dtype == torch.float32
