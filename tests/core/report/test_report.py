from __future__ import annotations

import html
import re
from collections.abc import Sequence
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
import torch
from maskloss.core.cache.latents import cache_latents
from maskloss.core.cache.store import LatentCache
from maskloss.core.dataset.items import Dataset, DatasetItem, LeftOut, LoadSettings
from maskloss.core.demo.encoders import DemoLatentEncoder
from maskloss.core.draw.overlay import CHOSEN, weight_colours
from maskloss.core.errors import PathError, SettingError
from maskloss.core.images import load_image, save_image
from maskloss.core.mask_weights import MaskLossSettings, Normalization
from maskloss.core.masks.build_masks import build_masks
from maskloss.core.parts.part_map import SCHEMES, PartMap
from maskloss.core.parts.tiers import TierWeights
from maskloss.core.people.identity import FaceScore, Outcome, PersonDecision
from maskloss.core.report.report import write_report
from maskloss.core.train.lora_file import save_lora
from safetensors.torch import save_file

SETTINGS = LoadSettings(resolution=(128, 128), bucket_step=16)
LOSS = {
    "loss": [1.0, 0.5],
    "inside": [1.0, 0.5],
    "outside": [1.0, 0.9],
    "coverage": [0.2, 0.2],
    "learning_rate": [1e-4, 1e-4],
    "grad_norm": [1.0, 1.0],
}


class HalvesSegmenter:
    """The left half is face, the right half body."""

    name = "halves"
    identity = "halves/1"
    approximate = True

    def segment(self, rgb_HWC: np.ndarray) -> PartMap:
        label_HW = np.full(rgb_HWC.shape[:2], 3, np.uint8)
        label_HW[:, : rgb_HWC.shape[1] // 2] = 1
        return PartMap(label_HW, SCHEMES["maskloss_4"], self.approximate)


def _photo(path: Path, seed: int) -> Path:
    rng = np.random.default_rng(seed)
    small_HWC = rng.integers(60, 200, (8, 12, 1), dtype=np.uint8).repeat(3, axis=2)
    save_image(path, small_HWC.repeat(16, axis=0).repeat(16, axis=1))
    return path


def _decision(outcome: Outcome, chosen: int | None, *similarities: float) -> PersonDecision:
    faces = tuple(
        FaceScore(i, (20.0 + 60 * i, 40.0, 60.0 + 60 * i, 90.0), similarity, i == chosen)
        for i, similarity in enumerate(similarities)
    )
    return PersonDecision(faces, outcome, chosen, "face 0 matches with 0.71 (0.50 needed)", 0.25)


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    """One photograph kept for one person, one with a mask and nobody looked for, one left out."""
    kept = DatasetItem("a/her", _photo(tmp_path / "photos/a/her.png", 1), SETTINGS, caption="<her> & a dog")
    plain = DatasetItem("plain", _photo(tmp_path / "photos/plain.png", 2), SETTINGS, repeats=3)
    gone = DatasetItem("gone", _photo(tmp_path / "photos/gone.png", 3), SETTINGS)
    built, _ = build_masks(Dataset((kept, plain, gone)), HalvesSegmenter(), TierWeights(), tmp_path / "tiers")
    kept, plain, gone = built.items
    person_HW = np.zeros((128, 192), np.uint8)
    person_HW[32:96, 32:96] = 255
    save_image(tmp_path / "person/a/her.png", person_HW)
    kept = DatasetItem(
        kept.name, kept.media_path, SETTINGS, tmp_path / "person/a/her.png", kept.caption, tiers_path=kept.mask_path,
        person=_decision(Outcome.MATCH, 0, 0.71, 0.12),
    )  # fmt: skip
    gone = DatasetItem(
        gone.name, gone.media_path, SETTINGS, tiers_path=gone.tiers_path,
        person=_decision(Outcome.SKIPPED, None, 0.31, 0.22),
    )  # fmt: skip
    return Dataset((kept, plain), (LeftOut(gone, "the most alike is face 0 with 0.31; the picture was left out"),))


@pytest.fixture
def cache(dataset: Dataset, tmp_path: Path) -> LatentCache:
    return cache_latents(dataset, DemoLatentEncoder(), tmp_path / "cache")[0]


def _lora(path: Path, metadata: dict[str, str]) -> Path:
    tensors = {
        "diffusion_model.a.lora_up.weight": torch.zeros(4, 2),
        "diffusion_model.a.lora_down.weight": torch.zeros(2, 4),
        "diffusion_model.a.alpha": torch.tensor(2.0),
    }
    save_lora(path, tensors, metadata)
    return path


class _Reader(HTMLParser):
    """The pictures and the words of a page."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.pictures: list[str] = []
        self.tags: list[str] = []
        self.words = ""
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: Sequence[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag == "img":
            self.pictures.append(dict(attrs)["src"] or "")

    def handle_data(self, data: str) -> None:
        self.words += data


def _read(index: Path) -> _Reader:
    return _Reader(index.read_text(encoding="utf-8"))


def _figure(index: Path, title: str, name: str) -> np.ndarray:
    """The picture with this title of this photograph."""
    page = index.read_text(encoding="utf-8")
    alt = re.escape(html.escape(f"{title} of {name}"))
    found = re.search(rf'<img [^>]*src="([^"]+)"[^>]*alt="{alt}"', page)
    assert found, f"no {title} of {name}"
    return load_image(index.parent / found[1])[0]


def test_the_page_tells_everything(dataset: Dataset, cache: LatentCache, tmp_path: Path) -> None:
    lora = _lora(tmp_path / "her.safetensors", {"ss_network_dim": "16"})
    index, lines = write_report(tmp_path / "report", dataset, cache, LOSS, lora, MaskLossSettings(gamma=0.7))
    page = _read(index)
    for words in (
        "a/her", "recognised", "Face 0 matches with 0.71 (0.50 needed).", "face 1 0.12", "area of the person 25.0%",
        "gone", "left out", "The most alike is face 0 with 0.31; the picture was left out.", "face 0 0.31",
        "plain", "Its mask is used as it is; no single person was looked for.", "repeats 3",
        "<her> & a dog", "mask from file", "bucket", "latent grid", "gamma", "0.7", "rank", "16", str(lora),
        "The part segmenter is approximate: it guessed face, hair and body in 3 photographs.",
        "photographs found", "filled with full weight", "Loss inside the mask: 1.0000 at first, 0.5000 at last",
    ):  # fmt: skip
        assert words in page.words, words
    assert page.tags.count("svg") == 2
    assert "script" not in page.tags
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


def _near(picture_HWC: np.ndarray, colour: Sequence[float]) -> np.ndarray:
    return np.abs(picture_HWC.astype(float) - np.array(colour)).max(axis=-1) < 40


def test_the_pictures_show_what_they_say(dataset: Dataset, cache: LatentCache, tmp_path: Path) -> None:
    index, _ = write_report(tmp_path / "report", dataset, cache, None, None, MaskLossSettings())
    faces_HWC = _figure(index, "Faces", "a/her")
    assert _near(faces_HWC, CHOSEN).sum() > 100
    assert _near(_figure(index, "Faces", "gone"), CHOSEN).sum() == 0
    photo_HWC = _figure(index, "Photograph", "a/her").astype(float)
    one, zero = (weight_colours(np.full((1, 1), value, np.float32))[0, 0] for value in (1.0, 0.0))
    person_HWC = _figure(index, "Only this person", "a/her")
    assert _near(person_HWC[40:80, 40:90], (photo_HWC[40:80, 40:90] + one) / 2).mean() > 0.95
    assert _near(person_HWC[10:80, 110:], (photo_HWC[10:80, 110:] + zero) / 2).mean() > 0.95
    everyone_HWC = _figure(index, "Tiers of everyone", "a/her")
    assert _near(everyone_HWC[:80, :80], (photo_HWC[:80, :80] + one) / 2).mean() > 0.95
    # On the latent grid of 8 px cells, drawn over the bucket's picture.
    trained_HWC = _figure(index, "Weights in training", "a/her")
    height, width = trained_HWC.shape[:2]
    inside = trained_HWC[int(height * 0.35) : int(height * 0.65), int(width * 0.25) : int(width * 0.4)]
    outside = trained_HWC[:, int(width * 0.7) :]
    assert inside.mean() > 2.5 * outside.mean()


def test_settings_change_the_weights_that_are_shown(dataset: Dataset, cache: LatentCache, tmp_path: Path) -> None:
    write = lambda name, settings: write_report(tmp_path / name, dataset, cache, None, None, settings)[0]  # noqa: E731
    assert "0.00 to 1.00" in _read(write("plain", None)).words
    assert "Weights on the latent grid" in _read(write("plain", None)).words
    floored = _read(write("floored", MaskLossSettings(min_weight=0.25))).words
    assert "0.25 to 1.00" in floored
    assert "Weights in training" in floored


def test_settings_come_from_the_lora_when_none_are_given(dataset: Dataset, cache: LatentCache, tmp_path: Path) -> None:
    named = '{"gamma": 2.0, "min_weight": 0.25, "normalization": "batch", "loss": "huber"}'
    lora = _lora(tmp_path / "a.safetensors", {"maskloss.mask_loss": named})
    page = _read(write_report(tmp_path / "report", dataset, cache, None, lora)[0]).words
    assert "0.25 to 1.00" in page
    assert Normalization.BATCH.value in page
    assert "huber" in page


@pytest.mark.parametrize("stored", ["off", "{", '{"gamma": -1, "normalization": "batch", "loss": "mse"}'])
def test_a_lora_without_usable_settings_is_reported_without(stored: str, tmp_path: Path) -> None:
    lora = _lora(tmp_path / "a.safetensors", {"maskloss.mask_loss": stored})
    index, lines = write_report(tmp_path / "report", None, None, None, lora)
    page = _read(index).words
    assert "Settings" not in page
    assert ("This LoRA was trained without mask loss" in page) == (stored == "off")
    assert lines[-2] == f"LoRA: {lora} ({lora.stat().st_size} B)"


def test_a_photograph_that_was_left_out_shows_its_tiers(dataset: Dataset, tmp_path: Path) -> None:
    index, _ = write_report(tmp_path / "report", dataset, None, None, None)
    photo_HWC, tiers_HWC = _figure(index, "Photograph", "gone"), _figure(index, "Tiers of everyone", "gone")
    assert photo_HWC.shape == tiers_HWC.shape
    assert np.abs(photo_HWC.astype(int) - tiers_HWC).mean() > 20


def test_sections_without_their_input_are_left_away(tmp_path: Path) -> None:
    index, lines = write_report(tmp_path / "report", None, None, {"loss": [2.0, 1.0]}, None)
    page = _read(index)
    assert page.pictures == []
    assert "Coverage" not in page.words
    assert "The LoRA" not in page.words
    assert "Photographs" not in page.words
    assert lines == ["Loss in all: 2.0000 at first, 1.0000 at last (2 steps).", f"Report: {index}"]


def test_drift_is_drawn_where_prior_preservation_acted(tmp_path: Path) -> None:
    drifts = [0.01, 0.02]
    index, _ = write_report(tmp_path / "with", None, None, {"loss": [2.0, 1.0], "prior": drifts}, None)
    page = index.read_text(encoding="utf-8")
    assert page.count('class="smooth prior"') == 1
    assert '<i style="background:var(--prior)"></i>drift held back (prior)' in page
    index, _ = write_report(tmp_path / "without", None, None, {"loss": [2.0, 1.0], "prior": []}, None)
    assert 'class="smooth prior"' not in index.read_text(encoding="utf-8")


def test_validation_is_drawn_and_named(tmp_path: Path) -> None:
    index, _ = write_report(tmp_path / "report", None, None, {**LOSS, "validation": [[1, 0.9], [2, 0.8]]}, None)
    page = index.read_text(encoding="utf-8")
    assert page.count('class="dot validation"') == 2
    assert '<i style="background:var(--validation)"></i>validation' in page


def test_a_picture_that_was_left_empty_is_not_called_kept(dataset: Dataset, tmp_path: Path) -> None:
    empty = replace(dataset.items[1], person=_decision(Outcome.EMPTY, None))
    page = _read(write_report(tmp_path / "report", Dataset((empty,)), None, None, None)[0]).words
    assert "nobody kept" in page
    assert "nobody was chosen" in page
    assert "faces none found" in page


def test_sizes_are_in_the_unit_that_reads_best(tmp_path: Path) -> None:
    large = tmp_path / "large.safetensors"
    save_file({"a": torch.zeros(1_000_000)}, large)
    _, lines = write_report(tmp_path / "report", None, None, None, large)
    assert lines[0] == f"LoRA: {large} (4.0 MB)"


def test_a_cache_alone_shows_its_pictures(cache: LatentCache, tmp_path: Path) -> None:
    page = _read(write_report(tmp_path / "report", None, cache, None, None)[0])
    assert len(page.pictures) == 2
    assert "cached" in page.words
    assert "mask from file" in page.words


def test_everything_is_escaped(tmp_path: Path) -> None:
    nasty = '<script>alert("1")</script>&'
    item = DatasetItem("a", _photo(tmp_path / "photos/a.png", 1), SETTINGS, caption=nasty)
    other = DatasetItem("b", _photo(tmp_path / "photos/b.png", 1), SETTINGS)
    index, _ = write_report(tmp_path / "report", Dataset((item,), (LeftOut(other, nasty),)), None, None, None)
    page = _read(index)
    assert "script" not in page.tags
    assert page.words.count('alert("1")') == 2


def test_items_without_a_mask_are_said_to_count_fully(tmp_path: Path) -> None:
    item = DatasetItem("a", _photo(tmp_path / "photos/a.png", 1), SETTINGS)
    cached, _ = cache_latents(Dataset((item,)), DemoLatentEncoder(), tmp_path / "cache")
    index, lines = write_report(tmp_path / "report", Dataset((item,)), cached, None, None)
    page = _read(index).words
    assert "It has no mask, so every part of the picture counts fully." in page
    assert "1 items had no mask (no alpha + no file). Filled with full-weight (255)." in page
    assert "mask from none" in page
    assert "Mask sources: alpha=0, file=0, none=1" in lines


def test_pictures_that_cannot_be_read_are_said_in_their_row(
    dataset: Dataset, cache: LatentCache, tmp_path: Path
) -> None:
    dataset.items[0].media_path.write_bytes(b"no picture")
    dataset.left_out[0].item.media_path.unlink()
    Path(cache.directory / cache.entries[1].file).write_bytes(b"no latent")
    page = _read(write_report(tmp_path / "report", dataset, cache, None, None)[0])
    assert "cannot read" in page.words
    assert "there is no image file" in page.words
    assert cache.entries[1].file in page.words
    # The weights of the first are still shown, without the photograph under them.
    assert len(page.pictures) == 1 + 2


def test_a_second_report_replaces_the_first_and_its_pictures(dataset: Dataset, tmp_path: Path) -> None:
    directory = tmp_path / "report"
    write_report(directory, dataset, None, LOSS, None)
    mine = directory / "images/mine.jpg"
    mine.write_bytes(b"kept")
    again, _ = write_report(directory, Dataset(dataset.items[1:]), None, LOSS, None)
    page = _read(again)
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
    for picture in _read(index).pictures:
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
    lora = _lora(tmp_path / "a.safetensors", {"maskloss.mask_loss": "off"})
    _, lines = write_report(tmp_path / "report", Dataset(many, dataset.left_out), cache, LOSS, lora)
    assert len(lines) <= 10
    assert lines[1] == "  kept: p0, p1, p2, p3, p4, p5 and 3 more"
