"""What an entry says of itself: its photograph, and the item that it came from."""

from pathlib import Path

import pytest
from maskloss.core.cache.entries import CacheEntry, Source
from maskloss.core.dataset.items import MaskOrigin
from maskloss.core.errors import ImageError


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
