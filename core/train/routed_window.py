"""Token routing of an accumulation window: which samples keep which tokens, and what is said of it before a run.

A window's samples of one latent shape keep equally many, as many as the one that needs most. So it does not matter how
the window is cut into micro-batches.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch

from ..cache.entries import CacheEntry
from ..cache.store import LatentCache
from ..mask_weights import MaskLossSettings, transform_weights
from ..warning import warn
from .config import TrainConfig
from .denoiser import Denoiser, token_routing
from .token_routing import KeptTokens, RoutingSettings, always_kept, choose_tokens, needed_count

_LOOKED_AT = 16
# Of what lies between the floor and full weight; a cell with no more of it is background.
_LOW = 0.1


@dataclass(frozen=True, eq=False)
class RoutedWindow:
    """kept: of each micro-batch. share: of all picture tokens, those that run through the middle blocks. covered: of
    each micro-batch the samples (by row) whose weights and their surroundings leave nothing to skip."""

    kept: tuple[KeptTokens, ...]
    share: float
    covered: tuple[tuple[int, ...], ...]


def routing_settings(settings: MaskLossSettings | None, config: TrainConfig) -> RoutingSettings | None:
    """How tokens are routed in a run; None where they are not."""
    if config.background_tokens == 1:
        return None
    floor = settings.min_weight if settings else 0.0
    return RoutingSettings(config.background_tokens, low_weight=floor + _LOW * (1.0 - floor))


def keep_tokens(
    weights_B1Thw: Sequence[torch.Tensor],
    seeds: Sequence[Sequence[int]],
    settings: MaskLossSettings | None,
    config: TrainConfig,
    denoiser: Denoiser,
) -> RoutedWindow | None:
    """Which tokens the micro-batches of a window keep, with the weights (B,1,T,h,w) and the samples' seeds of each;
    None without routing. TrainingError, by name, for a model that cannot be routed."""
    routing = routing_settings(settings, config)
    if routing is None:
        return None
    patch = token_routing(denoiser).routed_blocks().patch
    counts: dict[tuple[int, ...], int] = {}
    for each in weights_B1Thw:
        shape = tuple(each.shape[1:])
        counts[shape] = max(counts.get(shape, 0), needed_count(each, patch, routing))
    kept = tuple(
        choose_tokens(each, patch, routing, own, counts[tuple(each.shape[1:])])
        for each, own in zip(weights_B1Thw, seeds, strict=True)
    )
    running = sum(each.count * len(each.indices_BK) for each in kept)
    # Where the mask acts by chance a sample may be covered without its mask's doing.
    masked = settings is not None and settings.probability == 1
    covered = (
        always_kept(each, patch, routing).all(dim=1).nonzero().flatten().tolist() if masked else []
        for each in weights_B1Thw
    )
    everything = sum(each.tokens * len(each.indices_BK) for each in kept)
    return RoutedWindow(kept, running / everything, tuple(map(tuple, covered)))


def routing_note(
    cache: LatentCache,
    entries: Sequence[CacheEntry],
    settings: MaskLossSettings | None,
    config: TrainConfig,
    denoiser: Denoiser,
) -> list[str]:
    """What is said of routing before a run, none without it: which blocks are skipped, and about how many tokens run
    through them. Warns where no mask acts. TrainingError, by name, for a model that cannot be routed."""
    routing = routing_settings(settings, config)
    if routing is None:
        return []
    where = token_routing(denoiser).routed_blocks()
    if settings is None:
        warn(
            f"background_tokens is {routing.fraction:g}, but no mask_loss is connected: every cell counts, none skips."
        )
        return []
    chosen = looked_at(entries)
    shares: list[float] = []
    for entry in chosen:
        mask = cache.weights(entry)
        shape = (1, 1, *entry.latent_shape[1:])
        weights = torch.ones(shape) if mask is None else transform_weights(mask[None], settings)
        kept = always_kept(weights, where.patch, routing)
        shares.append(needed_count(weights, where.patch, routing) / kept.shape[1])
    return [
        f"background_tokens {routing.fraction:g}: about {sum(shares) / len(shares):.0%} of the pictures' tokens run "
        f"through blocks {where.first + 1} to {where.end} of {where.depth} in a step ({len(shares)} of {len(entries)} "
        f"items looked at): the weighted ones, those within {routing.margin} cells of them, and {routing.fraction:.0%} "
        "of the rest, drawn anew each time. The others skip these blocks and do not count in that step. Evaluation and "
        "sample pictures run on all."
    ]


def looked_at(entries: Sequence[CacheEntry]) -> list[CacheEntry]:
    """Those entries, evenly spaced and no more than 16, whose masks are looked at before a run."""
    chosen = (entries[index * len(entries) // _LOOKED_AT] for index in range(_LOOKED_AT))
    return list({entry.name: entry for entry in chosen}.values())
