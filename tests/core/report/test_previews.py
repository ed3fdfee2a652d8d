from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from maskloss.core.cache.latents import cache_latents
from maskloss.core.cache.pictures import select_frames, source_pictures
from maskloss.core.dataset.items import Dataset, DatasetItem, LeftOut, LoadSettings
from maskloss.core.demo.encoders import DemoLatentEncoder
from maskloss.core.draw.overlay import CHOSEN
from maskloss.core.draw.sheet import contact_sheet
from maskloss.core.errors import CacheError, DatasetError, ImageError
from maskloss.core.images import save_image
from maskloss.core.mask_weights import MaskLossSettings
from maskloss.core.people.decision import FaceScore, Outcome, PersonDecision
from maskloss.core.report import previews
from maskloss.core.report.previews import cache_sheet, dataset_sheet, masks_sheet, preview_weights
from maskloss.core.video.clips import VideoSettings
from maskloss.core.video.masks import MaskVideoWriter


@pytest.fixture
def dataset(tmp_path: Path) -> Dataset:
    """One photograph whose left half counts, one without a mask."""
    rgba = np.full((32, 64, 4), 200, np.uint8)
    rgba[:, :32, 3], rgba[:, 32:, 3] = 255, 0
    save_image(tmp_path / "half.png", rgba)
    save_image(tmp_path / "bare.png", rgba[..., :3])
    settings = LoadSettings(resolution=(32, 32), alpha_mask=True)
    return Dataset(tuple(DatasetItem(name, tmp_path / f"{name}.png", settings) for name in ("half", "bare")))


def test_weights_are_seen_as_the_model_sees_them() -> None:
    weights_HW = np.zeros((17, 33), np.float32)
    weights_HW[:, :16] = 1
    preview = preview_weights(weights_HW, MaskLossSettings(invert=True), 16)
    assert preview.picture_HWC.shape == (17, 33, 3)
    assert preview.statistics["grid"] == [2, 1]
    assert preview.statistics["coverage"] == pytest.approx(16 / 33, abs=1e-4)
    assert preview.statistics["mean"] == pytest.approx(17 / 33, abs=1e-4)
    assert "messages" not in preview_weights(weights_HW, None, 64).statistics
    with pytest.raises(ImageError, match="picture's size"):
        preview_weights(weights_HW, None, 8, np.zeros((5, 5, 3), np.uint8))


def test_a_heat_map_has_a_legend_of_the_weights_that_training_uses() -> None:
    weights_HW = np.zeros((64, 128), np.float32)
    plain = preview_weights(weights_HW, None, 8).picture_HWC
    raised = preview_weights(weights_HW, MaskLossSettings(min_weight=0.5), 8).picture_HWC
    assert len(np.unique(plain[:32].reshape(-1, 3), axis=0)) == len(np.unique(raised[:32].reshape(-1, 3), axis=0)) == 1
    # The swatch has the colour of the cells, which the darkened ground below them has not.
    for picture_HWC in (raised, preview_weights(weights_HW + 1, None, 8).picture_HWC):
        assert (picture_HWC[40:] == picture_HWC[0, 0]).all(axis=-1).any()
    assert not (plain[40:] == raised[0, 0]).all(axis=-1).any()


def test_a_sheet_shows_items_from_offset_on(dataset: Dataset) -> None:
    both, one = dataset_sheet(dataset, 2), dataset_sheet(dataset, 2, offset=1)
    assert both.dtype == np.uint8
    assert both.shape[1] > one.shape[1]
    with pytest.raises(DatasetError, match="offset is 2 and the dataset holds 2 items"):
        dataset_sheet(dataset, 2, offset=2)


def test_the_doubtful_ones_come_first_with_their_scores(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    captions: list[str] = []

    def listen(cells: list[tuple[np.ndarray, str]], columns: int, cell_px: int) -> np.ndarray:
        captions.extend(caption for _, caption in cells)
        return contact_sheet(cells, columns, cell_px)

    monkeypatch.setattr(previews, "contact_sheet", listen)

    def decided(outcome: Outcome, *similarities: float) -> PersonDecision:
        chosen = None if outcome is Outcome.SKIPPED else int(np.argmax(similarities))
        faces = tuple(
            FaceScore(index, (1.0, 1.0, 9.0, 9.0), similarity, index == chosen)
            for index, similarity in enumerate(similarities)
        )
        return PersonDecision(faces, outcome, chosen, "why", needed=0.5)

    half = dataset.items[0]
    people = {
        "clear": decided(Outcome.MATCH, 0.2, 0.9),
        "hardly": decided(Outcome.MATCH, 0.52),
        "rival": decided(Outcome.MATCH, 0.8, 0.75),
        "largest": decided(Outcome.LARGEST, 0.3),
    }
    items = tuple(replace(half, name=name, person=person) for name, person in people.items())
    gone = replace(half, name="gone", person=decided(Outcome.SKIPPED, 0.4, 0.1))
    sheet = dataset_sheet(Dataset(items, (LeftOut(gone, "nobody is alike"),)), 4)
    assert [caption.splitlines()[0] for caption in captions] == ["gone", "largest", "hardly", "rival", "clear"]
    assert captions[0].splitlines()[1:] == ["skipped: 0.40 0.10", "nobody is alike"]
    assert captions[4].splitlines()[1:] == ["alpha, coverage 50%", "match: 0.20 0.90*"]
    assert (sheet == CHOSEN).all(axis=-1).any(), "the chosen face has its box"


def test_the_sheet_says_how_a_mask_was_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    captions: list[str] = []

    def listen(cells: list[tuple[np.ndarray, str]], columns: int, cell_px: int) -> np.ndarray:
        captions.extend(caption for _, caption in cells)
        return contact_sheet(cells, columns, cell_px)

    monkeypatch.setattr(previews, "contact_sheet", listen)
    rgb_HWC = np.full((32, 64, 3), 90, np.uint8)
    half_HW = np.zeros((32, 64), np.uint8)
    half_HW[:, :32] = 255
    pictures = {
        "plain": half_HW,
        "coloured": np.dstack([half_HW, half_HW * 0, half_HW * 0]),
        "labels": half_HW // 255,
        "in_alpha": np.dstack([rgb_HWC, half_HW]),
    }
    items: list[DatasetItem] = []
    settings = LoadSettings((32, 32))
    for name, mask in pictures.items():
        save_image(tmp_path / f"{name}.png", rgb_HWC)
        save_image(tmp_path / f"masks/{name}.png", mask)
        items.append(DatasetItem(name, tmp_path / f"{name}.png", settings, tmp_path / f"masks/{name}.png"))
    save_image(tmp_path / "hidden.png", np.dstack([rgb_HWC, half_HW]))
    items.append(DatasetItem("hidden", tmp_path / "hidden.png", settings))
    items.append(replace(items[-1], name="both", mask_path=tmp_path / "masks/plain.png"))
    dataset_sheet(Dataset(tuple(items)), 4)
    assert captions == [
        "plain\nfile, coverage 50%",
        "coloured\nfile, coverage 50%\nread by colour: RGB, 8 bits, 0 to 255",
        "labels\nfile, coverage 50%\nread by nonzero: grey, 8 bits, 0 to 1",
        "in_alpha\nfile, coverage 50%",
        "hidden\nhas alpha, not used",
        "both\nfile, coverage 50%\nhas alpha, not used",
    ]


def test_masks_without_a_face_are_shown_first(dataset: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    names: list[str] = []

    def listen(cells: list[tuple[np.ndarray, str]], columns: int, cell_px: int) -> np.ndarray:
        names.extend(caption.splitlines()[0] for _, caption in cells)
        return contact_sheet(cells, columns, cell_px)

    monkeypatch.setattr(previews, "contact_sheet", listen)
    rows = [{"name": "half", "tiers": {"face": 0.1}}, {"name": "bare", "tiers": {"face": 0.0}}]
    masks_sheet(dataset, {"items": rows}, 4, 12)
    masks_sheet(dataset, {"items": [{"name": "half", "state": "kept"}, rows[1]]}, 4, 1)
    assert names == ["bare", "half", "bare"]
    with pytest.raises(DatasetError, match="the dataset holds no items"):
        masks_sheet(Dataset(()), {"items": []}, 4, 12)


def test_a_cache_is_shown_also_without_its_photographs(dataset: Dataset, tmp_path: Path) -> None:
    cache, _ = cache_latents(dataset, DemoLatentEncoder(), tmp_path / "cache")
    sheet, report = cache_sheet(cache, MaskLossSettings(min_weight=0.25))
    assert report["counts"] == {"entries": 2, "alpha": 1, "none": 1}
    rows = {row["name"]: row for row in report["items"]}  # type: ignore[attr-defined]
    assert (rows["half"]["least"], rows["half"]["most"]) == (0.25, 1.0)
    assert rows["bare"]["least"] == rows["bare"]["coverage"] == 1.0
    assert report["buckets"] == {"32x32": 2}
    turned = {row["name"]: row for row in cache_sheet(cache, MaskLossSettings(invert=True))[1]["items"]}
    assert turned["half"]["mean"] == 0.5
    assert turned["bare"]["least"] == turned["bare"]["most"] == 1.0, "without a mask all counts fully, whatever is set"
    (tmp_path / "half.png").unlink()
    without, _ = cache_sheet(cache, None, limit=1)
    assert without.shape[1] < sheet.shape[1]
    with pytest.raises(CacheError, match="offset is 5 and the cache holds 2"):
        cache_sheet(cache, None, offset=5)


@pytest.fixture
def video(tmp_path: Path, make_video: Callable[..., Path]) -> Dataset:
    """A video that turns from black to white; its left half counts in the first half, its right half in the second."""
    frames = [np.full((32, 64, 3), number * 27, np.uint8) for number in range(9)]
    path = make_video(tmp_path / "a.mp4", frames)
    with MaskVideoWriter(tmp_path / "mask.mkv", (64, 32), [number / 16 for number in range(9)]) as masks:
        for number in range(9):
            mask_HW = np.zeros((32, 64), np.uint8)
            mask_HW[:, slice(0, 32) if number < 4 else slice(32, 64)] = 255
            masks.add(mask_HW)
    settings = LoadSettings((64, 32), video=VideoSettings((1, 9)))
    return Dataset((DatasetItem("a", path, settings, tmp_path / "mask.mkv"),))


def test_a_video_is_shown_by_the_first_and_the_middle_frame_of_its_longest_clip(video: Dataset) -> None:
    sheet_HWC = dataset_sheet(video, 1)
    photograph_HWC = sheet_HWC[6 : 6 + 80, 6:326].astype(int)
    # Two frames side by side, each twice as wide as high; the weighted half of each is the one that is not darkened.
    left_HWC, right_HWC = photograph_HWC[:, :155], photograph_HWC[:, 165:]
    assert abs(int(right_HWC[40, 120].sum()) - int(left_HWC[40, 30].sum())) > 100
    assert not np.array_equal(left_HWC[:, :60].mean(axis=(0, 1)), left_HWC[:, 90:150].mean(axis=(0, 1)))
    assert not np.array_equal(right_HWC[:, :60].mean(axis=(0, 1)), right_HWC[:, 90:150].mean(axis=(0, 1)))


def test_a_cached_clip_is_shown_by_frames_of_its_latent_grid(video: Dataset, tmp_path: Path) -> None:
    cache, _ = cache_latents(video, DemoLatentEncoder(), tmp_path / "cache")
    sheet_HWC, report = cache_sheet(cache, None)
    (one, nine) = report["items"]
    assert (one["name"], nine["name"]) == ("a_00000-001", "a_00000-009")
    assert nine["grid"] == [8, 4]
    assert nine["coverage"] == nine["mean"] == 0.5
    (clip,) = [entry for entry in cache.entries if entry.latent_shape[1] == 9]
    assert select_frames(clip, 4) == (0, 3, 5, 8)
    pictures = source_pictures(cache, clip, (0, 8))
    assert pictures[0].mean() < 8
    assert pictures[1].mean() > 200
    # The same without the video, on a plain ground.
    video.items[0].media_path.unlink()
    assert cache_sheet(cache, None)[0].shape == sheet_HWC.shape
