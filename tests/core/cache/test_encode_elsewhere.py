"""Entries that other processes encode are those that are encoded here, in the same batches."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from maskloss.core.cache.latents import cache_latents
from maskloss.core.cache.text import cache_text
from maskloss.core.dataset.items import Dataset, DatasetItem
from maskloss.core.errors import ItemsFailedError
from one_worker import PickledHere
from PIL import Image

from .states import states

Make = Callable[..., DatasetItem]


@pytest.fixture
def dataset(item: Make) -> Dataset:
    mask = np.full((40, 40), 90, np.uint8)
    small = [item(f"s{number}", number, mask=mask, caption=f"caption {number % 2}") for number in range(3)]
    return Dataset((*small, item("wide", 9, size=(80, 40))))


def entries(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*.safetensors")}


def test_the_same_entries_in_the_same_batches(tmp_path: Path, dataset: Dataset, encoder, text_encoder) -> None:
    here, _ = cache_latents(dataset, encoder, tmp_path / "here", batch_size=2)
    batches, encoder.batches = encoder.batches, []
    spread = PickledHere(encoder, text_encoder)
    there, report = cache_latents(dataset, encoder, tmp_path / "there", batch_size=2, spread=spread)
    assert encoder.batches == batches
    assert sorted(spread.sent) == [("s0", "s1"), ("s2",), ("wide",)]
    assert set(states(report).values()) == {"encoded"}
    assert there.entries == here.entries
    cache_text(here, text_encoder)
    captions, text_encoder.captions = text_encoder.captions, []
    _, report = cache_text(there, text_encoder, spread=spread)
    assert text_encoder.captions == captions
    assert report["counts"]["encoded"] == 3
    assert entries(tmp_path / "there") == entries(tmp_path / "here")


def test_unchanged_entries_stay_here_and_weights_go(tmp_path: Path, dataset: Dataset, encoder) -> None:
    cache_latents(dataset, encoder, tmp_path / "cache")
    encoder.batches = []
    Image.new("L", (40, 40), 200).save(dataset.items[1].mask_path)
    spread = PickledHere(encoder)
    cache, report = cache_latents(dataset, encoder, tmp_path / "cache", spread=spread)
    assert spread.sent == [("s1",)]
    assert states(report)["s1"] == "weights rewritten"
    assert encoder.batches == []
    assert cache.entries[1].coverage == pytest.approx(200 / 255, abs=1e-6)


def test_all_that_cannot_be_read_is_named(tmp_path: Path, dataset: Dataset, encoder) -> None:
    for item in (dataset.items[0], dataset.items[3]):
        item.media_path.write_bytes(item.media_path.read_bytes()[:600])
    with pytest.raises(ItemsFailedError) as raised:
        cache_latents(dataset, encoder, tmp_path / "cache", batch_size=2, spread=PickledHere(encoder))
    assert sorted(raised.value.reasons) == ["s0", "wide"]


def test_what_is_wrong_before_anything_is_encoded_is_named_too(tmp_path: Path, dataset: Dataset, encoder) -> None:
    dataset.items[2].media_path.unlink()
    strict = replace(dataset.items[3], settings=replace(dataset.items[3].settings, require_mask=True))
    with pytest.raises(ItemsFailedError) as raised:
        cache_latents(Dataset((*dataset.items[:3], strict)), encoder, tmp_path / "cache", spread=PickledHere(encoder))
    assert list(raised.value.reasons) == ["wide"]
    with pytest.raises(ItemsFailedError) as raised:
        cache_latents(Dataset(dataset.items[:3]), encoder, tmp_path / "cache", spread=PickledHere(encoder))
    assert list(raised.value.reasons) == ["s2"]
