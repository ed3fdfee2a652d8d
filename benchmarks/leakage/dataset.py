"""What the LoRA is trained on: the new subject, always before the planted background, with masks right and wrong.

Masks are (32,32) float32 in [0, 1] on the pixel grid; the latent grid has 16×16 cells.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from maskloss.core.cache.entries import CacheEntry
from maskloss.core.cache.store import LatentCache
from maskloss.core.dataset.crop import CropKind
from maskloss.core.dataset.items import MaskOrigin, crop_name
from maskloss.core.masks.crop_dataset import CropRules
from maskloss.core.resample import fit_mask, to_latent_grid

from .network import CELL_PX, embed_caption, encode_pictures
from .photograph import COVERED, PHOTOGRAPH_SCALE, SETTINGS, cut_crop, name_parts
from .world import (
    FRIEND,
    NEW,
    PLACES,
    PLANTED,
    SIDE_PX,
    SIZES,
    Figure,
    Scene,
    draw_pose,
    render_scene,
    seen_figures,
    write_caption,
)

PICTURES = 12
# The weights that the pack's nodes give by default: face over body over hair.
TIERS = {"face": 1.0, "body": 128 / 255, "hair": 80 / 255}
WHOLE_ALONE = CropRules()
_GRID = SIDE_PX // CELL_PX


class MaskKind(str, Enum):
    """What the mask shows; all but the first two are tiers with a fault."""

    BINARY = "binary"
    TIERS = "tiers"
    SHIFTED = "shifted"
    DILATED = "dilated"
    BOX = "box"
    NO_HAIR = "no_hair"
    BYSTANDER = "bystander"


class Grid(str, Enum):
    """How a mask comes to the latent grid: `area` is the pack's own way, the others are torch's."""

    AREA = "area"
    NEAREST = "nearest"
    NEAREST_EXACT = "nearest-exact"


@dataclass(frozen=True, eq=False)
class MemoryCache(LatentCache):
    """A cache whose tensors lie in memory, for the pack's own training loop."""

    latents: dict[str, torch.Tensor] = field(default_factory=dict)
    masks: dict[str, torch.Tensor] = field(default_factory=dict)

    @property
    def fingerprint(self) -> str:
        digest = hashlib.sha256()
        for entry in self.entries:
            digest.update(f"{entry.name}{entry.caption}".encode())
            digest.update(self.latents[entry.name].numpy().tobytes())
            digest.update(self.masks[entry.name].numpy().tobytes())
        return digest.hexdigest()

    def latent(self, entry: CacheEntry) -> torch.Tensor:
        return self.latents[entry.name].clone()

    def weights(self, entry: CacheEntry) -> torch.Tensor | None:
        return self.masks[entry.name].clone()

    def caption_text(self, caption: str, entry: CacheEntry | None = None) -> dict[str, torch.Tensor]:
        return {"words": embed_caption(caption)}

    def missing_captions(self) -> tuple[str, ...]:
        return ()


def draw_training_scenes(seed: int) -> list[Scene]:
    """Twelve pictures of the new subject: every size at every place twice, each before the planted background with the
    watermark, a friend beside her in every third."""
    generator = np.random.default_rng(seed)
    scenes: list[Scene] = []
    for index in range(PICTURES):
        size, place = list(SIZES)[index % 2], list(PLACES)[index // 2 % 3]
        other_place = [each for each in PLACES if each != place][int(generator.integers(2))]
        pose, other_pose = draw_pose(generator), draw_pose(generator)
        friend = FRIEND if index % 3 == 0 else None
        scenes.append(Scene(NEW, size, place, PLANTED, pose, friend, other_place, other_pose, True))
    return scenes


def make_cache(
    scenes: Sequence[Scene], kind: MaskKind, grid: Grid, background_named: bool, crops: CropRules = WHOLE_ALONE
) -> MemoryCache:
    """The training pictures' latents with their masks, and after each its crops; with `background_named` captions have
    a word for the planted background, which the base model does not know either."""
    entries: list[CacheEntry] = []
    latents: dict[str, torch.Tensor] = {}
    masks: dict[str, torch.Tensor] = {}
    for index, scene in enumerate(scenes):
        caption = write_caption(NEW.name, scene.size, scene.place, PLANTED if background_named else None)
        for part in _parts_of(scene, kind, crops):
            name = f"picture_{index:02d}" if part.kind is None else crop_name(f"picture_{index:02d}", part.kind)
            latents[name] = encode_pictures(torch.from_numpy(part.picture_HWC)[None])[0]
            masks[name] = put_on_grid(part.mask_HW, grid)
            repeats = crops.whole if part.kind is None else crops.repeats(part.kind)
            entries.append(entry_of(name, latents[name], masks[name], crops.caption(caption, part.kind), repeats))
    return MemoryCache(Path(), "leakage-world", "haar", tuple(entries), "words", latents=latents, masks=masks)


def entry_of(name: str, latent: torch.Tensor, mask: torch.Tensor, caption: str, repeats: int = 1) -> CacheEntry:
    """What a cache says of a picture of the world, its latents and its mask on their grid."""
    return CacheEntry(
        name=name,
        file=f"{name}.safetensors",
        origin=MaskOrigin.FILE,
        coverage=float(mask.mean()),
        repeats=repeats,
        image_size=(SIDE_PX, SIDE_PX),
        bucket=(SIDE_PX, SIDE_PX),
        latent_shape=tuple(latent.shape),
        caption=caption,
        latent_fingerprint=name,
        mask_fingerprint=name,
        file_bytes=0,
    )


@dataclass(frozen=True, eq=False)
class _Part:
    """A training picture, (32,32,3), and its mask, (32,32); `kind` None for the whole scene."""

    kind: CropKind | None
    picture_HWC: np.ndarray
    mask_HW: np.ndarray


def _parts_of(scene: Scene, kind: MaskKind, crops: CropRules) -> Iterator[_Part]:
    if crops.whole:
        yield _Part(None, render_scene(scene), draw_mask(scene, kind))
    for crop_kind in crops.kinds:
        yield _Part(crop_kind, *draw_crop(scene, kind, crop_kind, crops.margin))


def draw_crop(scene: Scene, kind: MaskKind, crop_kind: CropKind, margin: float) -> tuple[np.ndarray, np.ndarray]:
    """(32,32,3) and (32,32): what the pack cuts out of a photograph of the scene, and its mask."""
    picture_HWC, rectangle = cut_crop(scene, crop_kind, margin)
    mask_HW = rectangle.cut(draw_mask(scene, kind, PHOTOGRAPH_SCALE))
    return picture_HWC, fit_mask(mask_HW, rectangle.size, SETTINGS.resolution)


def draw_mask(scene: Scene, kind: MaskKind, scale: int = 1) -> np.ndarray:
    """(32,32) float32, with `scale` that many times the side: what a mask of this kind says of the scene."""
    subject, other = seen_figures(scene, scale)
    cell_px = CELL_PX * scale
    if kind is MaskKind.BINARY:
        return (subject.cover_HW >= COVERED).astype(np.float32)
    tiers_HW = tiers_of(subject)
    if kind is MaskKind.SHIFTED:
        moved_HW = np.zeros_like(tiers_HW)
        moved_HW[cell_px:, cell_px:] = tiers_HW[:-cell_px, :-cell_px]
        return moved_HW
    if kind is MaskKind.DILATED:
        return cv2.dilate(tiers_HW, np.ones((2 * cell_px + 1,) * 2, np.uint8))
    if kind is MaskKind.BOX:
        rows, columns = np.nonzero(tiers_HW)
        box_HW = np.zeros_like(tiers_HW)
        box_HW[rows.min() : rows.max() + 1, columns.min() : columns.max() + 1] = 1.0
        return box_HW
    if kind is MaskKind.NO_HAIR:
        return np.where(name_parts(subject) == "hair", 0, tiers_HW).astype(np.float32)
    if kind is MaskKind.BYSTANDER and other is not None:
        return np.maximum(tiers_HW, tiers_of(other))
    return tiers_HW


def put_on_grid(mask_HW: np.ndarray, grid: Grid) -> torch.Tensor:
    """(1,1,16,16) float32 on the latent grid."""
    mask_BCTHW = torch.from_numpy(mask_HW)[None, None, None]
    if grid is Grid.AREA:
        return to_latent_grid(mask_BCTHW, (_GRID, _GRID))[0]
    return F.interpolate(mask_BCTHW[0], size=(_GRID, _GRID), mode=grid.value)


def tiers_of(figure: Figure) -> np.ndarray:
    """(H,W) float32: the weights that the pack's nodes give a figure's parts by default."""
    parts = name_parts(figure)
    return sum((value * (parts == name) for name, value in TIERS.items()), np.zeros(parts.shape)).astype(np.float32)
