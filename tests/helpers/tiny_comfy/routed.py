"""Token routing of the tiny models: what is kept, its gradients, and a slow reference on all tokens."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import ExitStack, contextmanager, nullcontext
from typing import Any

import pytest
import torch
from maskloss.core.comfy.model.denoiser import ComfyDenoiser
from maskloss.core.comfy.model.token_layout import token_layout
from maskloss.core.train.adapters import LoraAdapters
from maskloss.core.train.token_routing import KeptTokens, RoutingSettings, choose_tokens
from torch import nn

from . import tiny_models as tiny  # skips where there is no ComfyUI
from .adapted import sample

import comfy.ldm.modules.attention  # isort: skip

LISTS = ("blocks", "transformer_blocks", "double_blocks", "single_blocks", "layers", "joint_blocks")


def texts(name: str, *lengths: int) -> list[dict[str, torch.Tensor]]:
    return [tiny.text_for(name, length=length, seed=length) for length in lengths]


def kept_tokens(denoiser: ComfyDenoiser, clean: torch.Tensor, fraction: float = 0.3) -> KeptTokens:
    """What is kept of a batch whose persons stand in a corner, the second's larger."""
    weights = torch.zeros(len(clean), 1, *clean.shape[2:])
    for row in range(len(clean)):
        weights[row, ..., : 2 + row, :2] = 1.0
    settings = RoutingSettings(fraction, margin=0)
    return choose_tokens(weights, denoiser.routed_blocks().patch, settings, range(len(clean)))


def middle_blocks(denoiser: ComfyDenoiser) -> list[nn.Module]:
    where = denoiser.routed_blocks()
    blocks = [block for name in LISTS for block in getattr(denoiser.module, name, ())]
    assert len(blocks) == where.depth
    return blocks[where.first : where.end]


class Attention:
    """PyTorch's attention as ComfyUI calls it, with `mask_of(keys)`, (B,keys) bool, hidden where there is one."""

    def __init__(self) -> None:
        self.plain: Callable[..., Any] = comfy.ldm.modules.attention.attention_pytorch
        self.mask_of: Callable[[int], torch.Tensor | None] = lambda tokens: None

    @classmethod
    def install(cls, monkeypatch: pytest.MonkeyPatch) -> Attention:
        """In ComfyUI's place, for denoisers that are opened from now on."""
        attention = cls()
        monkeypatch.setattr(comfy.ldm.modules.attention, "attention_pytorch", attention)
        return attention

    def __call__(
        self, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, heads: int, mask: Any = None, **kwargs: Any
    ) -> Any:
        hidden = self.mask_of(key.shape[-2])
        if hidden is not None:
            least = torch.finfo(torch.float32).min
            own = 0.0 if mask is None else mask if mask.ndim == 4 else mask[:, None]
            mask = torch.zeros(hidden.shape)[:, None, None].masked_fill(hidden[:, None, None], least)
            mask = (mask + own).clamp(min=least)
        return self.plain(query, key, value, heads, mask=mask, **kwargs)


class Reference:
    """Routing on all tokens: in the middle blocks nobody attends to the picture's skipped tokens, and what these blocks
    make of them is thrown away."""

    def __init__(self, denoiser: ComfyDenoiser, kept: KeptTokens, cells: tuple[int, ...]) -> None:
        self._blocks = middle_blocks(denoiser)
        layout = token_layout(denoiser.module)
        assert layout is not None
        self._padded = layout.padded_count(cells)
        self._skipped_BN = torch.ones(len(kept.indices_BK), kept.tokens, dtype=torch.bool)
        self._skipped_BN.scatter_(1, kept.indices_BK, False)
        self._inside = False
        self._before: list[torch.Tensor] = []

    @contextmanager
    def install(self, attention: Attention) -> Generator[None]:
        def mask_of(tokens: int) -> torch.Tensor | None:
            return self._of_sequence(tokens) if self._inside and tokens >= self._padded else None

        def enter(block: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            self._inside = True
            values = (value for value in [*args, *kwargs.values()] if torch.is_tensor(value) and value.ndim == 3)
            self._before = [value.clone() for value in values]

        def leave(block: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], result: Any) -> Any:
            self._inside = False
            if not isinstance(result, tuple):
                return self._restore(result)
            return tuple(self._restore(each) if each.shape[1] == self._padded else each for each in result)

        with ExitStack() as hooks:
            for block in self._blocks:
                hooks.callback(block.register_forward_pre_hook(enter, with_kwargs=True).remove)
                hooks.callback(block.register_forward_hook(leave, with_kwargs=True).remove)
            attention.mask_of = mask_of
            hooks.callback(setattr, attention, "mask_of", lambda tokens: None)
            yield

    def _of_sequence(self, length: int) -> torch.Tensor:
        """(B,length) bool: the skipped tokens, the picture's being last."""
        start, tokens = length - self._padded, self._skipped_BN.shape[1]
        return nn.functional.pad(self._skipped_BN, (start, length - start - tokens))

    def _restore(self, after: torch.Tensor) -> torch.Tensor:
        (before,) = (each for each in self._before if each.shape == after.shape)
        return torch.where(self._of_sequence(after.shape[1])[..., None], before, after)


def gradients(
    name: str, denoiser: ComfyDenoiser, adapters: LoraAdapters, checkpoint: bool, kept: KeptTokens | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """The prediction's error, and the adapters' gradient of its mean square where tokens were kept."""
    clean, noise, t = sample(name)
    for parameter in adapters.parameters:
        parameter.grad = None
    with denoiser.autograd_context(checkpoint), nullcontext() if kept is None else denoiser.route(kept):
        error = denoiser.predict(clean, noise, t, texts(name, 6, 4), checkpoint)
        error.square().mean().backward()
    grads = [torch.zeros(p.numel()) if p.grad is None else p.grad.flatten() for p in adapters.parameters]
    return error.detach(), torch.cat(grads)
