"""Each sample's own conditioning, as ComfyUI's models take it, and which samples can share a forward pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F

from .architectures import TextMask
from .encoders import embeddings_to_cond

Conds = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Rows:
    """Samples that go through the model together, by position, with the model's keyword arguments for all of them."""

    positions: tuple[int, ...]
    arguments: Mapping[str, Any]


def condition(
    model: Any,
    text: Sequence[Mapping[str, torch.Tensor]],
    noise: torch.Tensor,
    guidance: float | None,
    mask: TextMask,
) -> list[Rows]:
    """One row per sample. Rows that cannot share a pass without changing each other's result come apart.

    `noise` has the model's own axes, (B,C,h,w) or (B,C,T,h,w). `guidance` replaces the model's default where the
    embeddings bring none.
    """
    embeddings = [embeddings_to_cond(each) for each in text]
    if mask is TextMask.PADDING:
        embeddings = _padded(embeddings)
    conds = [_model_conds(model, each, noise[i : i + 1], guidance) for i, each in enumerate(embeddings)]
    groups: list[list[int]] = []
    for i, own in enumerate(conds):
        alone = mask is TextMask.BATCH and "attention_mask" in own
        fitting = next((group for group in groups if not alone and _fits(conds[group[0]], own)), None)
        if fitting is None:
            groups.append([i])
        else:
            fitting.append(i)
    return [
        Rows(
            tuple(group),
            {name: conds[group[0]][name].concat([conds[i][name] for i in group[1:]]) for name in conds[group[0]]},
        )
        for group in groups
    ]


def _model_conds(model: Any, embeddings: Conds, noise: torch.Tensor, guidance: float | None) -> Conds:
    given: dict[str, Any] = {
        "noise": noise,
        "device": noise.device,
        "latent_image": torch.zeros_like(noise),
        "denoise_mask": None,
        "latent_shapes": [noise.shape],
        "seed": 0,
        # As ComfyUI's sampler has them, in its own axes.
        "width": noise.shape[3] * 8,
        "height": noise.shape[2] * 8,
        "prompt_type": "positive",
        **({} if guidance is None else {"guidance": guidance}),
        **embeddings,
    }
    with torch.no_grad():
        conds: Conds = model.extra_conds(**given)
        return {name: cond.process_cond(batch_size=1, area=None) for name, cond in conds.items()}


def _fits(first: Conds, second: Conds) -> bool:
    return first.keys() == second.keys() and all(first[name].can_concat(second[name]) for name in first)


def _padded(embeddings: Sequence[Conds]) -> list[Conds]:
    """Captions of one length, and masks that say which tokens are real."""
    lengths = [each["cross_attn"].shape[1] for each in embeddings]
    longest = max(lengths)
    if min(lengths) == longest and all("attention_mask" not in each for each in embeddings):
        return list(embeddings)
    padded: list[Conds] = []
    for each, length in zip(embeddings, lengths, strict=True):
        text = each["cross_attn"]
        mask = each.get("attention_mask")
        if mask is None:
            mask = torch.ones(1, length, dtype=torch.long)
        room = longest - length
        padded.append(
            {**each, "cross_attn": F.pad(text, (0, 0, 0, room)), "attention_mask": F.pad(mask.long(), (0, room))}
        )
    return padded
