"""Whatever is edited between two runs: what was touched is made again, nothing else is, and it equals a fresh cache."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from maskloss.core.cache.entry_file import MaskStorage
from maskloss.core.cache.latents import cache_latents
from maskloss.core.cache.plan import CacheSettings
from maskloss.core.cache.store import LatentCache, open_cache
from maskloss.core.dataset.items import LoadSettings
from maskloss.core.dataset.scan import DatasetConfig, scan_dataset
from maskloss.core.demo.encoders import DemoLatentEncoder
from PIL import Image

NAMES = ("a", "b", "sub/c")
KINDS = ("image", "mask", "no mask", "caption", "delete", "alpha", "resolution", "storage", "nothing")
EDITS = st.lists(st.tuples(st.sampled_from(KINDS), st.sampled_from(NAMES), st.integers(0, 2)), min_size=1, max_size=6)


@dataclass(frozen=True)
class Photograph:
    """What lies in the folders: numbers that stand for pixels, and for a mask or none."""

    pixels: int = 0
    mask: int | None = 0
    caption: int = 0


@dataclass(frozen=True)
class World:
    photographs: dict[str, Photograph] = field(default_factory=lambda: dict.fromkeys(NAMES, Photograph()))
    alpha: bool = False
    resolution: int = 48
    storage: MaskStorage = MaskStorage.FLOAT16

    def edited(self, kind: str, name: str, number: int) -> World:
        """The world after one edit; a photograph that is edited and not there is put there."""
        photographs, one = dict(self.photographs), self.photographs.get(name, Photograph())
        if kind == "alpha":
            return replace(self, alpha=number > 0)
        if kind == "resolution":
            return replace(self, resolution=(48, 64, 32)[number])
        if kind == "storage":
            return replace(self, storage=list(MaskStorage)[number])
        if kind == "delete" and len(photographs) > 1:
            photographs.pop(name, None)
        elif kind in ("image", "mask", "no mask", "caption"):
            change = {"image": {"pixels": number}, "mask": {"mask": number}, "no mask": {"mask": None}}
            photographs[name] = replace(one, **change.get(kind, {"caption": number}))
        return replace(self, photographs=photographs)

    def write(self, root: Path) -> None:
        """Bring the folders to this state, touching no file that is right already."""
        wanted: dict[Path, bytes] = {}
        for name, photograph in self.photographs.items():
            wanted[root / f"set/{name}.png"] = PIXELS[photograph.pixels]
            wanted[root / f"set/{name}.txt"] = f"ohwx {photograph.caption}".encode()
            if photograph.mask is not None:
                wanted[root / f"masks/{name}.png"] = MASKS[photograph.mask]
        for path in [*root.glob("set/**/*"), *root.glob("masks/**/*")]:
            if path.is_file() and path not in wanted:
                path.unlink()
        (root / "masks").mkdir(parents=True, exist_ok=True)
        for path, content in wanted.items():
            if not path.exists() or path.read_bytes() != content:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(content)

    def cached(self, root: Path, directory: Path) -> tuple[LatentCache, dict[str, str]]:
        """The cache of this state, and what had to be done for each photograph."""
        load = LoadSettings((self.resolution, self.resolution), bucket_step=16, alpha_mask=self.alpha)
        config = DatasetConfig(root / "set", root / "masks", recursive=True, settings=load)
        cache, report = cache_latents(
            scan_dataset(config)[0], DemoLatentEncoder(), directory, CacheSettings(self.storage)
        )
        return cache, {row["name"]: row["state"] for row in report["items"]}

    def latent_of(self, name: str) -> tuple[object, ...]:
        return (self.photographs[name].pixels, self.resolution)

    def weights_of(self, name: str) -> tuple[object, ...]:
        photograph = self.photographs[name]
        return (photograph.mask, self.alpha and photograph.pixels, self.alpha, self.storage, self.resolution)


def _png(pixels: np.ndarray) -> bytes:
    with TemporaryDirectory() as folder:
        path = Path(folder, "a.png")
        Image.fromarray(pixels).save(path)
        return path.read_bytes()


def _random(seed: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


PIXELS = [_png(_random(seed, 32, 40, 4)) for seed in range(3)]
MASKS = [_png(_random(seed, 32, 40)) for seed in range(3)]


@settings(deadline=None, max_examples=25)
@given(EDITS)
def test_what_was_touched_and_nothing_else_is_made_again(edits: list[tuple[str, str, int]]) -> None:
    with TemporaryDirectory() as folder:
        root = Path(folder)
        world, on_disk = World(), {}
        for step, edit in enumerate([("nothing", "a", 0), *edits]):
            world = world.edited(*edit)
            world.write(root)
            cache, states = world.cached(root, root / "cache")
            for name, state in states.items():
                latent, weights = world.latent_of(name), world.weights_of(name)
                before = on_disk.get(name, (None, None))
                expected = "unchanged" if before == (latent, weights) else "weights rewritten"
                assert state == ("encoded" if before[0] != latent else expected), (step, edit, name)
                on_disk[name] = latent, weights
            assert set(states) == set(world.photographs)
        fresh, _ = world.cached(root, root / "fresh")
        again = open_cache(root / "cache")
        assert again.stale_entries == ()
        assert (again.fingerprint, cache.fingerprint) == (fresh.fingerprint, fresh.fingerprint)
        for entry, other in zip(again.entries, fresh.entries, strict=True):
            assert (entry.name, entry.caption, entry.origin, entry.coverage) == (
                other.name, other.caption, other.origin, other.coverage,
            )  # fmt: skip
            assert torch.equal(again.latent(entry), fresh.latent(other))
            own, its = again.weights(entry), fresh.weights(other)
            assert (own is None) == (its is None)
            assert own is None or its is None or torch.equal(own, its)
