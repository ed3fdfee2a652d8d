"""What an entry says of itself: its photograph, and the item that it came from."""

from pathlib import Path

import pytest
from maskloss.core.cache.entries import CacheEntry, Source
from maskloss.core.cache.latents import cache_latents
from maskloss.core.cache.store import open_cache
from maskloss.core.dataset.items import Dataset, DatasetItem, LoadSettings, MaskOrigin
from maskloss.core.demo.encoders import DemoLatentEncoder
from maskloss.core.errors import CacheError, ImageError


def entry(name: str, *sources: tuple[str, str]) -> CacheEntry:
    return CacheEntry(
        name, f"{name}.safetensors", MaskOrigin.FILE, 0.5, 1, (64, 64), (64, 64), (16, 1, 8, 8), "", "l", "m", 10,
        tuple(Source(role, Path(path), 1, 1, "hash") for role, path in sources),
    )  # fmt: skip


def test_the_photograph_is_the_source_of_its_role() -> None:
    assert entry("a", ("mask", "masks/a.png"), ("image", "set/a.png")).source_path == Path("set/a.png")
    for unknown in (entry("a"), entry("a", ("mask", "masks/a.png"))):
        with pytest.raises(ImageError, match="photograph of a is not known"):
            _ = unknown.source_path


@pytest.mark.parametrize(
    ("name", "file", "item"),
    [
        ("film_00000-005", "set/film.mp4", "film"),
        ("sub/film_00017-0121", "set/film.MOV", "sub/film"),
        ("film_00000-005", "set/film_00000-005.png", "film_00000-005"),
        ("film", "set/film.mp4", "film"),
    ],
)
def test_a_clip_belongs_to_its_video_and_a_photograph_keeps_its_name(name: str, file: str, item: str) -> None:
    assert entry(name, ("image", file)).item_name == item


def test_regularisation_is_kept_in_the_index_and_in_the_fingerprint(tmp_path: Path, photograph) -> None:
    paths = {name: photograph(f"set/{name}.png", seed=seed) for seed, name in enumerate("ab")}
    settings = LoadSettings(resolution=(64, 64))

    def cached(fraction: float):
        items = (
            DatasetItem("a", paths["a"], settings),
            DatasetItem("b", paths["b"], settings, regularisation=fraction),
        )
        return cache_latents(Dataset(items), DemoLatentEncoder(), tmp_path / "cache")

    plain, _ = cached(0.0)
    assert '"regularisation":' not in (tmp_path / "cache/maskloss_index.json").read_text()
    apart, report = cached(0.25)
    assert [row["state"] for row in report["items"]] == ["unchanged"] * 2
    assert plain.fingerprint != apart.fingerprint != cached(0.5)[0].fingerprint
    cached(0.25)
    opened = open_cache(tmp_path / "cache")
    assert [entry.regularisation for entry in opened.entries] == [0.0, 0.25]
    assert opened.fingerprint == apart.fingerprint
    assert opened.origin_counts()[MaskOrigin.NONE] == 1
    index = tmp_path / "cache/maskloss_index.json"
    index.write_text(index.read_text().replace("[0.0, 0.25]", "[0.0, 1.25]"))
    with pytest.raises(CacheError, match="regularisation"):
        open_cache(tmp_path / "cache")


def test_whose_item_it_is_is_kept_in_the_index(tmp_path: Path, photograph) -> None:
    path = photograph("set/party.png")
    settings = LoadSettings(resolution=(64, 64))
    items = tuple(DatasetItem(f"party@{name}", path, settings, subject=name) for name in ("anna", "berta"))
    cache_latents(Dataset(items), DemoLatentEncoder(), tmp_path / "cache")
    assert [entry.subject for entry in open_cache(tmp_path / "cache").entries] == ["anna", "berta"]
    cache_latents(Dataset((DatasetItem("party", path, settings),)), DemoLatentEncoder(), tmp_path / "plain")
    assert '"subject":' not in (tmp_path / "plain/maskloss_index.json").read_text()
