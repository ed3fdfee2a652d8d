"""Small forward passes by which a ComfyUI model is looked at before the first step."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import torch

from ...errors import MaskLossError, TrainingError
from ...train.denoiser import Denoiser, Needed, TokenSaving
from .references import has_references
from .token_layout import token_layout

_CHECKED_CELLS = 8
# Tokens along a side, so that some of them can be left out.
_CHECKED_TOKENS = 4
# The same numbers added up in another order; in 16 bits they may differ by more.
_MAX_DIFFERENCE, _MAX_DIFFERENCE_LOW_PRECISION = 1e-3, 5e-2
# What a network raises when it is given something that is not made for it.
_FAILURES = (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError)
_SAVES = (
    "Where weights are 0 the last block computes keys and values alone, which changes no gradient; in most steps the "
    "loss outside the mask then has no value."
)
_SAVES_NOT = "The last block computes every token, where weights are 0 too: {}."


class SmallDenoiser(Denoiser, TokenSaving, Protocol):
    """What the passes below need of a denoiser: its model's name, and the least cells along a side of a latent."""

    kind: str
    min_latent_size: int

    def stop_saving(self, reason: str) -> None:
        """From now on every token is computed, and `saving_note` says why."""
        ...


def small_pass(denoiser: SmallDenoiser, example: Mapping[str, torch.Tensor]) -> Callable[[], object]:
    """A forward pass with that caption. It raises TrainingError where the model cannot be run with it."""
    side = max(_CHECKED_CELLS, denoiser.min_latent_size)
    clean, noise, t = _draw(denoiser, side)

    def run() -> object:
        try:
            return denoiser.predict(clean, noise, t, [example], False)
        except (MaskLossError, torch.OutOfMemoryError):
            raise
        except _FAILURES as problem:
            raise TrainingError(
                f"{denoiser.kind} cannot be run with these captions' embeddings ({type(problem).__name__}: {problem}). "
                "Encode the captions with the CLIP that belongs to this model; should it be, then it is given more "
                "than text, or is no model of pictures and videos, and cannot be trained here."
            ) from problem

    return run


def check_saving(denoiser: SmallDenoiser, example: Mapping[str, torch.Tensor], dropout: bool) -> str:
    """Compare what the model predicts where weights are not 0, with and without the tokens of the others; where it
    differs, nothing is left out in this run. Returns what is to be said of it."""
    reason = "a LoRA's dropout draws for all tokens" if dropout else _why_not(denoiser, example)
    if not reason and has_references(example):
        reason = "the tokens of reference pictures stand among those of the picture"
    if reason:
        denoiser.stop_saving(_SAVES_NOT.format(reason))
    return denoiser.saving_note if reason else _SAVES


def _why_not(denoiser: SmallDenoiser, example: Mapping[str, torch.Tensor]) -> str:
    layout = token_layout(denoiser.module)
    if layout is None:
        return f"{denoiser.kind} is a UNet, which has no tokens"
    side = max(_CHECKED_CELLS, denoiser.min_latent_size, _CHECKED_TOKENS * max(layout.patch))
    clean, noise, t = _draw(denoiser, side)
    cells = torch.zeros(1, 1, 1, side, side)
    cells[..., side // 2 :, : side // 2] = 1
    needed = Needed(cells, others=False)
    if not denoiser.saves(needed):
        return denoiser.saving_note or f"how {denoiser.kind} calls its blocks is not known"
    try:
        with torch.no_grad():
            whole = denoiser.predict(clean, noise, t, [example], False)
            with denoiser.count_only(needed):
                part = denoiser.predict(clean, noise, t, [example], False)
    except torch.OutOfMemoryError:
        raise
    except _FAILURES as problem:
        return f"{denoiser.kind} does not run with fewer ({type(problem).__name__}: {problem})"
    counting = cells.to(whole)
    difference = float(((part - whole) * counting).norm() / (whole * counting).norm())
    low = any(parameter.dtype not in (torch.float32, torch.float64) for parameter in denoiser.module.parameters())
    limit = _MAX_DIFFERENCE_LOW_PRECISION if low else _MAX_DIFFERENCE
    return "" if difference <= limit else f"{denoiser.kind} predicts otherwise with fewer (by {difference:.1e})"


def _draw(denoiser: SmallDenoiser, side: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """A clean latent, noise (1,C,1,side,side) and a timestep."""
    shape = (1, denoiser.latent_channels, 1, side, side)
    generator = torch.Generator().manual_seed(0)
    clean, noise = (torch.randn(shape, generator=generator).to(denoiser.device) for _ in range(2))
    return clean, noise, torch.full((1,), 0.5, device=denoiser.device)
