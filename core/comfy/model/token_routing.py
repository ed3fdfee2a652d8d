"""Token routing in ComfyUI's transformers: their middle blocks run on the kept tokens of the picture alone.

Nothing of ComfyUI is copied. For one forward pass each routed block's `forward` is replaced by one that hands the block
the kept tokens with their positions, modulation and mask, and puts what comes back where it came from; so whatever
stands between blocks sees all tokens. Text, reference pictures and what pads a picture are never skipped.

Shapes: B batch, S tokens of a sequence that a block takes, N tokens of the picture among them, K kept ones of these.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import nn

from ...errors import TrainingError
from ...train.denoiser import RoutedBlocks
from ...train.token_routing import KeptTokens, gather_tokens, routed_blocks, scatter_tokens
from ..backward.attention import OVERRIDE, differentiable_attention
from ..text.collapsed_padding import CollapsedPadding
from ..text.padding import HiddenPadding
from .architectures import is_unet
from .token_layout import TokenLayout, token_layout

_OPTIONS, _PICTURE = "transformer_options", "img_slice"
_REMEDY = "set it to 1.0; crops around the person (MaskLossDatasetCrops) save the background too"


@dataclass(frozen=True)
class _Kind:
    """What blocks of one class take token by token, by the names of their arguments.

    tokens: the sequence (B,S,…), which is the `result`-th of what the block returns, None where it returns nothing
    else. aligned: tensors of that sequence, or of one that ends with it, and the axis of their tokens. ranges: a number
    of tokens, or triples and pairs that begin with two. spread: a tensor (B,parts,…) of even parts of the sequence.
    positional: names of the arguments that the signature does not name. joint: text stands ahead of the picture in it.
    """

    tokens: str
    result: int | None = None
    aligned: Mapping[str, int] = field(default_factory=dict[str, int])
    ranges: str = ""
    spread: str = ""
    positional: tuple[str, ...] = ()
    joint: bool = False


_KINDS = {
    "WanAttentionBlock": _Kind("x", aligned={"freqs": 1}, spread="e"),
    "QwenImageTransformerBlock": _Kind("hidden_states", 1, {"image_rotary_emb": 2}, "timestep_zero_index"),
    "DoubleStreamBlock": _Kind("img", 0, {"pe": 2, "attn_mask": -1}, "modulation_dims_img"),
    "SingleStreamBlock": _Kind("x", None, {"pe": 2, "attn_mask": -1}, "modulation_dims", joint=True),
    "JointTransformerBlock": _Kind("x", None, {"freqs_cis": 1, "x_mask": -1}, "timestep_zero_index", joint=True),
    "JointBlock": _Kind("x", 1, positional=("context", "x")),
}
# By the network's own class, whose subclasses may do otherwise: its rows of blocks, and whether the tokens of reference
# pictures follow the picture's.
_NETWORKS: dict[str, tuple[tuple[str, ...], bool]] = {
    "WanModel": (("blocks",), False),
    "QwenImageTransformer2DModel": (("transformer_blocks",), True),
    "MageFlowTransformer2DModel": (("transformer_blocks",), True),
    "Flux": (("double_blocks", "single_blocks"), True),
    "HunyuanVideo": (("double_blocks", "single_blocks"), False),
    "Chroma": (("double_blocks", "single_blocks"), False),
    "NextDiT": (("layers",), False),
    "OpenAISignatureMMDITWrapper": (("joint_blocks",), False),
}


class TokenRouter:
    """Token routing in one network. Outside of `keep` nothing is changed and nothing is skipped."""

    def __init__(self, network: nn.Module, name: str) -> None:
        self._network, self._name = network, name
        self._kept: KeptTokens | None = None

    def blocks(self) -> RoutedBlocks:
        """Which blocks are routed. TrainingError, by name, for a network that cannot be."""
        layout = self._layout()
        blocks = self._all_blocks()
        first, end = routed_blocks(len(blocks))
        if not end:
            raise TrainingError(
                f"background_tokens: {self._name} has {len(blocks)} blocks, and tokens skip those between the first "
                f"and the last; {_REMEDY}."
            )
        return RoutedBlocks(layout.patch, first, end, len(blocks))

    @contextmanager
    def keep(self, kept: KeptTokens) -> Generator[None]:
        """Inside, forward passes of this batch run their middle blocks on the kept tokens."""
        self._kept = kept if kept.skips else None
        try:
            yield
        finally:
            self._kept = None

    @contextmanager
    def forward_pass(
        self, positions: Sequence[int], latents: torch.Tensor, padding: HiddenPadding | CollapsedPadding | None
    ) -> Generator[None]:
        """One forward pass with the samples of the batch at `positions`; `latents` (B,C,h,w) or (B,C,T,h,w) are the
        batch's, `padding` what hides that of the texts. The blocks are afterwards what they were."""
        if self._kept is None:
            yield
            return
        where, layout, cells = self.blocks(), self._layout(), [1, *latents.shape[2:]][-3:]
        kept = self._kept.of(positions).indices_BK.to(latents.device)
        counts = layout.count(cells), layout.padded_count(cells)
        row = _RoutedPass(kept, *counts, self._references(), self._name, padding)
        changed: list[tuple[nn.Module, Any]] = []
        try:
            for block in self._all_blocks()[where.first : where.end]:
                changed.append((block, block.__dict__.get("forward")))
                block.forward = row.routed(block)
            yield
        finally:
            for block, forward in changed:
                block.__dict__.pop("forward", None)
                if forward is not None:
                    block.forward = forward

    def _layout(self) -> TokenLayout:
        layout = token_layout(self._network)
        if layout is None or is_unet(self._network):
            raise TrainingError(f"background_tokens: {self._name} is a UNet, which has no tokens to skip; {_REMEDY}.")
        return layout

    def _all_blocks(self) -> list[nn.Module]:
        rows, _ = _NETWORKS.get(type(self._network).__name__, ((), False))
        blocks = [block for row in rows for block in getattr(self._network, row)]
        if not blocks or any(type(block).__name__ not in _KINDS for block in blocks):
            raise TrainingError(
                f"background_tokens: the blocks of {self._name} cannot be routed (those of WAN, Qwen-Image, Flux, "
                f"Flux 2, Chroma, HunyuanVideo, Z-Image, Lumina 2 and SD3 can); {_REMEDY}."
            )
        return blocks

    def _references(self) -> bool:
        return _NETWORKS[type(self._network).__name__][1]


class _RoutedPass:
    """One forward pass: `kept` (B,K), of `tokens` picture tokens that take `padded` places."""

    def __init__(
        self,
        kept_BK: torch.Tensor,
        tokens: int,
        padded: int,
        references: bool,
        name: str,
        padding: HiddenPadding | CollapsedPadding | None,
    ) -> None:
        self._kept_BK, self._tokens, self._padded = kept_BK, tokens, padded
        self._references, self._name = references, name
        self._skipped = tokens - kept_BK.shape[1]
        hides = isinstance(padding, HiddenPadding)
        self._attention = differentiable_attention(padding.with_fewer(self._skipped).attention) if hides else None
        self._indices: dict[tuple[int, int], torch.Tensor] = {}
        self._taken: dict[tuple[int, int, int], tuple[torch.Tensor, torch.Tensor]] = {}
        # What the last block took and gave: all tokens before it and after it, and the kept ones after it.
        self._base, self._whole, self._part, self._version = (torch.empty(0),) * 3 + (0,)

    def routed(self, block: nn.Module) -> Callable[..., Any]:
        """A `forward` that runs the block on the kept tokens."""
        original, kind = block.forward, _KINDS[type(block).__name__]
        names = kind.positional or tuple(inspect.signature(type(block).forward).parameters)[1:]

        def forward(*args: Any, **kwargs: Any) -> Any:
            given = {**dict(zip(names, args, strict=False)), **kwargs}
            whole: torch.Tensor = given[kind.tokens]
            length, start = whole.shape[1], self._start(kind, whole.shape[1], given.get(_OPTIONS, {}))
            indices = self._places(length, start)
            if whole is not self._whole or whole._version != self._version:
                self._base, self._part = whole, gather_tokens(whole, indices)
            changed = {kind.tokens: self._part, **self._aligned(kind, given, length, start)}
            given = {**given, **changed}
            positional = [given.pop(name) for name in names[: len(args)]]
            result = original(*positional, *args[len(names) :], **given)
            self._part = result if kind.result is None else result[kind.result]
            self._whole = scatter_tokens(self._base, self._part, indices)
            self._version = self._whole._version
            if kind.result is None:
                return self._whole
            return (*result[: kind.result], self._whole, *result[kind.result + 1 :])

        return forward

    def _aligned(self, kind: _Kind, given: Mapping[str, Any], length: int, start: int) -> dict[str, Any]:
        """The other arguments that a block takes token by token, of the kept tokens."""
        changed: dict[str, Any] = {}
        for name, axis in kind.aligned.items():
            value = given.get(name)
            if isinstance(value, torch.Tensor):
                changed[name] = self._take(value, axis, value.shape[axis] - length + start)
        parts = given.get(kind.spread)
        if isinstance(parts, torch.Tensor) and parts.ndim > 3 and parts.shape[1] > 1:
            each = -(-length // parts.shape[1])
            changed[kind.spread] = self._take(parts.repeat_interleave(each, dim=1)[:, :length], 1, start)
        if given.get(kind.ranges) is not None:
            changed[kind.ranges] = self._moved(given[kind.ranges], start)
        if isinstance(options := given.get(_OPTIONS), dict):
            own: dict[str, Any] = {} if self._attention is None else {OVERRIDE: self._attention}
            if _PICTURE in options:
                first, end = options[_PICTURE]
                own[_PICTURE] = [first, end - self._skipped]
            changed[_OPTIONS] = {**options, **own}
        return changed

    def _start(self, kind: _Kind, length: int, options: Mapping[str, Any]) -> int:
        """Where the picture's first token stands in a sequence of `length` tokens."""
        start = 0
        if kind.joint:
            start = options[_PICTURE][0] if _PICTURE in options else length - self._padded
        others = length - start - self._padded
        if others < 0 or (others > 0 and not self._references):
            raise TrainingError(
                f"background_tokens: {self._name} is given {length - start} tokens of pictures and the latent has "
                f"{self._tokens}; which of them are the latent's is not known here, so {_REMEDY}."
            )
        return start

    def _places(self, length: int, start: int) -> torch.Tensor:
        """(B, length − N + K): what is kept of a sequence of `length` tokens, all but skipped ones of the picture."""
        if (length, start) not in self._indices:
            kept = self._kept_BK + start
            ahead = torch.arange(start, device=kept.device).expand(len(kept), -1)
            behind = torch.arange(start + self._tokens, length, device=kept.device).expand(len(kept), -1)
            self._indices[length, start] = torch.cat([ahead, kept, behind], dim=1)
        return self._indices[length, start]

    def _take(self, value: torch.Tensor, axis: int, start: int) -> torch.Tensor:
        """The kept tokens along `axis`, where the picture's begin at `start`; once for all blocks that get `value`."""
        axis %= value.ndim
        key = (id(value), axis, start)
        if key not in self._taken:
            indices = self._places(value.shape[axis], start)
            if len(indices) == 1:
                taken = value.index_select(axis, indices[0])
            else:
                rows = value.expand(len(indices), *value.shape[1:])
                pairs = zip(rows, indices, strict=True)
                taken = torch.stack([row.index_select(axis - 1, places) for row, places in pairs])
            # With the tensor itself, so that no other one takes its id.
            self._taken[key] = value, taken
        return self._taken[key][1]

    def _moved(self, ranges: Any, start: int) -> Any:
        """Counts of tokens in the shorter sequence."""
        if isinstance(ranges, (list, tuple)):
            return [
                (self._moved(first, start), self._moved(end, start), *rest)
                for first, end, *rest in ranges  # pyright: ignore[reportUnknownVariableType]
            ]
        if ranges is None or ranges <= start:
            return ranges
        if ranges < start + self._tokens:
            raise TrainingError(
                f"background_tokens: {self._name} modulates a part of the picture's tokens by itself, and which of "
                f"those are kept differs; {_REMEDY}."
            )
        return ranges - self._skipped
