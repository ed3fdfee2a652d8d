"""The rows of a report show of each photograph what they say."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from maskloss.core.cache.store import LatentCache
from maskloss.core.dataset.items import Dataset
from maskloss.core.draw.overlay import CHOSEN, weight_colours
from maskloss.core.images import save_image
from maskloss.core.mask_weights import MaskLossSettings
from maskloss.core.people.decision import Outcome
from maskloss.core.report.report import write_report

from .run_pages import decision_of, figure_of, read_page


def _near(picture_HWC: np.ndarray, colour: Sequence[float]) -> np.ndarray:
    return np.abs(picture_HWC.astype(float) - np.array(colour)).max(axis=-1) < 40


def test_the_pictures_show_what_they_say(dataset: Dataset, cache: LatentCache, tmp_path: Path) -> None:
    index, _ = write_report(tmp_path / "report", dataset, cache, None, None, MaskLossSettings())
    faces_HWC = figure_of(index, "Faces", "a/her")
    assert _near(faces_HWC, CHOSEN).sum() > 100
    assert _near(figure_of(index, "Faces", "gone"), CHOSEN).sum() == 0
    photo_HWC = figure_of(index, "Photograph", "a/her").astype(float)
    one, zero = (weight_colours(np.full((1, 1), value, np.float32))[0, 0] for value in (1.0, 0.0))
    person_HWC = figure_of(index, "Only this person", "a/her")
    assert _near(person_HWC[40:80, 40:90], (photo_HWC[40:80, 40:90] + one) / 2).mean() > 0.95
    assert _near(person_HWC[10:80, 110:], (photo_HWC[10:80, 110:] + zero) / 2).mean() > 0.95
    everyone_HWC = figure_of(index, "Tiers of everyone", "a/her")
    assert _near(everyone_HWC[:80, :80], (photo_HWC[:80, :80] + one) / 2).mean() > 0.95
    # On the latent grid of 8 px cells, drawn over the bucket's picture.
    trained_HWC = figure_of(index, "Weights in training", "a/her")
    height, width = trained_HWC.shape[:2]
    inside = trained_HWC[int(height * 0.35) : int(height * 0.65), int(width * 0.25) : int(width * 0.4)]
    outside = trained_HWC[:, int(width * 0.7) :]
    assert inside.mean() > 2.5 * outside.mean()


def test_settings_change_the_weights_that_are_shown(dataset: Dataset, cache: LatentCache, tmp_path: Path) -> None:
    write = lambda name, settings: write_report(tmp_path / name, dataset, cache, None, None, settings)[0]  # noqa: E731
    assert "0.00 to 1.00" in read_page(write("plain", None)).words
    assert "Weights on the latent grid" in read_page(write("plain", None)).words
    floored = read_page(write("floored", MaskLossSettings(min_weight=0.25))).words
    assert "0.25 to 1.00" in floored
    assert "Weights in training" in floored


def test_a_photograph_that_was_left_out_shows_its_tiers(dataset: Dataset, tmp_path: Path) -> None:
    index, _ = write_report(tmp_path / "report", dataset, None, None, None)
    photo_HWC, tiers_HWC = figure_of(index, "Photograph", "gone"), figure_of(index, "Tiers of everyone", "gone")
    assert photo_HWC.shape == tiers_HWC.shape
    assert np.abs(photo_HWC.astype(int) - tiers_HWC).mean() > 20


def test_a_picture_that_was_left_empty_is_not_called_kept(dataset: Dataset, tmp_path: Path) -> None:
    empty = replace(dataset.items[1], person=decision_of(Outcome.EMPTY, None))
    page = read_page(write_report(tmp_path / "report", Dataset((empty,)), None, None, None)[0]).words
    assert "nobody kept" in page
    assert "nobody was chosen" in page
    assert "faces none found" in page


def test_pictures_that_cannot_be_read_are_said_in_their_row(
    dataset: Dataset, cache: LatentCache, tmp_path: Path
) -> None:
    dataset.items[0].media_path.write_bytes(b"no picture")
    dataset.left_out[0].item.media_path.unlink()
    Path(cache.directory / cache.entries[1].file).write_bytes(b"no latent")
    page = read_page(write_report(tmp_path / "report", dataset, cache, None, None)[0])
    assert "cannot read" in page.words
    assert "there is no image file" in page.words
    assert cache.entries[1].file in page.words
    # The weights of the first are still shown, without the photograph under them.
    assert len(page.pictures) == 1 + 2


def test_control_images_stand_beside_their_photograph(dataset: Dataset, tmp_path: Path) -> None:
    paths = [tmp_path / f"control_{number}.png" for number in range(2)]
    for number, path in enumerate(paths):
        save_image(path, np.full((40, 60, 3), 60 + 90 * number, np.uint8))
    first, *others = dataset.items
    shown = replace(first, control_path=paths[0], more_controls=(paths[1],))
    index, _ = write_report(tmp_path / "report", replace(dataset, items=(shown, *others)), None, None, None)
    for number in range(2):
        picture_HWC = figure_of(index, f"Control image {number + 1}", first.name)
        assert picture_HWC.shape == (40, 60, 3)
        assert np.abs(picture_HWC.astype(int) - (60 + 90 * number)).max() < 6
    assert read_page(index).words.count("60 × 40") == 2
