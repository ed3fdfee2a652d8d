"""One LoRA of two people who are on every photograph together: what it is trained on, and who takes part.

Masks are (32,32) float32 in [0, 1]; the latent grid has 16×16 cells, the model's token grid 8×8.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import numpy as np
import torch
from maskloss.core.cache.entries import CacheEntry
from maskloss.core.mask_weights import MaskLossSettings

from .dataset import PICTURES, Grid, MemoryCache, entry_of, put_on_grid, tiers_of
from .network import encode_pictures
from .world import (
    NEW,
    PLACES,
    PLANTED,
    SIZES,
    Scene,
    Subject,
    draw_pose,
    render_scene,
    seen_figures,
    write_caption,
)

# Who is on every photograph with her; as new in colours and build.
SECOND = Subject(
    name="yan",
    shape="triangle",
    pattern="columns",
    body=(0.40, 0.25, 0.10),
    stripe=(0.60, 0.95, 0.80),
    face=(0.75, 0.60, 0.45),
    hair=(0.10, 0.45, 0.95),
    cut="short",
)
PEOPLE = (NEW, SECOND)
_PLAIN = MaskLossSettings()
# The first word of a caption is the name of whom the item is of.
TRIGGER_WORD = 0


class Items(str, Enum):
    """What a photograph of both becomes."""

    GROUP = "one item, with both names"
    EACH = "an item for each, the other at weight 0"
    EACH_AND_GROUP = "an item for each, and one of both"


@dataclass(frozen=True)
class Album:
    """A contender. `settings` None: plain training. `attention` weighs the attention term, which is for items of one
    person alone. It trains `times` as many steps as the others."""

    name: str
    items: Items
    settings: MaskLossSettings | None = _PLAIN
    attention: float = 0.0
    times: int = 1

    @property
    def identity(self) -> str:
        """Differs whenever another training would come of it."""
        return repr((self.items.value, self.settings, self.attention, self.times))


ALBUMS = (
    Album("no mask", Items.GROUP, None),
    Album("one mask of both", Items.GROUP),
    Album("each for herself", Items.EACH),
    Album("each for herself, twice the steps", Items.EACH, times=2),
    Album("each for herself, and both", Items.EACH_AND_GROUP),
    Album("each for herself, prior 1", Items.EACH, MaskLossSettings(prior_weight=1.0)),
    Album("each for herself, attention 0.01", Items.EACH, attention=0.01),
    Album("each for herself, attention 0.1", Items.EACH, attention=0.1),
    Album("each for herself, attention 1", Items.EACH, attention=1.0),
)


def draw_album(seed: int) -> list[Scene]:
    """Twelve photographs of both before the planted background; each is the nearer one in every second."""
    generator = np.random.default_rng(seed)
    scenes: list[Scene] = []
    for index in range(PICTURES):
        first, second = PEOPLE if index % 2 == 0 else PEOPLE[::-1]
        place = list(PLACES)[index // 2 % 3]
        other_place = [each for each in PLACES if each != place][int(generator.integers(2))]
        size = list(SIZES)[index // 6]
        pose, other_pose = draw_pose(generator), draw_pose(generator)
        scenes.append(Scene(first, size, place, PLANTED, pose, second, other_place, other_pose, True))
    return scenes


def album_cache(seed: int, items: Items) -> MemoryCache:
    """The photographs' latents, with the items' captions and masks."""
    entries: list[CacheEntry] = []
    latents: dict[str, torch.Tensor] = {}
    masks: dict[str, torch.Tensor] = {}
    for index, scene in enumerate(draw_album(seed)):
        latent = encode_pictures(torch.from_numpy(render_scene(scene))[None])[0]
        for caption, mask_HW in _items_of(scene, items):
            name = f"picture_{index:02d}_{caption.split()[0]}_{len(caption.split())}"
            latents[name], masks[name] = latent, put_on_grid(mask_HW, Grid.AREA)
            entries.append(entry_of(name, latent, masks[name], caption))
    return MemoryCache(Path(), "leakage-world", "haar", tuple(entries), "words", latents=latents, masks=masks)


def _items_of(scene: Scene, items: Items) -> Iterator[tuple[str, np.ndarray]]:
    nearer, other = seen_figures(scene)
    if scene.bystander is None or other is None:
        raise ValueError(f"a scene of two people, not {scene}")
    first_HW, second_HW = tiers_of(nearer), tiers_of(other)
    if items is not Items.GROUP:
        yield write_caption(scene.subject.name, scene.size, scene.place), first_HW
        yield write_caption(scene.bystander.name, "far", scene.bystander_place), second_HW
    if items is not Items.EACH:
        caption = write_caption(scene.subject.name, scene.size, scene.place, bystander=scene.bystander.name)
        yield caption, np.maximum(first_HW, second_HW)
