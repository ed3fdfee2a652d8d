"""Collapses identical padding tokens of a text into a few, with a log-count attention bias in their place.

ComfyUI's text encoder pads every caption of WAN with zeros to 512 tokens, and WAN is trained to attend to them. Shapes:
B batch, L tokens, S tokens that are left, D width.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from ...errors import TrainingError

# The kernels for CUDA take a bias as it is where its rows are multiples of this. Those of an image-to-video model's
# pictures, which share a module with the text, have 257 tokens for each picture.
_ALIGNMENT = 8
_NAME = ".cross_attn"


@dataclass(eq=False)
class TextAttention:
    """A network's cross-attention modules as they run: whether one is `running`, whether any `ran`, and whether one did
    without the bias (`uncounted`). No number is kept, for compiled code would be compiled again for every one."""

    running: bool = False
    counted: bool = False
    ran: bool = False
    uncounted: bool = False

    def enter(self, *_: object) -> None:
        self.running, self.counted = True, False

    def leave(self, *_: object) -> None:
        self.running, self.ran = False, True
        if not self.counted:
            self.uncounted = True


@contextmanager
def watch_text_attention(network: nn.Module) -> Generator[TextAttention]:
    """Track the cross-attention modules of the network; to be open during forward and backward passes."""
    attention = TextAttention()
    modules = [module for name, module in network.named_modules() if f".{name}".endswith(_NAME)]
    hooks = [module.register_forward_pre_hook(attention.enter) for module in modules]
    hooks += [module.register_forward_hook(attention.leave) for module in modules]
    try:
        yield attention
    finally:
        for hook in hooks:
            hook.remove()


@dataclass(frozen=True, eq=False)
class CollapsedPadding:
    """The attention bias of the tokens that are left, by which the few of the padding weigh as all of it did.

    n identical tokens have the weight of one whose score is greater by log n, in a model that uses the text in
    cross-attention only and gives it no positions.
    """

    bias_BS: torch.Tensor
    where: TextAttention

    def attention(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        """Stands for ComfyUI's `optimized_attention`, by the option `optimized_attention_override`."""
        query, key = args[:2]
        if not self.where.running or key.shape[-2] != self.bias_BS.shape[-1]:
            return function(*args, **kwargs)
        self.where.counted = True
        return function(*args, **{**kwargs, "mask": self.bias_BS.to(query.dtype)[:, None, None]})

    @contextmanager
    def apply_to(self, network: nn.Module) -> Generator[None]:
        """A forward pass. TrainingError where a cross-attention module ran without the bias."""
        self.where.running = self.where.ran = self.where.uncounted = False
        yield
        if self.where.uncounted or not self.where.ran:
            how = "not always in ComfyUI's own way" if self.where.ran else "not at all"
            raise TrainingError(
                f"{type(network).__name__} attended to the text {how}. A node has replaced the model's attention to "
                "the text; take it off the MODEL that is trained."
            )


def collapse_padding(
    text_BLD: torch.Tensor, where: TextAttention, device: torch.device | None = None
) -> tuple[torch.Tensor, CollapsedPadding | None]:
    """The texts without most of the zeros at their common end, and the bias for those; None where nothing is cut.

    `device` is the model's; None = the texts'.
    """
    length = text_BLD.shape[1]
    is_zero_BL = torch.linalg.vector_norm(text_BLD, dim=-1) == 0
    zeros_B = is_zero_BL.flip(1).cumprod(1).sum(1)
    own_B = length - zeros_B
    left = math.ceil((int(own_B.max()) + 1) / _ALIGNMENT) * _ALIGNMENT
    if left >= length:
        return text_BLD, None
    is_padding_BS = torch.arange(left, device=text_BLD.device) >= own_B[:, None]
    bias_B1 = (zeros_B / (left - own_B)).log()[:, None]
    return text_BLD[:, :left], CollapsedPadding((is_padding_BS * bias_B1).to(device or text_BLD.device), where)
