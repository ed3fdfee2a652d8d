"""What is known about a run, in the page's words and in a terminal's ten lines."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from maskloss.core.cache.latents import cache_latents
from maskloss.core.cache.store import LatentCache
from maskloss.core.dataset.items import Dataset, DatasetItem
from maskloss.core.demo.encoders import DemoLatentEncoder
from maskloss.core.errors import PathError
from maskloss.core.mask_weights import Normalization
from maskloss.core.report.report import write_report
from safetensors.torch import save_file

from .run_pages import LOSS, SETTINGS, draw_photo, read_page, write_lora


def test_settings_come_from_the_lora_when_none_are_given(dataset: Dataset, cache: LatentCache, tmp_path: Path) -> None:
    named = '{"gamma": 2.0, "min_weight": 0.25, "normalization": "batch", "loss": "huber"}'
    lora = write_lora(tmp_path / "a.safetensors", {"maskloss.mask_loss": named})
    page = read_page(write_report(tmp_path / "report", dataset, cache, None, lora)[0]).words
    assert "0.25 to 1.00" in page
    assert Normalization.BATCH.value in page
    assert "huber" in page


@pytest.mark.parametrize("stored", ["off", "{", '{"gamma": -1, "normalization": "batch", "loss": "mse"}'])
def test_a_lora_without_usable_settings_is_reported_without(stored: str, tmp_path: Path) -> None:
    lora = write_lora(tmp_path / "a.safetensors", {"maskloss.mask_loss": stored})
    index, lines = write_report(tmp_path / "report", None, None, None, lora)
    page = read_page(index).words
    assert "Settings" not in page
    assert ("This LoRA was trained without mask loss" in page) == (stored == "off")
    assert lines[-2] == f"LoRA: {lora} ({lora.stat().st_size} B)"


def test_sizes_are_in_the_unit_that_reads_best(tmp_path: Path) -> None:
    large = tmp_path / "large.safetensors"
    save_file({"a": torch.zeros(1_000_000)}, large)
    _, lines = write_report(tmp_path / "report", None, None, None, large)
    assert lines[0] == f"LoRA: {large} (4.0 MB)"


def test_items_without_a_mask_are_said_to_count_fully(tmp_path: Path) -> None:
    item = DatasetItem("a", draw_photo(tmp_path / "photos/a.png", 1), SETTINGS)
    cached, _ = cache_latents(Dataset((item,)), DemoLatentEncoder(), tmp_path / "cache")
    index, lines = write_report(tmp_path / "report", Dataset((item,)), cached, None, None)
    page = read_page(index).words
    assert "It has no mask, so every part of the picture counts fully." in page
    assert "1 items had no mask (no alpha + no file). Filled with full-weight (255)." in page
    assert "mask from none" in page
    assert "Mask sources: alpha=0, file=0, none=1" in lines


def test_a_lora_that_is_not_there_or_is_none(tmp_path: Path) -> None:
    with pytest.raises(PathError, match=r"There is no LoRA at .*a\.safetensors"):
        write_report(tmp_path / "report", None, None, None, tmp_path / "a.safetensors")
    (tmp_path / "b.safetensors").write_bytes(b"nothing")
    with pytest.raises(PathError, match=r"b\.safetensors is no safetensors file"):
        write_report(tmp_path / "report", None, None, None, tmp_path / "b.safetensors")
    assert not (tmp_path / "report").exists()


def test_many_photographs_still_fit_ten_lines(dataset: Dataset, cache: LatentCache, tmp_path: Path) -> None:
    item = dataset.items[1]
    many = tuple(DatasetItem(f"p{i}", item.media_path, SETTINGS) for i in range(9))
    lora = write_lora(tmp_path / "a.safetensors", {"maskloss.mask_loss": "off"})
    _, lines = write_report(tmp_path / "report", Dataset(many, dataset.left_out), cache, LOSS, lora)
    assert len(lines) <= 10
    assert lines[1] == "  kept: p0, p1, p2, p3, p4, p5 and 3 more"


def test_regularisation_images_are_counted_apart(dataset: Dataset, cache: LatentCache, tmp_path: Path) -> None:
    kept, *others = dataset.items
    apart = Dataset((kept, *(replace(item, regularisation=0.5) for item in others)), dataset.left_out)
    names = {item.name for item in others}
    entries = [replace(entry, regularisation=0.5 * (entry.name in names)) for entry in cache.entries]
    index, lines = write_report(tmp_path / "report", apart, replace(cache, entries=entries), None, None)
    assert f"1 kept, {len(dataset.left_out)} left out; regularisation images: {len(others)}" in lines[0]
    page = read_page(index).words
    assert "regularisation images" in page
    assert "50% of an epoch with others" in page
    learnt = [entry.coverage for entry in cache.entries if entry.name == kept.name]
    assert f"Coverage: mean {sum(learnt) / len(learnt):.1%}" in page
