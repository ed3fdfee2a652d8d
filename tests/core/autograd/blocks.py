"""Small blocks as diffusion transformers have them, without ComfyUI."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import nn


@dataclass
class Gate:
    scale: torch.Tensor


class InPlaceBlock(nn.Module):
    """A residual block as Flux has them: it overwrites its input, which its norm has saved."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 8)

    def forward(self, x: torch.Tensor, gate: tuple[Gate, ...], options: dict[str, int]) -> tuple[torch.Tensor, int]:
        x += self.linear(torch.sin(x)) * gate[0].scale * (1 + options["block_index"])
        x += torch.tanh(self.linear(x)) * x
        return x, options["block_index"]


class Stack(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.first = nn.Linear(8, 8)
        self.gate = nn.Linear(8, 8)
        self.blocks = nn.ModuleList(InPlaceBlock() for _ in range(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        gate = (Gate(self.gate(x.mean(0, keepdim=True))),)
        options: dict[str, int] = {}
        x = self.first(x)
        for index, block in enumerate(self.blocks):
            options["block_index"] = index
            x, _ = block(x, gate, options=options)
        return x
