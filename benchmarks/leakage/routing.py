"""Training with a part of the background's tokens, by the pack's own choice of them; and what it costs.

A token has 2×2 cells; the picture has 8×8 tokens. Every sample runs alone, so that each keeps as few tokens as it can:
in a batch all would keep as many as the one that needs most.
"""

from __future__ import annotations

import statistics

import torch
from maskloss.core.loss import elementwise_error, unnormalised_loss
from maskloss.core.mask_weights import MaskLossSettings, Normalization
from maskloss.core.train.recipe import TrainingRecipe
from maskloss.core.train.state import TrainState
from maskloss.core.train.token_routing import RoutingSettings, choose_tokens, needed_count
from maskloss.core.train.window import Window

from .denoiser import WorldDenoiser
from .formulas import train_with
from .network import WORDS


def train_routed(denoiser: WorldDenoiser, recipe: TrainingRecipe, routing: RoutingSettings) -> dict[str, torch.Tensor]:
    """The pack's training with Σ(w·err)/Σw per sample and routed tokens; with a fraction of 1 it gives the LoRA of the
    training without routing, but for rounding."""

    def backward(window: Window, state: TrainState) -> float:
        micro, rules = window.micro_batches[0], recipe.settings or MaskLossSettings()
        patch, total = denoiser.routed_blocks().patch, 0.0
        for index, seed in enumerate(micro.dropout_seeds):
            one = slice(index, index + 1)
            weights = micro.weights_B1Thw[one]
            kept = choose_tokens(weights, patch, routing, [seed])
            with denoiser.route(kept):
                residual = denoiser.predict(
                    micro.raw_BCThw[one], micro.noise_BCThw[one], micro.t_B[one], micro.text[one], False
                )
            error = elementwise_error(residual, rules)
            part = unnormalised_loss(error, weights, Normalization.PER_SAMPLE, micro.scale_B[one], kept.factor_B1Thw)
            loss = part / float(window.normaliser)
            state.scale_loss(loss).backward()
            total += float(loss.detach())
        return total

    return train_with(denoiser, recipe, backward)


def relative_cost(denoiser: WorldDenoiser, recipe: TrainingRecipe, routing: RoutingSettings) -> float:
    """Tokens that pass through all blocks together, words too, by those of training without routing: (0, 1]. The mean
    of the training pictures. Attention costs less than that, for it grows with the square."""
    cache, where = recipe.cache, denoiser.routed_blocks()
    tokens = denoiser.module.grid**2
    counts: list[int] = []
    for entry in cache.entries:
        weights = cache.weights(entry)
        counts.append(tokens if weights is None else needed_count(weights[None], where.patch, routing))
    routed, kept = where.end - where.first, statistics.fmean(counts)
    unrouted = where.depth - routed
    return (routed * (WORDS + kept) + unrouted * (WORDS + tokens)) / (where.depth * (WORDS + tokens))
