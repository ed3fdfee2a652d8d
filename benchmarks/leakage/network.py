"""The world's own model: an orthonormal latent of 2×2 px, and a flow-matching transformer over it.

Shapes: B batch, C = 12 channels, h, w latent grid (1 cell = 2×2 px), P = 48 values of a token (2×2 cells), N tokens of
the picture, K ≤ N of them that are kept, L = 7 words, D width.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from maskloss.core.demo.encoders import TEXT_WIDTH, DemoTextEncoder
from maskloss.core.train.token_routing import gather_tokens, routed_blocks, scatter_tokens
from torch import nn

CELL_PX = 2
LATENT_CHANNELS = 3 * CELL_PX**2
PATCH = 2
WORDS = 7
_HAAR = torch.tensor([[1.0, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]]) / 2
# Latents of the world's pictures then have about unit variance.
_GAIN = 3.5
_LEAST_T = 0.05


def encode_pictures(rgb_BHWC: torch.Tensor) -> torch.Tensor:
    """(B,H,W,3) float32 in [0, 1] to latents (B,12,1,H/2,W/2): each 2×2 block in the orthonormal Haar basis."""
    batch, height, width, _ = rgb_BHWC.shape
    rows, columns = height // CELL_PX, width // CELL_PX
    blocks = (rgb_BHWC - 0.5).reshape(batch, rows, CELL_PX, columns, CELL_PX, 3)
    blocks = blocks.permute(0, 5, 2, 4, 1, 3).reshape(batch, 3, 4, rows, columns)
    return (torch.einsum("kp,bcpij->bckij", _HAAR, blocks) * _GAIN).reshape(batch, LATENT_CHANNELS, 1, rows, columns)


def decode_latents(latents_BCThw: torch.Tensor) -> torch.Tensor:
    """The inverse of `encode_pictures`, cut to [0, 1]."""
    batch, _, _, rows, columns = latents_BCThw.shape
    blocks = torch.einsum("kp,bckij->bcpij", _HAAR, latents_BCThw.reshape(batch, 3, 4, rows, columns)) / _GAIN
    pixels = blocks.reshape(batch, 3, CELL_PX, CELL_PX, rows, columns).permute(0, 4, 2, 5, 3, 1)
    return (pixels.reshape(batch, rows * CELL_PX, columns * CELL_PX, 3) + 0.5).clamp(0.0, 1.0)


def embed_caption(caption: str) -> torch.Tensor:
    """(L, 64): a fixed random vector for each word, zeros for the words that a shorter caption lacks."""
    words_LD = DemoTextEncoder().encode(caption)["tokens"]
    return F.pad(words_LD, (0, 0, 0, WORDS - words_LD.shape[0]))


class Block(nn.Module):
    """Self-attention over words and picture together, then an MLP; both modulated by the timestep."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.modulation = nn.Linear(width, 6 * width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.mlp_in = nn.Linear(width, 4 * width)
        self.mlp_out = nn.Linear(4 * width, width)
        nn.init.zeros_(self.modulation.weight)
        nn.init.zeros_(self.modulation.bias)

    def forward(self, x_BND: torch.Tensor, time_BD: torch.Tensor) -> torch.Tensor:
        shift_a, scale_a, gate_a, shift_m, scale_m, gate_m = self.modulation(F.silu(time_BD))[:, None].chunk(6, dim=-1)
        query, key, value = self.heads_of(self.qkv(_norm(x_BND) * (1 + scale_a) + shift_a))
        attended = F.scaled_dot_product_attention(query, key, value).transpose(1, 2).flatten(2)
        x_BND = x_BND + (1 + gate_a) * self.out(attended)
        hidden = F.gelu(self.mlp_in(_norm(x_BND) * (1 + scale_m) + shift_m), approximate="tanh")
        return x_BND + (1 + gate_m) * self.mlp_out(hidden)

    def heads_of(self, qkv_BND: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Queries and keys, normalised, and values of all tokens, by heads."""
        query, key, value = (part.unflatten(-1, (self.heads, -1)).transpose(1, 2) for part in qkv_BND.chunk(3, dim=-1))
        return _norm(query), _norm(key), value


class WorldTransformer(nn.Module):
    """(B,12,1,h,w), timestep and words (B,L,64) to the clean latents that it sees in the noisy ones."""

    def __init__(self, side_px: int, width: int, depth: int, heads: int) -> None:
        super().__init__()
        self.width = width
        self.grid = side_px // CELL_PX // PATCH
        self.patch = nn.Linear(LATENT_CHANNELS * PATCH**2, width)
        self.text = nn.Linear(TEXT_WIDTH, width)
        self.places = nn.Parameter(0.2 * torch.randn(self.grid**2, width))
        self.time_in = nn.Linear(width, width)
        self.time_out = nn.Linear(width, width)
        self.blocks = nn.ModuleList(Block(width, heads) for _ in range(depth))
        self.final = nn.Linear(width, LATENT_CHANNELS * PATCH**2)
        nn.init.zeros_(self.final.weight)
        nn.init.zeros_(self.final.bias)

    def forward(
        self,
        x_BCThw: torch.Tensor,
        t_B: torch.Tensor,
        words_BLD: torch.Tensor,
        kept_BK: torch.Tensor | None = None,
    ) -> torch.Tensor:
        """With `kept`, the indices of picture tokens, only these and all words pass through the middle blocks."""
        batch, grid = x_BCThw.shape[0], self.grid
        patches = x_BCThw.reshape(batch, LATENT_CHANNELS, grid, PATCH, grid, PATCH)
        patches = patches.permute(0, 2, 4, 1, 3, 5).reshape(batch, grid**2, -1)
        x_BND = torch.cat([self.text(words_BLD), self.patch(patches) + self.places], dim=1)
        time_BD = self.time_out(F.silu(self.time_in(_waves(t_B, self.width))))
        first, end = (0, 0) if kept_BK is None else routed_blocks(len(self.blocks))
        for block in self.blocks[:first]:
            x_BND = block(x_BND, time_BD)
        if kept_BK is not None and first < end:
            words = torch.arange(words_BLD.shape[1]).expand(batch, -1)
            kept_BK = torch.cat([words, kept_BK + words_BLD.shape[1]], dim=1)
            part_BKD = gather_tokens(x_BND, kept_BK)
            for block in self.blocks[first:end]:
                part_BKD = block(part_BKD, time_BD)
            x_BND = scatter_tokens(x_BND, part_BKD, kept_BK)
        for block in self.blocks[end:]:
            x_BND = block(x_BND, time_BD)
        values = self.final(_norm(x_BND[:, words_BLD.shape[1] :]))
        values = values.reshape(batch, grid, grid, LATENT_CHANNELS, PATCH, PATCH).permute(0, 3, 1, 4, 2, 5)
        return values.reshape(x_BCThw.shape)


def predict_velocity(
    network: nn.Module,
    noised_BCThw: torch.Tensor,
    t_B: torch.Tensor,
    words_BLD: torch.Tensor,
    kept_BK: torch.Tensor | None = None,
) -> torch.Tensor:
    """noise − x0 of a network that predicts x0: (x_t − x0)/t, t at least 0.05 (as in arXiv 2511.13720)."""
    t = t_B.reshape(-1, 1, 1, 1, 1).clamp(min=_LEAST_T)
    return (noised_BCThw - network(noised_BCThw, t_B, words_BLD, kept_BK)) / t


@torch.no_grad()
def sample_latents(network: nn.Module, noise_BCThw: torch.Tensor, words_BLD: torch.Tensor, steps: int) -> torch.Tensor:
    """From noise to latents by Euler's method in equal steps of t."""
    latents, batch = noise_BCThw, noise_BCThw.shape[0]
    for step in range(steps):
        t_B = torch.full((batch,), 1 - step / steps)
        latents = latents - predict_velocity(network, latents, t_B, words_BLD) / steps
    return latents


def _norm(x: torch.Tensor) -> torch.Tensor:
    return F.layer_norm(x, (x.shape[-1],))


def _waves(t_B: torch.Tensor, width: int) -> torch.Tensor:
    frequencies = torch.exp(torch.linspace(0.0, math.log(200.0), width // 2))
    angles = t_B[:, None] * frequencies
    return torch.cat([angles.cos(), angles.sin()], dim=-1)
