"""Differential output preservation: what the trigger is learnt from must not change its class.

Of a sample whose caption has the trigger, the model with the adapter is also shown the caption with the class noun in
its place, with the same noise and timestep, and is held to what the base model predicts for that: the term that AI
Toolkit calls `diff_output_preservation`. It takes a forward pass of the base model and a forward and a backward pass of
the trained one more. They run after the loss of the micro-batch is done with, so that activations of both are never in
memory at once.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from ..cache.entries import CacheEntry
from ..cache.store import LatentCache
from ..dataset.trigger import class_caption, has_word
from ..errors import CacheError, TrainingError
from ..first_names import first_names
from ..loss import elementwise_error, unnormalised_loss
from ..mask_weights import MaskLossSettings, Normalization
from ..warning import warn
from .order import learnt_entries
from .step import TrainedModel, autocast_context, routed_pass
from .token_saving import cells_of_class, count_only, left_out
from .window import ClassSamples, MicroBatch, Window


def preservation_notes(cache: LatentCache, entries: Sequence[CacheEntry], settings: MaskLossSettings) -> list[str]:
    """What is said of it before a run, and what it costs; nothing where it is off.

    TrainingError where no caption has a trigger, or a class noun is itself one; CacheError where the cache lacks text.
    """
    pairs = settings.triggers
    if not pairs:
        return []
    words = " or ".join(trigger for trigger, _ in pairs)
    captions = [class_caption(entry.caption, pairs) for entry in entries]
    texts = list(dict.fromkeys(caption for caption in captions if caption is not None))
    acting = sum(caption is not None for caption in captions)
    if not acting:
        raise TrainingError(
            f"dop_weight is {settings.dop_weight:g}, but none of {len(entries)} captions has the trigger {words} (the "
            f"first is {entries[0].caption!r}); write it into the captions, as MaskLossDatasetSetCaptions does by "
            "rule, and cache again, or set dop_weight to 0."
        )
    if both := next((noun for _, noun in pairs for word, _ in pairs if has_word(noun, word)), None):
        raise TrainingError(f"The class noun {both!r} has a trigger in it; give a noun that the base model knows.")
    of = [(text, entry) for text, entry in zip(captions, entries, strict=True) if text is not None]
    if missing := list(dict.fromkeys(text for text, entry in of if not cache.has_text(text, entry))):
        raise CacheError(
            f"The cache {cache.directory} has no text for {len(missing)} captions in which the class noun stands for "
            f"the trigger, such as {missing[0]!r}; connect the same mask_loss to MaskLossCacheText and run it again."
        )
    lacking = [entry.name for entry, caption in zip(entries, captions, strict=True) if caption is None]
    learnt = {entry.name for entry in learnt_entries(entries)}
    if bare := [name for name in lacking if name in learnt]:
        warn(f"{len(bare)} captions lack the trigger {words}, so dop_weight does not act there: {first_names(bare)}.")
    return [
        f"Differential output preservation, {settings.dop_region.value}: {acting} of {len(entries)} items are also "
        f"shown with the class noun for the trigger ({len(texts)} captions, such as {texts[0]!r}) and held to the base "
        "model there. Each time that takes a forward pass of the base model and a forward and a backward pass of the "
        "trained one more: about 2.3 times as long as a step without."
    ]


def preservation_loss(
    micro: MicroBatch, of_class: ClassSamples, window: Window, model: TrainedModel, settings: MaskLossSettings
) -> torch.Tensor:
    """A micro-batch's part of it, before `dop_weight`, a scalar with a graph.

    The mean of its region in each sample, and that over all samples of the accumulation window: samples in which it
    does not act stay in the count, so that the others weigh no more beside them.
    """
    denoiser, device, rows = model.denoiser, model.denoiser.device, list(of_class.rows)
    clean = denoiser.normalise(micro.raw_BCThw[rows].to(device))
    noise, t = micro.noise_BCThw[rows].to(device), micro.t_B[rows].to(device)
    needed = cells_of_class(micro, of_class)

    def predict(checkpoint: bool) -> torch.Tensor:
        routed = routed_pass(micro, denoiser, rows)
        with autocast_context(denoiser, model.dtype), routed, count_only(denoiser, needed):
            return denoiser.predict(clean, noise, t, of_class.text, checkpoint)

    with model.teacher.base_context():
        base = predict(False)
    model.adapters.set_dropout_seeds([micro.dropout_seeds[row] for row in rows])
    # Both residuals are against the same target, so their difference is that of the two predictions.
    drift = elementwise_error(predict(model.checkpoint) - base, settings)
    nothing = left_out(denoiser, needed)
    if nothing is not None:
        drift = drift.masked_fill(nothing.to(device), 0.0)
    factor = None if micro.kept is None else micro.kept.factor_B1Thw[rows].to(device)
    region = of_class.region_K1Thw.to(device)
    summed = unnormalised_loss(drift, region, Normalization.PER_SAMPLE, factor_B1Thw=factor)
    return summed / float(window.prior_normaliser)
