"""The report's rows: what is to be seen of each photograph, drawn as thumbnails and put into words.

`_HW`, `_HWC` pixel grid, `_hw` latent grid.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import torch

from ..cache.entries import CacheEntry
from ..cache.pictures import select_frames, source_pictures
from ..cache.store import LatentCache
from ..dataset.items import DatasetItem, LeftOut, MaskOrigin
from ..dataset.load import LoadedItem, load_picture, load_still, load_still_mask
from ..draw.overlay import face_overlay, heat_map, weights_overlay
from ..draw.sheet import shrink
from ..errors import CacheError, DatasetError, ImageError
from ..images import load_image
from ..mask_weights import MaskLossSettings, transform_weights
from ..people.decision import Outcome, PersonDecision
from .page import Figure, Photograph
from .thumbnails import LONGEST_PX, Thumbnails

MOST_CLIPS = 3
_BADGES = {
    Outcome.MATCH: ("recognised", True),
    Outcome.INDEX: ("chosen by number", True),
    Outcome.LARGEST: ("largest face", True),
    Outcome.EMPTY: ("nobody kept", False),
    Outcome.SKIPPED: ("left out", False),
    Outcome.ABSENT: ("not in it", False),
}


@dataclass(frozen=True, eq=False)
class TrainedWeights:
    """What training used of the cache: `settings` is None when they are not known or mask loss was off."""

    cache: LatentCache | None
    settings: MaskLossSettings | None

    @cached_property
    def entries(self) -> Mapping[str, Sequence[CacheEntry]]:
        """The entries of each photograph or video by its name."""
        found: dict[str, list[CacheEntry]] = {}
        for entry in self.cache.entries if self.cache else ():
            found.setdefault(entry.item_name, []).append(entry)
        return found


def kept_row(item: DatasetItem, trained: TrainedWeights, thumbnails: Thumbnails, approximate: bool) -> Photograph:
    """A photograph that is in the training set. What cannot be read is said in the row."""
    badge, good = ("kept", True) if item.person is None else _BADGES[item.person.outcome]
    reason = "Its mask is used as it is; no single person was looked for." if item.person is None else _reason(item)
    figures: list[Figure] = []
    notes: list[str] = []
    facts: list[tuple[str, str]] = []
    try:
        loaded = load_still(item)
        thumbnails.look.add(item, loaded.rgb_HWC, loaded.weights_HW, loaded.origin)
        figures += _photograph_figures(item, loaded, thumbnails, approximate)
        figures[1:1] = _control_figures(item, thumbnails)
        facts.append(("mask from", loaded.origin.value))
        if loaded.weights_HW is not None:
            facts.append(("mean weight", f"{float(loaded.weights_HW.mean(dtype=np.float64)):.1%}"))
    except (ImageError, DatasetError) as error:
        notes.append(str(error))
    if item.crop is not None:
        facts.append(("crop of", f"{item.whole_name}: {item.crop.kind.value}"))
    if item.person is not None and item.person.area is not None:
        facts.append(("area of the person", f"{item.person.area:.1%}"))
    facts += _scores(item.person)
    entries = trained.entries.get(item.name, ())
    if item.is_video:
        facts.append(("clips cached", str(len(entries))))
    for entry in entries[:MOST_CLIPS]:
        more, more_facts, more_notes = _entry(entry, trained, thumbnails)
        figures, facts, notes = figures + more, facts + more_facts, notes + more_notes
    if item.caption:
        facts.append(("caption", item.caption))
    facts += [("regularisation", f"{item.regularisation:.0%} of an epoch with others")] if item.regularisation else []
    facts += [("repeats", str(item.repeats))] if item.repeats > 1 else []
    return Photograph(item.name, badge, good, reason, tuple(figures), tuple(facts), tuple(notes))


def left_out_row(left_out: LeftOut, thumbnails: Thumbnails, approximate: bool) -> Photograph:
    """A photograph that a step took out, with the tiers of everyone in it, its faces and their scores."""
    item = left_out.item
    figures: list[Figure] = []
    notes: list[str] = []
    try:
        rgb_HWC = load_picture(item)
        thumbnails.look.add(item, rgb_HWC, np.zeros((1, 1), np.float32), MaskOrigin.NONE, left_out.reason)
        small_HWC, scale = _small(rgb_HWC)
        figures.append(thumbnails.add(_title(item), small_HWC))
        if item.tiers_path is not None:
            figures.append(_tiers_figure(item, item.tiers_path, small_HWC, thumbnails, approximate))
        if item.person is not None and not item.is_video:
            faces_HWC = face_overlay(small_HWC, _scale(item.person, scale))
            figures.append(thumbnails.add("Faces", faces_HWC, "number and similarity; nobody was chosen"))
    except ImageError as error:
        notes.append(str(error))
    facts = tuple(_scores(item.person))
    return Photograph(item.name, "left out", False, _sentence(left_out.reason), tuple(figures), facts, tuple(notes))


def cached_row(entry: CacheEntry, trained: TrainedWeights, thumbnails: Thumbnails) -> Photograph:
    """A cached picture of which no dataset item is known."""
    figures, facts, notes = _entry(entry, trained, thumbnails)
    facts.insert(0, ("mask from", entry.origin.value))
    return Photograph(entry.name, "cached", True, "From the cache.", tuple(figures), tuple(facts), tuple(notes))


def _photograph_figures(
    item: DatasetItem, loaded: LoadedItem, thumbnails: Thumbnails, approximate: bool
) -> list[Figure]:
    small_HWC, scale = _small(loaded.rgb_HWC)
    figures = [thumbnails.add(_title(item), small_HWC, f"{loaded.size[0]} × {loaded.size[1]}")]
    if item.tiers_path is not None and item.person is not None:
        figures.append(_tiers_figure(item, item.tiers_path, small_HWC, thumbnails, approximate))
    if item.person is not None and not item.is_video:  # a video's faces are those of another frame
        figures.append(thumbnails.add("Faces", face_overlay(small_HWC, _scale(item.person, scale)), _note_choice(item)))
    if loaded.weights_HW is not None:
        thumbnails.tiers.add(loaded.weights_HW)
        title = "Tiers" if item.person is None else "Only this person"
        text = _note_guess(approximate) if item.person is None else "everyone else has no weight"
        figures.append(thumbnails.add(title, _draw_weights(small_HWC, loaded.weights_HW), text))
    return figures


def _control_figures(item: DatasetItem, thumbnails: Thumbnails) -> list[Figure]:
    """What an edit model is shown beside the photograph, or one_frame has for its other frame."""
    figures: list[Figure] = []
    for number, path in enumerate(item.controls, 1):
        rgb_HWC = load_image(path)[0]
        size = f"{rgb_HWC.shape[1]} × {rgb_HWC.shape[0]}"
        title = "Control image" if len(item.controls) == 1 else f"Control image {number}"
        figures.append(thumbnails.add(title, rgb_HWC, size))
    return figures


def _title(item: DatasetItem) -> str:
    return "Middle frame" if item.is_video else "Photograph"


def _tiers_figure(
    item: DatasetItem, path: Path, small_HWC: np.ndarray, thumbnails: Thumbnails, approximate: bool
) -> Figure:
    tiers_HW = load_still_mask(item, path, item.tiers_meaning)
    return thumbnails.add(
        "Tiers of everyone", _draw_weights(small_HWC, tiers_HW / np.float32(255)), _note_guess(approximate)
    )


def _note_guess(approximate: bool) -> str:
    return "approximate: the part segmenter guesses" if approximate else ""


def _entry(
    entry: CacheEntry, trained: TrainedWeights, thumbnails: Thumbnails
) -> tuple[list[Figure], list[tuple[str, str]], list[str]]:
    """Figures, facts and notes about a cache entry."""
    _, frames, height, width = entry.latent_shape
    facts = [
        ("bucket", f"{entry.bucket[0]} × {entry.bucket[1]}"),
        ("latent grid", f"{width} × {height}" + (f" × {frames} frames" if frames > 1 else "")),
        ("coverage on the latent grid", f"{entry.coverage:.1%}"),
    ]
    notes: list[str] = []
    if trained.cache is None:
        return [], facts, notes
    shown = select_frames(entry, 3)
    frame = shown[len(shown) // 2]
    used_hw = np.ones((height, width), np.float32)
    try:
        raw_1Thw = trained.cache.weights(entry)
    except CacheError as error:
        return [], facts, [str(error)]
    if raw_1Thw is None:
        notes.append("It has no mask, so every part of the picture counts fully.")
    else:
        used_hw = _loss_weights(raw_1Thw, trained.settings)[frame]
    thumbnails.cells.add(used_hw)
    text = f"mean {used_hw.mean():.3f}, {used_hw.min():.2f} to {used_hw.max():.2f}"
    try:
        picture_HWC = shrink(source_pictures(trained.cache, entry, (frame,))[0], LONGEST_PX)
        heat_HWC = heat_map(used_hw, (picture_HWC.shape[1], picture_HWC.shape[0]), picture_HWC)
    except ImageError as error:
        notes.append(str(error))
        heat_HWC = heat_map(used_hw, (width * 8, height * 8))
    title = "Weights in training" if trained.settings else "Weights on the latent grid"
    return [thumbnails.add(title, heat_HWC, text)], facts, notes


def _loss_weights(raw_1Thw: torch.Tensor, settings: MaskLossSettings | None) -> np.ndarray:
    """The weights of each latent frame as the loss used them, (T,h,w)."""
    weights_B1Thw = raw_1Thw[None]
    if settings is not None:
        weights_B1Thw = transform_weights(weights_B1Thw, settings)
    return weights_B1Thw[0, 0].numpy()


def _small(rgb_HWC: np.ndarray) -> tuple[np.ndarray, float]:
    """The thumbnail that overlays are drawn on, so that letters keep their size, and its scale."""
    small_HWC = shrink(rgb_HWC, LONGEST_PX)
    return small_HWC, small_HWC.shape[1] / rgb_HWC.shape[1]


def _draw_weights(small_HWC: np.ndarray, weights_HW: np.ndarray) -> np.ndarray:
    height, width = small_HWC.shape[:2]
    # Nearest, so that the tiers in the legend are the mask's own and no mixture.
    rows = (np.arange(height) + 0.5) * weights_HW.shape[0] / height
    columns = (np.arange(width) + 0.5) * weights_HW.shape[1] / width
    return weights_overlay(small_HWC, weights_HW[rows.astype(int)][:, columns.astype(int)])


def _scale(decision: PersonDecision, scale: float) -> PersonDecision:
    faces = tuple(
        replace(face, box=(face.box[0] * scale, face.box[1] * scale, face.box[2] * scale, face.box[3] * scale))
        for face in decision.faces
    )
    return replace(decision, faces=faces)


def _reason(item: DatasetItem) -> str:
    return "" if item.person is None else _sentence(item.person.reason)


def _sentence(text: str) -> str:
    return f"{text[:1].upper()}{text[1:].rstrip('.')}." if text else ""


def _note_choice(item: DatasetItem) -> str:
    if item.person is None or item.person.chosen is None:
        return "nobody was chosen"
    return f"face {item.person.chosen} was chosen"


def _scores(decision: PersonDecision | None) -> list[tuple[str, str]]:
    if decision is None:
        return []
    if not decision.faces:
        return [("faces", "none found")]
    return [
        (f"face {face.index}", "not compared" if face.similarity is None else f"{face.similarity:.2f}")
        for face in decision.faces
    ]
