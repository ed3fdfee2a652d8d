"""A tiny flow-matching transformer with untrained, fixed weights: something real for a LoRA to move.

Shapes: B batch, C = 16 channels, T frames, h, w latent grid; N = T·⌈h/2⌉·⌈w/2⌉ tokens, L caption tokens, D width.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import nn
from torch.utils.checkpoint import checkpoint as run_checkpointed

from ..errors import CacheError
from ..train.token_routing import KeptTokens, gather_tokens, routed_blocks, scatter_tokens
from .encoders import LATENT_CHANNELS, TEXT_WIDTH

WIDTH = 128
HEADS = 2
ATTENTION_WIDTH = 64
DEPTH = 4
PATCH = 2
# The output layer starts at zero, so the base predicts nothing of its own; loud features let a small LoRA move it.
_FEATURE_GAIN = 4.0
# Places speak louder than noise in the features, so that a LoRA can learn what is where.
_POSITION_GAIN = 3.0
_LONGEST_WAVE = 30.0


class DemoBlock(nn.Module):
    """Self-attention over the latent, cross-attention to the caption, MLP; all modulated by the timestep."""

    def __init__(self) -> None:
        super().__init__()
        self.modulation = nn.Linear(WIDTH, 6 * WIDTH)
        self.qkv = nn.Linear(WIDTH, 3 * ATTENTION_WIDTH)
        self.attention_out = nn.Linear(ATTENTION_WIDTH, WIDTH)
        self.text_q = nn.Linear(WIDTH, ATTENTION_WIDTH)
        self.text_kv = nn.Linear(WIDTH, 2 * ATTENTION_WIDTH)
        self.text_out = nn.Linear(ATTENTION_WIDTH, WIDTH)
        self.mlp_in = nn.Linear(WIDTH, 4 * WIDTH)
        self.mlp_out = nn.Linear(4 * WIDTH, WIDTH)

    def forward(
        self, x_BND: torch.Tensor, time_BD: torch.Tensor, text_BLD: torch.Tensor, text_mask_B11L: torch.Tensor
    ) -> torch.Tensor:
        shift_a, scale_a, gate_a, shift_m, scale_m, gate_m = self.modulation(F.silu(time_BD))[:, None].chunk(6, dim=-1)
        query, key, value = (
            _split_heads(part) for part in self.qkv(_norm(x_BND) * (1 + scale_a) + shift_a).chunk(3, dim=-1)
        )
        x_BND = x_BND + gate_a * self.attention_out(_merge_heads(F.scaled_dot_product_attention(query, key, value)))
        text_key, text_value = (_split_heads(part) for part in self.text_kv(text_BLD).chunk(2, dim=-1))
        attended = F.scaled_dot_product_attention(
            _split_heads(self.text_q(_norm(x_BND))), text_key, text_value, attn_mask=text_mask_B11L
        )
        x_BND = x_BND + self.text_out(_merge_heads(attended))
        hidden = F.gelu(self.mlp_in(_norm(x_BND) * (1 + scale_m) + shift_m), approximate="tanh")
        return x_BND + gate_m * self.mlp_out(hidden)


class DemoTransformer(nn.Module):
    """(B,16,T,h,w), timestep and captions to (B,16,T,h,w). Every weight comes from `seed`; the output layer is zero."""

    def __init__(self, seed: int) -> None:
        super().__init__()
        patch_values = LATENT_CHANNELS * PATCH * PATCH
        self.patch = nn.Linear(patch_values, WIDTH)
        self.text = nn.Linear(TEXT_WIDTH, WIDTH)
        self.time_in = nn.Linear(WIDTH, WIDTH)
        self.time_out = nn.Linear(WIDTH, WIDTH)
        self.blocks = nn.ModuleList(DemoBlock() for _ in range(DEPTH))
        self.final = nn.Linear(WIDTH, patch_values)
        self._initialise(torch.Generator().manual_seed(seed))

    def _initialise(self, generator: torch.Generator) -> None:
        with torch.no_grad():
            for name, parameter in self.named_parameters():
                if name.endswith("bias") or name.startswith("final"):
                    parameter.zero_()
                else:
                    parameter.normal_(0.0, parameter.shape[1] ** -0.5, generator=generator)
        self.requires_grad_(False)

    def forward(
        self,
        x_BCThw: torch.Tensor,
        t_B: torch.Tensor,
        text: Sequence[Mapping[str, torch.Tensor]],
        checkpoint: bool,
        kept: KeptTokens | None = None,
    ) -> torch.Tensor:
        """Returns the velocity that the network adds to what the noise level alone implies; the middle blocks run on
        the kept tokens alone."""
        height, width = x_BCThw.shape[-2:]
        padded = F.pad(x_BCThw, (0, -width % PATCH, 0, -height % PATCH))
        tokens_BND = self.patch(_patchify(padded)) + _positions(padded).to(x_BCThw)
        time_BD = self.time_out(F.silu(self.time_in(_sinusoids(t_B * 1000.0, WIDTH, 1000.0).to(x_BCThw))))
        text_BLD, text_mask = _pad_text(text, x_BCThw)
        text_BLD = self.text(text_BLD)
        first, end = routed_blocks(len(self.blocks))
        for index, block in enumerate(self.blocks):
            routed = kept.indices_BK if kept is not None and first <= index < end else None
            taken = tokens_BND if routed is None else gather_tokens(tokens_BND, routed)
            arguments = (taken, time_BD, text_BLD, text_mask)
            if checkpoint:
                given = cast(torch.Tensor, run_checkpointed(block, *arguments, use_reentrant=False))
            else:
                given = block(*arguments)
            tokens_BND = given if routed is None else scatter_tokens(tokens_BND, given, routed)
        return _unpatchify(self.final(_norm(tokens_BND) * _FEATURE_GAIN), padded)[..., :height, :width]


def _norm(x: torch.Tensor) -> torch.Tensor:
    return F.layer_norm(x, (x.shape[-1],))


def _split_heads(x_BND: torch.Tensor) -> torch.Tensor:
    return x_BND.unflatten(-1, (HEADS, -1)).transpose(1, 2)


def _merge_heads(x_BHNd: torch.Tensor) -> torch.Tensor:
    return x_BHNd.transpose(1, 2).flatten(2)


def _patchify(x_BCThw: torch.Tensor) -> torch.Tensor:
    batch, channels, frames, height, width = x_BCThw.shape
    x = x_BCThw.reshape(batch, channels, frames, height // PATCH, PATCH, width // PATCH, PATCH)
    return x.permute(0, 2, 3, 5, 1, 4, 6).reshape(batch, -1, channels * PATCH * PATCH)


def _unpatchify(x_BNP: torch.Tensor, like_BCThw: torch.Tensor) -> torch.Tensor:
    batch, channels, frames, height, width = like_BCThw.shape
    x = x_BNP.reshape(batch, frames, height // PATCH, width // PATCH, channels, PATCH, PATCH)
    return x.permute(0, 4, 1, 2, 5, 3, 6).reshape(batch, channels, frames, height, width)


def _positions(like_BCThw: torch.Tensor) -> torch.Tensor:
    """(1,N,D) sinusoids: a quarter of the width for the frame, the rest shared by row and column."""
    _, _, frames, height, width = like_BCThw.shape
    rows, columns = height // PATCH, width // PATCH
    frame_width, side_width = WIDTH // 4, (WIDTH - WIDTH // 4) // 2
    shape = (frames, rows, columns, -1)
    frame = _sinusoids(torch.arange(frames), frame_width, _LONGEST_WAVE)[:, None, None].expand(shape)
    row = _sinusoids(torch.arange(rows), side_width, _LONGEST_WAVE)[None, :, None].expand(shape)
    column = _sinusoids(torch.arange(columns), side_width, _LONGEST_WAVE)[None, None].expand(shape)
    waves = torch.cat([frame, row, column], dim=-1).reshape(1, -1, WIDTH)
    return _POSITION_GAIN * waves.to(like_BCThw.device)


def _sinusoids(values: torch.Tensor, width: int, longest: float) -> torch.Tensor:
    """(…,) to (…, width): cosines and sines of angles `value` to `value / longest`, geometrically spaced."""
    frequencies = torch.exp(-math.log(longest) * torch.arange(width // 2) / (width // 2)).to(values.device)
    angles = values.float()[..., None] * frequencies
    return torch.cat([angles.cos(), angles.sin()], dim=-1)


def _pad_text(text: Sequence[Mapping[str, torch.Tensor]], like: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Ragged `tokens` (L, 64) to (B, L, 64) and a mask (B,1,1,L) that is true on real tokens."""
    if not all("tokens" in mapping and mapping["tokens"].ndim == 2 for mapping in text):
        raise CacheError("A caption's text in the cache is not the demo model's (tokens); run CacheText on it again.")
    tokens = [mapping["tokens"].to(like) for mapping in text]
    longest = max(each.shape[0] for each in tokens)
    padded = torch.stack([F.pad(each, (0, 0, 0, longest - each.shape[0])) for each in tokens])
    lengths = torch.tensor([each.shape[0] for each in tokens], device=like.device)
    mask = torch.arange(longest, device=like.device)[None, :] < lengths[:, None]
    return padded, mask[:, None, None, :]
