"""Layers that run on held weights: results, gradients, precision, and that nothing of them stays."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from maskloss.core.errors import TrainingError
from maskloss.core.frozen.config import BaseConfig, BasePrecision
from maskloss.core.frozen.held_base import BaseLayer, HeldBase, Product, is_product
from maskloss.core.frozen.held_weights import from_int8, to_int8
from torch import nn

CPU = torch.device("cpu")
INT8 = BaseConfig(BasePrecision.INT8)
LAYERS = {
    "linear": (lambda: nn.Linear(12, 8), (2, 5, 12)),
    "linear without bias": (lambda: nn.Linear(12, 8, bias=False), (5, 12)),
    "conv1d": (lambda: nn.Conv1d(4, 8, 3, padding=1), (2, 4, 9)),
    "conv2d, strided": (lambda: nn.Conv2d(4, 8, 3, stride=2, padding=1), (2, 4, 9, 8)),
    "conv2d, grouped": (lambda: nn.Conv2d(4, 8, 3, groups=2, dilation=2), (2, 4, 9, 9)),
    "conv2d of one picture": (lambda: nn.Conv2d(4, 8, 3), (4, 9, 9)),
    "conv2d, reflected": (lambda: nn.Conv2d(4, 8, 3, padding=1, padding_mode="reflect"), (2, 4, 9, 8)),
    "conv2d, same": (lambda: nn.Conv2d(4, 8, 3, padding="same"), (2, 4, 9, 8)),
    "conv3d": (lambda: nn.Conv3d(4, 8, (1, 3, 3), padding=(0, 1, 1)), (1, 4, 2, 5, 6)),
}


@pytest.fixture(params=LAYERS.values(), ids=LAYERS.keys())
def case(request: pytest.FixtureRequest) -> Iterator[tuple[Product, torch.Tensor]]:
    make, shape = request.param
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield make().requires_grad_(False), torch.randn(shape, requires_grad=True)


def held(layer: Product, config: BaseConfig = INT8) -> HeldBase:
    return HeldBase([BaseLayer("layer", layer, lambda _: (layer.weight, layer.bias))], config, CPU)


def run(layer: Product, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    result = layer(x)
    weighting = torch.linspace(-1, 2, result.numel(), dtype=result.dtype).view(result.shape)
    return result, torch.autograd.grad((result * weighting).sum(), x)[0]


def dequantised(layer: Product) -> Product:
    layer.weight = nn.Parameter(from_int8(to_int8(layer.weight), torch.float32), requires_grad=False)
    return layer


def test_result_and_gradient_are_those_of_the_dequantised_layer(case: tuple[Product, torch.Tensor]) -> None:
    layer, x = case
    original = layer(x).detach()
    with held(layer):
        found = run(layer, x)
        with torch.no_grad():
            assert torch.equal(layer(x), found[0])
    assert torch.equal(layer(x), original), "the layer is as it was"
    expected = run(dequantised(layer), x)
    for one, two in zip(found, expected, strict=True):
        torch.testing.assert_close(one, two, rtol=1e-5, atol=1e-6)
    assert not torch.equal(found[0], original)


@pytest.mark.parametrize("autocast", [True, False], ids=["autocast", "bf16 inputs"])
def test_precision_is_what_autocast_or_the_input_asks_for(case: tuple[Product, torch.Tensor], autocast: bool) -> None:
    layer, x = case
    given = x if autocast else x.detach().bfloat16().requires_grad_(True)
    with held(layer), torch.autocast("cpu", dtype=torch.bfloat16, enabled=autocast):
        result, gradient = run(layer, given)
    assert (result.dtype, gradient.dtype) == (torch.bfloat16, given.dtype)
    expected = run(dequantised(layer), x)
    torch.testing.assert_close(result.float(), expected[0], rtol=0.02, atol=0.03)
    torch.testing.assert_close(gradient.float(), expected[1], rtol=0.03, atol=0.1)


def test_no_weight_and_no_input_is_kept_for_the_backward_pass() -> None:
    layer, x = nn.Linear(12, 8).requires_grad_(False), torch.randn(5, 12, requires_grad=True)
    kept: list[torch.Tensor] = []
    with (
        held(layer),
        torch.autograd.graph.saved_tensors_hooks(lambda each: kept.append(each) or each, lambda each: each),
    ):
        layer(x).sum()
    assert not kept


def test_hooks_on_the_layer_act_as_ever_and_its_parameters_are_its_own() -> None:
    layer, x = nn.Linear(12, 8).requires_grad_(False), torch.randn(5, 12)
    weight = layer.weight
    handle = layer.register_forward_hook(lambda _layer, _x, output: output + 1)
    with held(layer) as base:
        assert layer.weight is weight
        with_hook = layer(x)
        handle.remove()
        assert torch.equal(with_hook, layer(x) + 1)
        assert base.nbytes == 12 * 8 + 8 * 4
    assert base.nbytes == 0
    assert "forward" not in vars(layer)


def test_it_can_be_given_back_meanwhile_and_is_afterwards_the_same() -> None:
    layer, x = nn.Linear(12, 8).requires_grad_(False), torch.randn(5, 12)
    original = layer(x)
    with held(layer) as base:
        first = layer(x)
        with base.suspend():
            assert torch.equal(layer(x), original)
        assert torch.equal(layer(x), first)
    assert torch.equal(layer(x), original)


def test_nothing_stays_when_a_later_layer_is_refused() -> None:
    good, bad = (nn.Linear(4, 4).requires_grad_(False) for _ in range(2))
    bad.weight.fill_(float("nan"))
    layers = [
        BaseLayer(name, each, lambda _, each=each: (each.weight, each.bias)) for name, each in (("a", good), ("b", bad))
    ]
    with pytest.raises(TrainingError, match="The weight of b has"), HeldBase(layers, INT8, CPU):
        pass
    assert "forward" not in vars(good)


def test_only_layers_with_pytorchs_own_arithmetic_are_products() -> None:
    class Scaled(nn.Linear):
        def forward(self, input: torch.Tensor) -> torch.Tensor:
            return super().forward(input) * 2

    assert is_product(nn.Linear(2, 2))
    assert is_product(nn.Conv2d(2, 2, 1))
    assert not is_product(Scaled(2, 2))
    assert not is_product(nn.LayerNorm(2))


@pytest.mark.parametrize("checkpoint", [False, True], ids=["plain", "checkpointed"])
@pytest.mark.parametrize("precision", BasePrecision)
@pytest.mark.parametrize("count", [1, 2, 4])
def test_blocks_in_main_memory_change_no_bit(count: int, precision: BasePrecision, checkpoint: bool) -> None:
    generator = torch.Generator().manual_seed(0)
    blocks = [nn.Sequential(nn.Linear(16, 32), nn.GELU(), nn.Linear(32, 16)).requires_grad_(False) for _ in range(4)]
    for block in blocks:
        for parameter in block.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=generator) * 0.2)

    def gradient(config: BaseConfig) -> torch.Tensor:
        swapped = config.swapped(4, "it")
        layers = [
            BaseLayer(f"{number}.{index}", block[index], lambda _, layer=block[index]: (layer.weight, layer.bias),
                      number if number in swapped else None)
            for number, block in enumerate(blocks) for index in (0, 2)
        ]  # fmt: skip
        x = torch.linspace(-1, 1, 80).view(5, 16).requires_grad_(True)
        with HeldBase(layers if config.holds_weights else (), config, CPU) as base:
            for _ in range(2):
                value = x
                for block in blocks:
                    value = (
                        torch.utils.checkpoint.checkpoint(block, value, use_reentrant=False)
                        if checkpoint
                        else block(value)
                    )
                (found,) = torch.autograd.grad(value.square().sum(), x)
            assert not config.holds_weights or base.nbytes > 0
        return torch.cat([found, value])

    assert torch.equal(gradient(BaseConfig(precision, count)), gradient(BaseConfig(precision)))


def test_blocks_in_main_memory_take_two_blocks_of_the_device() -> None:
    layers = [nn.Linear(64, 64, bias=False).requires_grad_(False) for _ in range(10)]
    each = [
        BaseLayer(str(number), layer, lambda _, layer=layer: (layer.weight, None), number)
        for number, layer in enumerate(layers)
    ]
    with HeldBase(each, BaseConfig(blocks_in_main_memory=10), CPU) as base:
        assert base.nbytes == 2 * layers[0].weight.nbytes
