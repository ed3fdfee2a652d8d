"""A term that keeps a name's attention inside its person's mask, after Break-A-Scene (arXiv 2305.16311).

B samples, H heads, N tokens of the picture, L words, D width of a head.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from maskloss.core.loss import masked_loss
from maskloss.core.train.recipe import TrainingRecipe
from maskloss.core.train.state import TrainState
from maskloss.core.train.window import Window

from .album import TRIGGER_WORD
from .denoiser import WorldDenoiser
from .formulas import Formula, loss_of, train_with
from .network import WORDS, Block

_OURS = Formula(lambda loss, mask, _drift, _t: masked_loss(loss, mask))


def train_localised(denoiser: WorldDenoiser, recipe: TrainingRecipe, weight: float) -> dict[str, torch.Tensor]:
    """The pack's training, and `weight` times the mean squared difference between the mask of the person and how much
    of the attention that each picture token pays to words it pays to the first one, the mean over blocks and heads."""

    def backward(window: Window, state: TrainState) -> float:
        micro = window.micro_batches[0]
        with recorded_queries_and_keys(denoiser) as parts:
            loss = loss_of(micro, denoiser, state, _OURS)
        inside_BN = on_tokens(micro.weights_B1Thw, denoiser.module.grid)
        maps_BN = torch.stack([attention_to_word(*each, TRIGGER_WORD) for each in parts]).mean(dim=0)
        loss = loss + weight * (maps_BN - inside_BN).square().mean()
        state.scale_loss(loss).backward()
        return float(loss.detach())

    return train_with(denoiser, recipe, backward)


def on_tokens(weights_B1Thw: torch.Tensor, grid: int) -> torch.Tensor:
    """(B,N) in [0, 1]: how much of each token any weight lies on."""
    return F.adaptive_avg_pool2d((weights_B1Thw[:, 0] > 0).float(), grid).flatten(1)


def attention_to_word(query_BHND: torch.Tensor, key_BHLD: torch.Tensor, word: int) -> torch.Tensor:
    """(B,N): the mean over heads of the softmax over words, at one of them."""
    scores = query_BHND @ key_BHLD.transpose(-1, -2) * query_BHND.shape[-1] ** -0.5
    return scores.softmax(dim=-1)[..., word].mean(dim=1)


@contextmanager
def recorded_queries_and_keys(denoiser: WorldDenoiser) -> Iterator[list[tuple[torch.Tensor, torch.Tensor]]]:
    """Of each block in a forward pass the picture's queries and the words' keys, with what adapters add."""
    parts: list[tuple[torch.Tensor, torch.Tensor]] = []
    blocks = [module for module in denoiser.module.modules() if isinstance(module, Block)]
    hooks = [block.qkv.register_forward_hook(_recorder(block, parts)) for block in blocks]
    try:
        yield parts
    finally:
        for hook in hooks:
            hook.remove()


def _recorder(block: Block, parts: list[tuple[torch.Tensor, torch.Tensor]]):
    def record(_layer: torch.nn.Module, _given: object, qkv_BND: torch.Tensor) -> None:
        query, key, _ = block.heads_of(qkv_BND)
        parts.append((query[:, :, WORDS:], key[:, :, :WORDS]))

    return record
