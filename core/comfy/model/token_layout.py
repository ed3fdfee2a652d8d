"""Which cells of the latent grid are which picture token of a transformer, and where these stand beside the text.

Shapes: B batch, T latent frames, h, w latent grid; N picture tokens. Tokens follow each other row by row, frame by
frame, in every architecture of ComfyUI that `token_layout` knows.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from .architectures import is_unet

# Their text comes after the picture in the sequence that both share.
_PICTURE_FIRST = (
    "JoyImageTransformer3DModel", "HiDreamImageTransformer2DModel", "ErnieImageModel", "LensTransformer2DModel",
    "AsymmDiTJoint",
)  # fmt: skip
# Its VAE's cells are patches already, whatever its `patch_size` says.
_ONE_CELL = "LensTransformer2DModel"
Grid = tuple[int, int, int]


@dataclass(frozen=True)
class TokenLayout:
    """`patch` are the cells (T,h,w) of one token. A picture's tokens are padded to a multiple of `multiple` with
    tokens of no cell. `picture_first`: the text stands behind them in a shared sequence, not ahead."""

    patch: Grid
    multiple: int = 1
    picture_first: bool = False

    def grid(self, cells: Sequence[int]) -> Grid:
        """Tokens along (T,h,w) of so many cells along each; a patch that is cut off at the edge counts."""
        frames, rows, columns = (math.ceil(side / size) for side, size in zip(cells, self.patch, strict=True))
        return frames, rows, columns

    def count(self, cells: Sequence[int]) -> int:
        """N of so many cells along (T,h,w), without padding."""
        return math.prod(self.grid(cells))

    def padded_count(self, cells: Sequence[int]) -> int:
        """The tokens that a picture takes in a sequence, with its padding."""
        return math.ceil(self.count(cells) / self.multiple) * self.multiple

    def start(self, tokens: int, cells: Sequence[int]) -> int:
        """Where a picture's first token stands in a sequence of so many tokens, its text among them."""
        return 0 if self.picture_first else tokens - self.padded_count(cells)

    def most(self, cells_B1Thw: torch.Tensor) -> torch.Tensor:
        """(B,N) float32: the greatest of each token's cells, which are 0 or greater; what pads a patch counts as 0."""
        return self._by_token(cells_B1Thw.float()).amax(-1)

    def mean(self, cells_B1Thw: torch.Tensor) -> torch.Tensor:
        """(B,N) float32: the mean of each token's cells; what pads a patch is left out."""
        cells = cells_B1Thw.float()
        return self._by_token(cells).sum(-1) / self._by_token(torch.ones_like(cells)).sum(-1)

    def cells(self, tokens_BN: torch.Tensor, cells: Sequence[int]) -> torch.Tensor:
        """(B,1,T,h,w): every cell has the value of its token."""
        frames, rows, columns = cells
        value = tokens_BN.reshape(-1, 1, *self.grid(cells))
        for axis, size in enumerate(self.patch):
            value = value.repeat_interleave(size, dim=axis + 2)
        return value[:, :, :frames, :rows, :columns]

    def _by_token(self, cells_B1Thw: torch.Tensor) -> torch.Tensor:
        """(B,N,cells of a patch), padded with zeros."""
        sides = cells_B1Thw.shape[2:]
        frames, rows, columns = self.grid(sides)
        (t, h, w), room = self.patch, [-side % size for side, size in zip(sides, self.patch, strict=True)]
        cells = F.pad(cells_B1Thw, (0, room[2], 0, room[1], 0, room[0]))
        cells = cells.reshape(-1, frames, t, rows, h, columns, w).permute(0, 1, 3, 5, 2, 4, 6)
        return cells.reshape(len(cells_B1Thw), frames * rows * columns, t * h * w)


def token_layout(network: nn.Module) -> TokenLayout | None:
    """The layout of a ComfyUI network's picture tokens; None for a UNet, which has none."""
    if is_unet(network):
        return None
    kinds = {kind.__name__ for kind in type(network).__mro__}
    # Z-Image's number of text and of picture tokens is a multiple of 32.
    multiple = int(getattr(network, "pad_tokens_multiple", None) or 1)
    patch = (1, 1, 1) if _ONE_CELL in kinds else _patch(network)
    return TokenLayout(patch, multiple, not kinds.isdisjoint(_PICTURE_FIRST))


def _patch(network: nn.Module) -> Grid:
    # Anima has one for each direction, Krea 2 names it `patch`.
    spatial: Any = getattr(network, "patch_spatial", None)
    if spatial is not None:
        return int(getattr(network, "patch_temporal", 1)), int(spatial), int(spatial)
    patch: Any = getattr(network, "patch_size", getattr(network, "patch", 1))
    # A single number is of height and width.
    sizes = [1, patch, patch] if isinstance(patch, int) else [1, 1, *patch][-3:]
    frames, rows, columns = (int(size) for size in sizes)
    return frames, rows, columns
