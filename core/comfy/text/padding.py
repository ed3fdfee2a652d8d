"""Captions of different lengths in one forward pass: padded, and the padding masked out of attention.

Shapes: B batch, L tokens of a text, S tokens that all are padded to, D width.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from ..model.architectures import TextRule
from ..model.token_layout import TokenLayout, token_layout


@dataclass(frozen=True, eq=False)
class HiddenPadding:
    """Which tokens of the texts are padding, for a model that attends to text and picture together, or to either.

    A masked key changes only the order of additions, and the results of padded queries are not used. So a row's result
    is the same as alone, where its positions are. `ahead` is the number of other tokens before the text, None for all
    of them. Attention over `picture_tokens` is within the picture and has no text to hide. `filled_BS` are tokens that
    Z-Image replaces by its own padding token.
    """

    hidden_BS: torch.Tensor
    picture_tokens: int
    ahead: int | None = 0
    filled_BS: torch.Tensor | None = None

    def with_fewer(self, tokens: int) -> HiddenPadding:
        """The same texts beside a picture of so many tokens fewer."""
        return replace(self, picture_tokens=self.picture_tokens - tokens)

    def attention(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Stands for ComfyUI's `optimized_attention`, by the option `optimized_attention_override`."""
        query, key = args[:2]
        others = key.shape[-2] - self.hidden_BS.shape[1]
        # Some attend to other sequences too, with a batch of their own, such as the pixels of each patch.
        of_samples = query.shape[0] == self.hidden_BS.shape[0]
        if not of_samples or others < 0 or key.shape[-2] == self.picture_tokens:
            return function(*args, **kwargs)
        ahead = others if self.ahead is None else min(self.ahead, others)
        hidden = F.pad(self.hidden_BS, (ahead, others - ahead))
        mask = torch.zeros(hidden.shape, dtype=query.dtype, device=query.device)
        mask = mask.masked_fill(hidden, torch.finfo(query.dtype).min)
        # Some models pass a mask after the heads. It is None here, else their texts would not be padded.
        return function(*args[:4], **{**kwargs, "mask": mask[:, None, None]})

    @contextmanager
    def apply_to(self, network: nn.Module) -> Generator[None]:
        """A forward pass in which the network's own operations over all tokens leave the padding out."""
        hooks: list[Any] = []
        # HunyuanVideo's refiner takes the mean over all tokens.
        pooled = getattr(getattr(network, "txt_in", None), "c_embedder", None)
        if pooled is not None:
            hooks.append(pooled.register_forward_pre_hook(self._correct_mean))
        if self.filled_BS is not None:
            fill = _fill_with_token(self.filled_BS, network.cap_pad_token)
            hooks.append(network.get_submodule("cap_embedder").register_forward_hook(fill))
            hooks.append(network.get_submodule("rope_embedder").register_forward_pre_hook(self._correct_positions))
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def _correct_mean(self, _module: nn.Module, arguments: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor, ...]:
        mean = arguments[0]
        factor = 1 / (1 - self.hidden_BS.float().mean(1, keepdim=True))
        return (mean * factor.to(mean.dtype), *arguments[1:])

    def _correct_positions(self, _module: nn.Module, arguments: tuple[torch.Tensor, ...]) -> tuple[torch.Tensor]:
        positions = arguments[0].expand(len(self.hidden_BS), -1, -1).clone()
        positions[..., 0] -= self.hidden_BS.sum(1, keepdim=True) * (positions[..., 0] > 0)
        return (positions,)


def pad_together(
    text_B1LD: Sequence[torch.Tensor], network: nn.Module, noise: torch.Tensor, rule: TextRule
) -> tuple[torch.Tensor, HiddenPadding]:
    """The texts, each (1,L,D), padded with zeros where the rule says, as (B,S,D), and what masks the padding.

    `noise` is the latent with the model's own axes, (B,C,h,w) or (B,C,T,h,w).
    """
    layout = token_layout(network) or TokenLayout((1, 1, 1))
    multiple = layout.multiple
    picture = layout.padded_count([1, *noise.shape[2:]][-3:])
    # PixelDiT takes no more.
    most = getattr(network, "txt_max_length", None)
    text_B1LD = [text[:, :most] for text in text_B1LD]
    lengths = [text.shape[1] for text in text_B1LD]
    filled = [_round_up(length, multiple) for length in lengths]
    padded = max(filled)
    if padded == picture and padded != most:
        padded += multiple
    fronts = [padded - own if rule is TextRule.HIDDEN_AHEAD else 0 for own in filled]
    place_BS = torch.arange(padded).expand(len(lengths), -1) - torch.tensor(fronts)[:, None]
    filled_BS = (place_BS >= torch.tensor(lengths)[:, None]) & (place_BS < torch.tensor(filled)[:, None])
    hidden_BS = (place_BS < 0) | (place_BS >= torch.tensor(filled)[:, None])
    texts = [
        F.pad(text, (0, 0, front, padded - front - length))
        for text, front, length in zip(text_B1LD, fronts, lengths, strict=True)
    ]
    registers: Any = getattr(network, "register_tokens", None)
    ahead = 0 if registers is None else registers.shape[1]
    return torch.cat(texts), HiddenPadding(
        hidden_BS.to(noise.device),
        picture,
        None if rule is TextRule.HIDDEN_LAST else ahead,
        filled_BS.to(noise.device) if multiple > 1 else None,
    )


def _fill_with_token(where_BS: torch.Tensor, token: Any) -> Callable[..., torch.Tensor]:
    return lambda _module, _arguments, text: torch.where(where_BS[..., None], token.to(text), text)


def _round_up(tokens: int, multiple: int) -> int:
    return math.ceil(tokens / multiple) * multiple
