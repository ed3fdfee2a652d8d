"""Which block is running."""

from __future__ import annotations

import torch
from maskloss.core.plan.counting import OUTSIDE, MemoryCount, Place
from maskloss.core.plan.places import equal_runs, mark_places, shorten_run
from torch import nn


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([nn.Linear(4, 4) for _ in range(5)] + [nn.Linear(4, 4, bias=False)] * 2)
        self.other = nn.ModuleList([nn.Linear(4, 4) for _ in range(3)])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for block in (*self.blocks, *self.other):
            x = block(x)
        return x


def test_runs_are_blocks_of_one_class_and_shape_in_a_row():
    network = Net()
    assert equal_runs(network, 3) == [(network.blocks, 0, 5), (network.other, 0, 3)]
    assert equal_runs(network, 2) == [(network.blocks, 0, 5), (network.blocks, 5, 2), (network.other, 0, 3)]


def test_a_shortened_run_keeps_the_others():
    network = Net()
    last = network.blocks[6]
    shorten_run(network.blocks, 0, 5, 3)
    assert len(network.blocks) == 5
    assert network.blocks[4] is last
    assert network(torch.zeros(1, 4)).shape == (1, 4)


def test_places_follow_the_pass_and_the_hooks_are_taken_off():
    network, seen = Net(), list[Place]()

    class Count(MemoryCount):
        @property
        def place(self) -> Place:
            return super().place

        @place.setter
        def place(self, place: Place) -> None:
            seen.append(place)

    with mark_places(Count(), [tuple(network.other)]):
        network(torch.zeros(1, 4)).sum().backward()
    entered = [("forward", 0, where) for where in range(3)]
    assert seen[:6] == [place for each in entered for place in (each, OUTSIDE)]
    assert seen[6:] == [("backward", 0, where) for where in (2, 1, 0)]
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in network.modules())
