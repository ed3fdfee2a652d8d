"""What of a prediction counts in a step: where nothing does, a model may compute less, and gradients stay the same.

A cell counts where its weight is not 0, where the mask is not (the loss inside the mask is told), and where prior
preservation acts. So a floor under the weights (`min_weight`), prior preservation of the surroundings, or a sample
without its mask make every cell count, and nothing is saved. The loss outside the mask is of the cells that do not
count. It is told in every tenth step, with the rest of the prediction made without a graph; in the others it has no
value.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext

import torch

from ..cache.entries import CacheEntry
from ..cache.store import LatentCache
from ..first_names import first_names
from ..mask_weights import MaskLossSettings, transform_weights
from .denoiser import Denoiser, Needed, TokenSaving
from .routed_window import looked_at
from .window import ClassSamples, MicroBatch, cached_masks

_OUTSIDE_EVERY = 10


def tells_outside(step: int, steps: int) -> bool:
    """Whether the loss outside the mask is told in optimizer step `step` (0-based) of `steps`: in the first, the last
    and every tenth, in a short run more often. What is learnt does not depend on it."""
    return step == steps - 1 or step % max(1, min(_OUTSIDE_EVERY, steps // _OUTSIDE_EVERY)) == 0


def needed_cells(micro: MicroBatch, prior_acts: bool, others: bool) -> Needed:
    """What counts of a micro-batch; `others`: the rest is predicted too. With token routing kept tokens count, whatever
    their weight, and no others: what is told of the loss outside the mask is of those."""
    if micro.kept is not None:
        return Needed(micro.kept.factor_B1Thw, others=False)
    cells = (micro.weights_B1Thw != 0) | (micro.mask_B1Thw != 0)
    return Needed(cells | (micro.prior_B1Thw != 0) if prior_acts else cells, others)


def cells_of_class(micro: MicroBatch, of_class: ClassSamples) -> Needed:
    """What counts in the passes of differential output preservation: its region, or with token routing kept tokens."""
    if micro.kept is not None:
        return Needed(micro.kept.factor_B1Thw[list(of_class.rows)], others=False)
    return Needed(of_class.region_K1Thw != 0, others=False)


def count_only(denoiser: Denoiser, needed: Needed) -> AbstractContextManager[object]:
    """A forward pass in which these cells count, with a denoiser that may compute less for that."""
    return denoiser.count_only(needed) if isinstance(denoiser, TokenSaving) else nullcontext()


def left_out(denoiser: Denoiser, needed: Needed) -> torch.Tensor | None:
    """Cells (B,1,T,h,w), bool, for which such a pass gives numbers that mean nothing; None where for none."""
    if needed.others or not isinstance(denoiser, TokenSaving) or not denoiser.saves(needed):
        return None
    return needed.cells_B1Thw == 0


def saving_lines(
    denoiser: Denoiser, settings: MaskLossSettings | None, cache: LatentCache, entries: Sequence[CacheEntry]
) -> list[str]:
    """For the log of a run in which weights may be 0: what that saves, and for which of some `entries` it saves nothing
    because their masks cover the whole picture. None for any other run."""
    if (
        settings is None
        or settings.min_weight > 0
        or settings.prior_weight > 0
        or not isinstance(denoiser, TokenSaving)
    ):
        return []
    chosen = looked_at(entries)
    covered = [entry.name for entry in chosen if _is_covered(entry, cache, settings, denoiser)]
    nothing = (
        f"So nothing is saved at {len(covered)} of {len(chosen)} items looked at, whose masks cover the whole picture "
        f"or nearly all of it: {first_names(covered)}."
    )
    return [denoiser.saving_note, nothing] if covered else [denoiser.saving_note]


def _is_covered(entry: CacheEntry, cache: LatentCache, settings: MaskLossSettings, denoiser: TokenSaving) -> bool:
    """Whether so many cells count that the model computes them all, which would compute less for a single one."""
    cached, present = cached_masks(cache, [entry])
    cells = torch.ones_like(cached)
    if present.all():
        mask = 1.0 - cached if settings.invert else cached
        cells = (mask != 0) | (transform_weights(cached, settings) != 0)
    single = torch.zeros_like(cached)
    single[..., 0, 0] = 1.0
    return denoiser.saves(Needed(single, others=False)) and not denoiser.saves(Needed(cells, others=False))
