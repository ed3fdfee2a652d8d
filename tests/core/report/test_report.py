from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from maskloss.core.cache.store import LatentCache
from maskloss.core.dataset.items import Dataset
from maskloss.core.errors import PathError, SettingError
from maskloss.core.images import load_image
from maskloss.core.mask_weights import MaskLossSettings
from maskloss.core.report.report import write_report

from .run_pages import LOSS, read_page, write_lora


def test_the_page_tells_everything(dataset: Dataset, cache: LatentCache, tmp_path: Path) -> None:
    lora = write_lora(tmp_path / "her.safetensors", {"ss_network_dim": "16"})
    index, lines = write_report(tmp_path / "report", dataset, cache, LOSS, lora, MaskLossSettings(gamma=0.7))
    page = read_page(index)
    for words in (
        "a/her", "recognised", "Face 0 matches with 0.71 (0.50 needed).", "face 1 0.12", "area of the person 25.0%",
        "gone", "left out", "The most alike is face 0 with 0.31; the picture was left out.", "face 0 0.31",
        "plain", "Its mask is used as it is; no single person was looked for.", "repeats 3",
        "<her> & a dog", "mask from file", "bucket", "latent grid", "gamma", "0.7", "rank", "16", str(lora),
        "The part segmenter is approximate: it guessed face, hair and body in 3 photographs.",
        "photographs found", "filled with full weight", "Loss inside the mask: 1.0000 at first, 0.5000 at last",
    ):  # fmt: skip
        assert words in page.words, words
    # Losses and coverage of the photographs; of the steps, what has a scale of its own.
    assert page.tags.count("svg") == 4
    # What shows the photographs is beside the page, which says all without it.
    assert page.tags.count("script") == page.tags.count("button") + 1 == 2
    assert {path.name for path in (index.parent / "viewer").iterdir()} >= {"viewer.js", "items.js", "viewer.css"}
    # Photograph, tiers of everyone, faces, the person, training; photograph, tiers, training; photograph, faces.
    assert len(page.pictures) == 5 + 3 + 3
    for picture in page.pictures:
        assert max(load_image(index.parent / picture)[0].shape) <= 640
    assert lines == [
        "Photographs: 3 found, 2 kept, 1 left out",
        "  kept: a/her (face 0 0.71), plain",
        "  left out: gone (best 0.31)",
        "Mask sources: alpha=0, file=2, none=0",
        lines[4],
        "Loss inside the mask: 1.0000 at first, 0.5000 at last (2 steps).",
        "Loss outside the mask: 1.0000 at first, 0.9000 at last (2 steps).",
        "The part segmenter is approximate: it guessed face, hair and body in 3 photographs.",
        f"LoRA: {lora} ({lora.stat().st_size} B)",
        f"Report: {index}",
    ]
    assert re.fullmatch(r"Coverage: mean \d+\.\d%, least \d+\.\d%, most \d+\.\d%", lines[4])


def test_a_persons_loss_is_that_of_the_steps_she_came_in(tmp_path: Path) -> None:
    loss = {**LOSS, "inside/ana": [None, 0.9], "inside/eva": [0.7, None], "inside/ida": [None, None]}
    page = read_page(write_report(tmp_path / "report", None, None, loss, None)[0])
    assert "0.900 → 0.900loss inside, ana" in page.words
    assert "0.700 → 0.700loss inside, eva" in page.words
    assert "inside, ida" not in page.words


def test_a_cache_alone_shows_its_pictures(cache: LatentCache, tmp_path: Path) -> None:
    page = read_page(write_report(tmp_path / "report", None, cache, None, None)[0])
    assert len(page.pictures) == 2
    assert "cached" in page.words
    assert not {"script", "button"} & set(page.tags)
    assert "mask from file" in page.words


def test_a_second_report_replaces_the_first_and_its_pictures(dataset: Dataset, tmp_path: Path) -> None:
    directory = tmp_path / "report"
    write_report(directory, dataset, None, LOSS, None)
    mine = directory / "images/mine.jpg"
    mine.write_bytes(b"kept")
    again, _ = write_report(directory, Dataset(dataset.items[1:]), None, LOSS, None)
    page = read_page(again)
    left = {path.name for path in (directory / "images").iterdir()}
    assert left == {Path(picture).name for picture in page.pictures} | {"mine.jpg"}
    assert "a/her" not in page.words


def test_the_same_report_is_the_same_to_the_byte(dataset: Dataset, tmp_path: Path) -> None:
    first = write_report(tmp_path / "report", dataset, None, LOSS, None)[0].read_bytes()
    assert write_report(tmp_path / "report", dataset, None, LOSS, None)[0].read_bytes() == first


def test_an_interrupt_leaves_the_earlier_report_as_it_was(dataset: Dataset, tmp_path: Path) -> None:
    index, _ = write_report(tmp_path / "report", dataset, None, LOSS, None)
    before = index.read_bytes()

    class Interrupting:
        def update(self, done: int, total: int, text: str = "", preview_HWC: np.ndarray | None = None) -> None:
            if done == 1:
                raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_report(tmp_path / "report", dataset, None, None, None, progress=Interrupting())
    assert index.read_bytes() == before
    for picture in read_page(index).pictures:
        load_image(index.parent / picture)


def test_a_page_of_somebody_elses_is_never_overwritten(dataset: Dataset, tmp_path: Path) -> None:
    index = tmp_path / "site/index.html"
    index.parent.mkdir()
    index.write_text("<h1>My own page</h1>")
    with pytest.raises(PathError, match=r"index\.html was not written by this report .* choose another"):
        write_report(index.parent, dataset, None, None, None)
    assert index.read_text() == "<h1>My own page</h1>"
    assert not (index.parent / "images").exists()


def test_nothing_to_report(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="There is nothing to report: connect a dataset"):
        write_report(tmp_path / "report", None, None, None, None)
