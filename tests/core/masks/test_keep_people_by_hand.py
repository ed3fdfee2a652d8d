"""What somebody decided about one person's item of a photograph acts on that item, and on what all are in together."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from maskloss.core.corrections.marks import ChosenFace
from maskloss.core.corrections.override import NO_REVISION
from maskloss.core.corrections.store import CorrectionStore, Patch
from maskloss.core.dataset.corrected import LEFT_OUT_BY_HAND, painted_over, with_corrections
from maskloss.core.dataset.files import hash_of
from maskloss.core.dataset.frame_weights import read_frame_weights
from maskloss.core.dataset.items import Dataset, DatasetItem, LoadSettings
from maskloss.core.dataset.load import load_item
from maskloss.core.images import load_mask
from maskloss.core.video.reader import probe

from .colour_people import BLUE, GREEN, BlobSegmenter, draw_people
from .several_people import People

SIZE = (200, 120)
# Over greta's half, a piece that nobody has, and a piece of bluma.
LEFT, RIGHT = 30, 150


@pytest.fixture
def people(tmp_path: Path) -> People:
    return People(tmp_path)


@pytest.fixture
def store(tmp_path: Path) -> CorrectionStore:
    return CorrectionStore(tmp_path / "corrections")


def paint(store: CorrectionStore, item: DatasetItem, person: str, columns: slice, value: int) -> None:
    """The rows 60 to 80 of some columns."""
    width = columns.stop - columns.start
    patch = Patch(columns.start, 60, np.full((20, width), value, np.uint8), np.ones((20, width), bool))
    own = replace(item, subject=person)
    store.of(person).paint(item.media_path, SIZE, patch, painted_over(own), NO_REVISION)


def found(store: CorrectionStore, *items: DatasetItem) -> tuple[DatasetItem, ...]:
    return with_corrections(Dataset(items), store)[0].items


def weights(dataset: Dataset) -> dict[str, np.ndarray]:
    return {item.subject: np.round(load_item(item).full_weights_HW * 255) for item in dataset.items}


def test_a_correction_of_one_person_is_in_their_item_and_in_that_of_all_and_survives_a_run(
    people: People, group: DatasetItem, store: CorrectionStore
) -> None:
    before, _ = people(group, together=0.5)
    plain = weights(before)
    files = {path.name: path.read_bytes() for path in people.out.glob("*.png")}
    paint(store, group, "greta", slice(LEFT, RIGHT), 200)
    after, report = people(*found(store, group), together=0.5)
    painted_HW = np.zeros(SIZE[::-1], bool)
    painted_HW[60:80, LEFT:RIGHT] = True
    now = weights(after)
    assert (now["greta"] == np.where(painted_HW, 200, plain["greta"])).all()
    assert (now["bluma"] == plain["bluma"]).all()
    assert (now["together"] == np.where(painted_HW, 200, plain["together"])).all()
    changed = {path.name for path in people.out.glob("*.png") if files[path.name] != path.read_bytes()}
    assert changed == {"group@together.png"}, "hers lies over her mask's file, as everywhere"
    states = {row["name"]: row["state"] for row in report["items"]}
    assert states == {"group@greta": "unchanged", "group@bluma": "unchanged", "group@together": "written"}
    again, report = people(*found(store, group), together=0.5)
    assert again == after
    assert {row["state"] for row in report["items"]} == {"unchanged"}
    assert store.of("greta").revert(group.media_path)
    reverted, _ = people(*found(store, group), together=0.5)
    assert {name: each_HW.tolist() for name, each_HW in weights(reverted).items()} == {
        name: each_HW.tolist() for name, each_HW in plain.items()
    }


def test_what_is_taken_from_one_person_stays_the_others_in_the_item_of_all(
    people: People, group: DatasetItem, store: CorrectionStore
) -> None:
    paint(store, group, "greta", slice(0, 200), 0)
    now = weights(people(*found(store, group), together=0.5)[0])
    assert not now["greta"][60:80].any()
    assert (now["bluma"][60:80, 140:180] == 128).all()
    assert (now["together"][60:80, 140:180] == 128).all()
    assert not now["together"][60:80, :140].any()


def test_the_item_of_all_has_a_correction_of_its_own_and_the_photographs_is_cut_as_ever(
    people: People, group: DatasetItem, store: CorrectionStore
) -> None:
    paint(store, group, "together", slice(0, 10), 77)
    width = SIZE[0]
    over_all = Patch(0, 90, np.full((10, width), 55, np.uint8), np.ones((10, width), bool))
    store.paint(group.media_path, SIZE, over_all, painted_over(group), NO_REVISION)
    now = weights(people(*found(store, group), together=0.5)[0])
    assert (now["together"][60:80, :10] == 77).all()
    assert not now["greta"][60:80, :10].any()
    assert (now["greta"][90:100, 20:60] == 55).all()
    assert not now["greta"][90:100, 60:].any(), "what was painted over the photograph counts where she is"
    assert (now["bluma"][90:100, 140:180] == 55).all()


def test_who_is_left_out_of_a_photograph_by_hand_has_no_item_and_the_others_are_balanced_without_it(
    people: People, group: DatasetItem, store: CorrectionStore, scene: Callable[..., Path]
) -> None:
    alone = DatasetItem("alone", scene("alone", (20, GREEN)), LoadSettings())
    store.of("bluma").mark(group.media_path, lambda marks: replace(marks, left_out=True))
    dataset, report = people(*found(store, group, alone))
    assert [(item.name, item.repeats) for item in dataset.items] == [("group@greta", 1), ("alone@greta", 1)]
    assert [(left.item.name, left.reason) for left in dataset.left_out] == [("group@bluma", LEFT_OUT_BY_HAND)]
    assert report["people"][1] == {"name": "bluma", "items": 0, "per_epoch": 0, "left_out": 1, "absent": 1}
    store.of("bluma").mark(group.media_path, lambda marks: replace(marks, left_out=False))
    assert len(people(*found(store, group, alone))[0].items) == 3


def test_a_face_that_was_pointed_at_is_that_persons(people: People, group: DatasetItem, store: CorrectionStore) -> None:
    red = ChosenFace((85 / 200, 20 / 120, 115 / 200, 50 / 120), hash_of(group.media_path))
    first, _ = people(group)
    store.of("bluma").mark(group.media_path, lambda marks: replace(marks, face=red))
    dataset, report = people(*found(store, group), choices={"group@bluma": 0})
    assert {row["name"]: row["reason"] for row in report["items"]}["group@bluma"] == "face 1 was chosen by hand"
    assert load_mask(people.out / "group@bluma.png")[60:, 80:120].all()
    assert [item.mask_path for item in dataset.items] == [item.mask_path for item in first.items]
    assert [item.person.chosen for item in dataset.items if item.person] == [0, 1]
    assert [item.name for item in dataset.items] == ["group@greta", "group@bluma"]


def test_in_a_film_too(people: People, store: CorrectionStore, video: Callable[..., Path]) -> None:
    people.segmenter = BlobSegmenter()
    frames = [draw_people((20, GREEN, True), (140, BLUE, True)) for _ in range(4)]
    film = DatasetItem("film", video("set/film.mkv", frames), LoadSettings())
    patch = Patch(25, 60, np.full((20, 10), 200, np.uint8), np.ones((20, 10), bool))
    own = replace(film, subject="greta")
    store.of("greta").paint_frame(
        film.media_path, 1, probe(film.media_path).size, patch, painted_over(own), NO_REVISION
    )
    dataset, _ = people(*found(store, film), together=0.5, video_every=1)
    read = {item.subject: dict(read_frame_weights(item, [0, 1])) for item in dataset.items}
    values = {name: [round(float(each[t][70, 30]) * 255) for t in (0, 1)] for name, each in read.items()}
    assert values == {"greta": [255, 200], "bluma": [0, 0], "together": [255, 200]}
