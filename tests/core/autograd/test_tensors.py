"""Which tensors and layers autograd can work with as they are."""

from __future__ import annotations

import pytest
import torch
from maskloss.core.autograd.tensors import is_linear, is_plain
from torch import nn


class Quantised(torch.Tensor):
    """A tensor whose values are not what its memory holds."""


class QuantisedLinear(nn.Module):
    def __init__(self, **given: object) -> None:
        super().__init__()
        self.in_features, self.out_features = 4, 3
        self.weight = nn.Parameter(torch.zeros(3, 4))
        vars(self).update(given)


def test_plain_tensors() -> None:
    assert is_plain(torch.zeros(2))
    assert is_plain(nn.Parameter(torch.zeros(2)))
    assert not is_plain(torch.zeros(2).as_subclass(Quantised))
    assert not is_plain(nn.Parameter(torch.zeros(2).as_subclass(Quantised)))


@pytest.mark.parametrize(
    ("layer", "linear"),
    [
        (nn.Linear(4, 3), True),
        (QuantisedLinear(), True),
        (QuantisedLinear(in_features="4"), False),
        (nn.Conv2d(4, 3, 1), False),
        (nn.Bilinear(4, 4, 3), False),
    ],
)
def test_linear_layers(layer: nn.Module, linear: bool) -> None:
    assert is_linear(layer) is linear
