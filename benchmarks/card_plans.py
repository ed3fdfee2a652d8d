"""The planned peaks of the card benchmark's cases."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence

import torch
from maskloss.core.comfy.model.planned import ComfyPlannedModel
from maskloss.core.errors import MaskLossError

from .card_cases import PARTS
from .card_models import architecture
from .card_parts import key


def planned_peaks(names: Sequence[str], tiny: bool, on_card: bool) -> Iterator[tuple[str, int]]:
    """Each case's key and peak in bytes; a case that cannot be planned is left out, and stderr says why."""
    for name in (name for name in names if PARTS[name].cases):
        full = architecture(name, tiny)
        caption = full.caption.embeddings()
        configuration = full.configuration(torch.bfloat16)
        model = ComfyPlannedModel(name, configuration, caption, full.stride, full.frame_stride, on_card)
        known: dict[str, int] = {}
        for case in PARTS[name].cases:
            if key(name, case) in known:
                continue
            try:
                known[key(name, case)] = model.count(case.setup(model.block_count, tiny, on_card)).peak
                yield key(name, case), known[key(name, case)]
            except MaskLossError as problem:
                print(f"{key(name, case)}: {problem}", file=sys.stderr)
