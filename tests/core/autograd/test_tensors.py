"""Which tensors and layers autograd can work with as they are."""

from __future__ import annotations

import pytest
import torch
from maskloss.core.autograd.tensors import is_linear, is_plain, map_values, tensors_in
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


def test_values_of_tuples_and_lists_are_reached_however_deep() -> None:
    one, two = torch.zeros(1), torch.ones(2)
    value = (one, [two, "text"], {"kept": one})
    mapped = map_values(value, lambda each: each + 1 if isinstance(each, torch.Tensor) else each)
    assert mapped[0] == 1
    assert mapped[1][0].tolist() == [2, 2]
    assert mapped[1][1:] == ["text"]
    assert mapped[2] == {"kept": one}
    assert [tensor.tolist() for tensor in tensors_in([value, two])] == [[0.0], [1.0, 1.0], [1.0, 1.0]]
