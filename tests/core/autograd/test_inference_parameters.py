"""Weights that were loaded in inference mode, in a backward pass."""

from __future__ import annotations

import pytest
import torch
from maskloss.core.autograd.inference_parameters import DifferentiableParameters
from maskloss.core.errors import TrainingError
from torch import nn


class Quantised(torch.Tensor):
    """A tensor whose values are not what its memory holds."""


def network() -> nn.Sequential:
    with torch.inference_mode():
        torch.manual_seed(0)
        made = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4).eval(), nn.Linear(4, 4)).requires_grad_(False)
        made[2].weight = made[0].weight
    return made


def gradient(net: nn.Module) -> torch.Tensor:
    x = torch.ones(2, 4, requires_grad=True)
    (found,) = torch.autograd.grad((net(x) * torch.arange(4.0)).sum(), x)
    return found


def test_they_are_differentiable_inside_and_the_same_objects_afterwards() -> None:
    net = network()
    before = {name: id(tensor) for name, tensor in net.state_dict(keep_vars=True).items()}
    with pytest.raises(RuntimeError, match="Inference tensors cannot be saved"):
        gradient(net)
    plain = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4).eval(), nn.Linear(4, 4))
    plain.load_state_dict({name: tensor.clone() for name, tensor in net.state_dict().items()})
    with DifferentiableParameters(net, lambda _layer: False):
        assert torch.equal(gradient(net), gradient(plain))
        assert net[2].weight is net[0].weight
        assert not net[0].weight.is_inference()
    assert {name: id(tensor) for name, tensor in net.state_dict(keep_vars=True).items()} == before


def test_no_memory_is_taken() -> None:
    net = network()
    places = {tensor.data_ptr() for tensor in net.state_dict().values()}
    with DifferentiableParameters(net, lambda _layer: False):
        assert {tensor.data_ptr() for tensor in net.state_dict().values()} == places


def test_their_owner_gets_them_back_for_a_while() -> None:
    net = network()
    with DifferentiableParameters(net, lambda _layer: False) as weights:
        with weights.suspend():
            assert net[0].weight.is_inference()
        assert not net[0].weight.is_inference()
        gradient(net)


def quantised() -> nn.Sequential:
    net = network()
    with torch.inference_mode():
        net[0].weight = nn.Parameter(net[0].weight.as_subclass(Quantised), requires_grad=False)
    return net


def test_quantised_weights_are_refused_by_name_and_nothing_is_changed() -> None:
    net = quantised()
    before = {name: id(tensor) for name, tensor in net.state_dict(keep_vars=True).items()}
    with (
        pytest.raises(TrainingError, match=r"0\.weight is stored as Quantised"),
        DifferentiableParameters(net, lambda _layer: False),
    ):
        pass
    assert {name: id(tensor) for name, tensor in net.state_dict(keep_vars=True).items()} == before


def test_quantised_weights_of_layers_that_cast_them_again_stay() -> None:
    net = quantised()
    with DifferentiableParameters(net, lambda layer: layer is net[0]):
        assert net[0].weight.is_inference()
        assert not net[0].bias.is_inference()
