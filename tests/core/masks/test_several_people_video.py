"""Several people through one film: each has mask videos of their own that share nothing; nobody else has any."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from maskloss.core.dataset.items import DatasetItem, LoadSettings
from maskloss.core.masks.part_values import usual_tiers
from maskloss.core.people.people import OwnWeights
from maskloss.core.video.masks import MaskVideoWriter, read_mask_frames
from maskloss.core.video.reader import probe

from .colour_people import BLUE, GREEN, RED, BlobSegmenter, draw_people
from .several_people import BLUMA, GRETA, People, person

FRAMES = [draw_people((20 + 2 * t, GREEN, True), (140, BLUE, t < 5)) for t in range(9)]


@pytest.fixture
def people(tmp_path: Path) -> People:
    made = People(tmp_path)
    made.segmenter = BlobSegmenter()
    return made


@pytest.fixture
def film(video: Callable[..., Path]) -> DatasetItem:
    return DatasetItem("film", video("set/film.mkv", FRAMES), LoadSettings())


def masks(path: Path, item: DatasetItem) -> Sequence[np.ndarray]:
    info = probe(item.media_path)
    return [mask_HW for _, mask_HW in read_mask_frames(path, info, range(info.frames))]


def test_each_person_of_a_film_is_followed(people: People, film: DatasetItem) -> None:
    rosa = person("rosa", RED)
    dataset, report = people(film, people=(GRETA, BLUMA, rosa), together=0.5, video_every=1)
    assert [item.name for item in dataset.items] == ["film@greta", "film@bluma", "film@together"]
    greta, bluma, both = (masks(people.out / f"{item.name}.mkv", film) for item in dataset.items)
    for t in range(9):
        assert np.array_equal(greta[t] > 0, draw_people((20 + 2 * t, GREEN, True)).any(axis=2)), t
        assert np.array_equal(bluma[t] > 0, draw_people((140, BLUE, True)).any(axis=2)), t
        assert np.array_equal(both[t], np.maximum(greta[t], bluma[t]))
    rows = {row["name"]: row for row in report["items"]}
    assert rows["film@greta"]["video"] == {"frames": 9, "segmented": 9, "matched": 9, "carried": 0, "without": 0}
    assert rows["film@bluma"]["video"]["carried"] == 4, "with the face turned away by overlap"
    assert report["people"][2]["absent"] == 1
    again = people(film, people=(GRETA, BLUMA, rosa), together=0.5, video_every=1)
    assert again[0] == dataset
    assert {row["state"] for row in again[1]["items"]} == {"unchanged"}


def test_a_film_with_nobody_of_the_list_is_left_out(people: People, film: DatasetItem) -> None:
    dataset, _ = people(film, people=(person("rosa", RED), person("ruby", (250, 250, 10))))
    assert not dataset.items
    assert "Nobody of the list" in dataset.left_out[0].reason


def test_own_weights_and_a_given_mask_act_in_a_film_too(people: People, film: DatasetItem, tmp_path: Path) -> None:
    everyone = tmp_path / "everyone.mkv"
    info = probe(film.media_path)
    with MaskVideoWriter(everyone, info.size, info.times) as writer:
        for rgb_HWC in FRAMES:
            mask_HW = np.where(rgb_HWC.any(axis=2), 128, 0).astype(np.uint8)
            mask_HW[20:50][mask_HW[20:50] > 0] = 255
            assert usual_tiers(mask_HW) is not None
            writer.add(mask_HW)
    item = DatasetItem("film", film.media_path, LoadSettings(), everyone)
    instances = tmp_path / "instances"
    instances.mkdir()
    with MaskVideoWriter(instances / "film@bluma.mkv", info.size, info.times) as writer:
        for _ in FRAMES:
            given_HW = np.zeros(info.size[::-1], np.uint8)
            given_HW[:, 140:150] = 255
            writer.add(given_HW)
    quiet = person("greta", GREEN, weights=OwnWeights(body=7))
    _, report = people(item, people=(quiet, BLUMA), video_every=1, instance_directory=instances)
    greta, bluma = (masks(people.out / f"film@{name}.mkv", film)[0] for name in ("greta", "bluma"))
    assert (greta[30, 40], greta[80, 40]) == (255, 7)
    assert (bluma[80, 145], bluma[80, 160]) == (128, 0)
    assert {row["name"]: row["decision"] for row in report["items"]} == {"film@greta": "match", "film@bluma": "given"}
