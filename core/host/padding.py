"""Captions of different lengths in one forward pass: padded, and the padding hidden from attention."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn


@dataclass(frozen=True, eq=False)
class HiddenPadding:
    """Text rows of `lengths` tokens, filled up to `padded`, for a model that attends to the text before the picture.

    A key that no query sees changes nothing but the order of additions, and what padded queries see nobody reads. So a
    row comes out as it would alone. `picture_tokens` tells attention within the picture, which has no text to hide.
    """

    lengths: tuple[int, ...]
    padded: int
    picture_tokens: int

    def attention(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Stands for ComfyUI's `optimized_attention`, by the option `optimized_attention_override`."""
        query, key = args[:2]
        tokens = key.shape[-2]
        if tokens < self.padded or tokens == self.picture_tokens:
            return function(*args, **kwargs)
        hidden_BS = torch.arange(tokens) >= torch.tensor(self.lengths)[:, None]
        hidden_BS[:, self.padded :] = False
        mask = torch.zeros(hidden_BS.shape, dtype=query.dtype, device=query.device)
        mask = mask.masked_fill(hidden_BS.to(query.device), torch.finfo(query.dtype).min)
        return function(*args, **{**kwargs, "mask": mask[:, None, None]})

    @contextmanager
    def around(self, network: nn.Module) -> Generator[None]:
        """HunyuanVideo's refiner takes the mean over all tokens; the padding's zeros must not count in it."""
        pooled = getattr(getattr(network, "txt_in", None), "c_embedder", None)
        if pooled is None:
            yield
            return

        def own_mean(_module: nn.Module, arguments: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
            mean = arguments[0]
            share = self.padded / torch.tensor(self.lengths, dtype=torch.float32, device=mean.device)
            return (mean * share[:, None].to(mean.dtype), *arguments[1:])

        hook = pooled.register_forward_pre_hook(own_mean)
        try:
            yield
        finally:
            hook.remove()


def pad_together(text_B1LD: Sequence[torch.Tensor], picture_tokens: int) -> tuple[list[torch.Tensor], HiddenPadding]:
    """The texts, each (1,L,D), with zeros after them, all of one length, and what hides these zeros."""
    lengths = tuple(text.shape[1] for text in text_B1LD)
    padded = max(lengths)
    if padded == picture_tokens:
        padded += 1
    texts = [F.pad(text, (0, 0, 0, padded - length)) for text, length in zip(text_B1LD, lengths, strict=True)]
    return texts, HiddenPadding(lengths, padded, picture_tokens)


def picture_tokens(network: nn.Module, noise: torch.Tensor) -> int:
    """Tokens that the network makes of a latent with its own axes, (B,C,h,w) or (B,C,T,h,w)."""
    patch: Any = getattr(network, "patch_size", 1)
    sides = noise.shape[2:]
    patches = [patch] * len(sides) if isinstance(patch, int) else list(patch)
    return math.prod(math.ceil(side / size) for side, size in zip(sides, patches, strict=True))
