"""Which tokens of a sample pass through the middle blocks of a transformer in a step, and how much the kept ones count.

Tokens with weight, and those within a few cells of them, are always kept. Of the others, the background, a fraction is
drawn anew in every step; the rest skips from an early block to a late one (token routing, TREAD, arXiv 2501.04765).
Only kept tokens count in that step, and a drawn one's weight is divided by its chance of being drawn, so that Σ w·err
is on average what it is over all tokens: the loss stays unbiased, with a floor or prior preservation too.

A network routes like this, `kept` being what `choose_tokens` gave and `first, end` `routed_blocks(len(blocks))`:

    for index, block in enumerate(blocks):
        if first <= index < end:                                # only kept tokens attend to one another here
            part_BKD = block(gather_tokens(x_BND, kept.indices_BK), …)
            x_BND = scatter_tokens(x_BND, part_BKD, kept.indices_BK)   # the others keep their hidden state
        else:
            x_BND = block(x_BND, …)

Whatever else a block takes token by token (rotary positions, modulation) is gathered with the same indices. Text
tokens, which are not the picture's, are never skipped. Then the loss's numerator takes `kept.weigh(weights_B1Thw)`, and
its denominator the plain weights, which no draw changes.

Shapes: B batch, T, h, w latent grid (cells), N tokens of the picture (one per patch of cells, frame by frame and row by
row), K kept ones, D width.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

import torch
import torch.nn.functional as F

from ..errors import SettingError
from .config import check_background_tokens
from .order import stream_seed

# Of the blocks, before the first and after the last routed one.
_UNROUTED = 1 / 16
# Kept tokens are rounded up to a multiple of this part of all, so that tensors have few different sizes.
_GRAIN = 1 / 64


class Drawing(str, Enum):
    """How the kept background lies: single tokens anywhere, or connected patches, tubes through a clip's frames."""

    SCATTERED = "scattered"
    PATCHES = "patches"


@dataclass(frozen=True)
class RoutingSettings:
    """Which tokens are kept. Refuses to exist (SettingError) when a value is outside its range.

    fraction    of the background's tokens that are kept; 1 = all, no routing.                    (0, 1]
    margin      cells around the ones with weight whose tokens are always kept.                   ≥ 0
    low_weight  cells of at most this weight are background.                                      [0, 1]
    drawing     scattered, or in patches of `patch_side` × `patch_side` tokens.
    """

    fraction: float
    margin: int = 2
    low_weight: float = 0.1
    drawing: Drawing = Drawing.SCATTERED
    patch_side: int = 4

    def __post_init__(self) -> None:
        check_background_tokens(self.fraction)
        object.__setattr__(self, "drawing", Drawing(self.drawing))
        if self.margin < 0:
            raise SettingError(f"margin must be at least 0 cells; found {self.margin}.")
        if not 0 <= self.low_weight <= 1:
            raise SettingError(f"low_weight must be in range [0, 1]; found {self.low_weight}.")
        if self.patch_side < 1:
            raise SettingError(f"patch_side must be at least 1 token; found {self.patch_side}.")


@dataclass(frozen=True, eq=False)
class KeptTokens:
    """indices_BK: int64, ascending, of `tokens` = N. factor_B1Thw: float32, what a cell's weight is multiplied by: 1
    where its token is always kept, 1/chance where it was drawn, 0 where it skips."""

    indices_BK: torch.Tensor
    factor_B1Thw: torch.Tensor
    tokens: int

    @property
    def count(self) -> int:
        """K, kept tokens of each sample."""
        return self.indices_BK.shape[1]

    @property
    def skips(self) -> bool:
        """Whether any token is skipped at all."""
        return self.count < self.tokens

    def weigh(self, weights_B1Thw: torch.Tensor) -> torch.Tensor:
        """The weights of the loss's numerator, (B,1,T,h,w): on average over the draws those that are given."""
        return weights_B1Thw * self.factor_B1Thw.to(weights_B1Thw)

    def of(self, positions: Sequence[int]) -> KeptTokens:
        """Those of some samples of the batch."""
        rows = list(positions)
        return KeptTokens(self.indices_BK[rows], self.factor_B1Thw[rows], self.tokens)


def routed_blocks(depth: int) -> tuple[int, int]:
    """(first, end): of `depth` blocks in a row, those from `first` to `end` − 1 run on kept tokens alone. Before and
    after them a sixteenth of the blocks runs on all, at least one; (0, 0) where none is left between."""
    outer = max(1, round(depth * _UNROUTED))
    return (outer, depth - outer) if depth > 2 * outer else (0, 0)


def token_grid(cells: Sequence[int], patch: Sequence[int]) -> tuple[int, int, int]:
    """(t, rows, columns) of tokens for a latent of (T, h, w) cells and a patch of (frames, rows, columns) cells; an
    incomplete patch at an end is a token too."""
    frames, rows, columns = (-(-size // side) for size, side in zip(cells, patch, strict=True))
    return frames, rows, columns


def always_kept(weights_B1Thw: torch.Tensor, patch: Sequence[int], settings: RoutingSettings) -> torch.Tensor:
    """(B,N) bool: tokens that have a cell with weight, or one within `margin` cells (of the same latent frame)."""
    heavy = (weights_B1Thw.float() > settings.low_weight).float()
    side = 2 * settings.margin + 1
    near = F.max_pool3d(heavy, (1, side, side), stride=1, padding=(0, settings.margin, settings.margin))
    frames, rows, columns = (-size % side for size, side in zip(near.shape[2:], patch, strict=True))
    near = F.pad(near, (0, columns, 0, rows, 0, frames))
    return F.max_pool3d(near, tuple(patch), stride=tuple(patch)).flatten(1) > 0


def needed_count(weights_B1Thw: torch.Tensor, patch: Sequence[int], settings: RoutingSettings) -> int:
    """K: tokens that each of these samples keeps, as many as the one that needs most; so a batch stays rectangular."""
    kept_BN = always_kept(weights_B1Thw, patch, settings)
    tokens = kept_BN.shape[1]
    grain = max(1, int(tokens * _GRAIN))
    counts = [sure + math.ceil(settings.fraction * (tokens - sure)) for sure in kept_BN.sum(dim=1).tolist()]
    return min(tokens, -(-max(counts) // grain) * grain)


def choose_tokens(
    weights_B1Thw: torch.Tensor,
    patch: Sequence[int],
    settings: RoutingSettings,
    seeds: Sequence[int],
    count: int | None = None,
) -> KeptTokens:
    """Which tokens are kept: a function of these arguments alone. `weights` are float32 in [0, 1] as the loss uses
    them, `patch` the (frames, rows, columns) of cells of a token, `seeds` one per sample (and step), `count` K where
    it is to be more than `needed_count`, as for samples that are to share a batch with others.

    What a sample does not need of K is drawn from its background too. Every background token has the same chance.
    """
    sure_BN = always_kept(weights_B1Thw, patch, settings)
    batch, tokens = sure_BN.shape
    count = min(tokens, max(count or 0, needed_count(weights_B1Thw, patch, settings)))
    grid = token_grid(weights_B1Thw.shape[2:], patch)
    indices_BK = torch.empty(batch, count, dtype=torch.int64)
    factor_BN = torch.zeros(batch, tokens)
    for row, (sure_N, seed) in enumerate(zip(sure_BN, seeds, strict=True)):
        background = along_curve((~sure_N).nonzero()[:, 0], grid)
        wanted = count - int(sure_N.sum())
        generator = torch.Generator().manual_seed(stream_seed("background tokens", seed))
        drawn = background[draw(len(background), wanted, settings, grid[0], generator)]
        factor_BN[row, sure_N] = 1.0
        factor_BN[row, drawn] = len(background) / max(1, wanted)
        indices_BK[row] = (factor_BN[row] > 0).nonzero()[:, 0]
    cells = factor_BN.reshape(batch, 1, *grid)
    for axis, side in enumerate(patch, start=2):
        cells = cells.repeat_interleave(side, dim=axis)
    frames, rows, columns = weights_B1Thw.shape[2:]
    return KeptTokens(indices_BK, cells[:, :, :frames, :rows, :columns].contiguous(), tokens)


def draw(
    available: int, wanted: int, settings: RoutingSettings, frames: int, generator: torch.Generator
) -> torch.Tensor:
    """(wanted,) int64: which of `available` places along the curve are drawn, each with chance wanted/available.

    Scattered: a simple random sample. Patches: runs along the curve, evenly spaced, all moved along it by the same
    random number of places and round its end; as every number of places is equally likely, so is every place.
    """
    if wanted == 0 or wanted == available:
        return torch.arange(wanted)
    if settings.drawing is Drawing.SCATTERED:
        return torch.randperm(available, generator=generator)[:wanted]
    shift = int(torch.randint(available, (1,), generator=generator))
    return (patch_pattern(available, wanted, settings.patch_side**2 * frames) + shift) % available


def patch_pattern(available: int, wanted: int, patch_tokens: int) -> torch.Tensor:
    """(wanted,) int64, distinct, below `available`: runs of about `patch_tokens`, their beginnings evenly spaced."""
    runs = max(1, round(wanted / patch_tokens))
    starts = [run * available // runs for run in range(runs)]
    lengths = [(run + 1) * wanted // runs - run * wanted // runs for run in range(runs)]
    return torch.cat([torch.arange(start, start + length) for start, length in zip(starts, lengths, strict=True)])


def along_curve(indices: torch.Tensor, grid: tuple[int, int, int]) -> torch.Tensor:
    """The tokens `indices` in the order of a Hilbert curve over rows and columns, all frames of a place together: a
    run of them is a connected patch, except where it is cut by tokens that are not among them."""
    _, rows, columns = grid
    row, column = indices // columns % rows, indices % columns
    side = 1 << max(rows - 1, columns - 1, 1).bit_length()
    place, level = torch.zeros_like(indices), side // 2
    while level:
        right, lower = (column & level) > 0, (row & level) > 0
        place += level * level * torch.where(lower, torch.where(right, 2, 1), torch.where(right, 3, 0))
        # A quadrant's own curve is turned: mirrored in the right upper one, then transposed in both upper ones.
        mirrored = right & ~lower
        row, column = torch.where(mirrored, side - 1 - row, row), torch.where(mirrored, side - 1 - column, column)
        row, column = torch.where(lower, row, column), torch.where(lower, column, row)
        level //= 2
    frames = indices // (rows * columns)
    return indices[torch.argsort(place * (int(frames.max()) + 1 if len(frames) else 1) + frames, stable=True)]


def gather_tokens(x_BND: torch.Tensor, indices_BK: torch.Tensor) -> torch.Tensor:
    """(B,K,…): the tokens `indices` of each sample; a batch of 1 in `x` stands for all."""
    batch, tokens = x_BND.shape[:2]
    if batch == 1 and len(indices_BK) == 1:
        return x_BND.index_select(1, indices_BK[0])
    if batch == 1:
        return x_BND[0].index_select(0, indices_BK.flatten()).unflatten(0, indices_BK.shape)
    return x_BND.flatten(0, 1).index_select(0, _flat(indices_BK, tokens)).unflatten(0, indices_BK.shape)


def scatter_tokens(x_BND: torch.Tensor, part_BKD: torch.Tensor, indices_BK: torch.Tensor) -> torch.Tensor:
    """`x` with its tokens `indices` replaced by `part`; a new tensor."""
    flat = x_BND.flatten(0, 1).index_copy(0, _flat(indices_BK, x_BND.shape[1]), part_BKD.flatten(0, 1))
    return flat.unflatten(0, x_BND.shape[:2])


def _flat(indices_BK: torch.Tensor, tokens: int) -> torch.Tensor:
    offsets = torch.arange(len(indices_BK), device=indices_BK.device)[:, None] * tokens
    return (indices_BK + offsets).flatten()
