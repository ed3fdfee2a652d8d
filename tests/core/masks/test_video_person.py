"""One person through a film: kept where the face is seen and where it can be told by overlap, and nobody else, ever."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
from maskloss.core.dataset.items import Dataset, DatasetItem, LoadSettings
from maskloss.core.errors import DatasetError, MaskMissingError, PersonError, SettingError
from maskloss.core.masks.build_masks import STEP as BUILD_STEP
from maskloss.core.masks.each_item import ItemWork
from maskloss.core.masks.keep_person import PersonOutput, keep_person
from maskloss.core.masks.ledger import open_ledger
from maskloss.core.masks.person_search import PersonSearch
from maskloss.core.people import track
from maskloss.core.people.decision import MatchRules, OnNoMatch
from maskloss.core.people.identity import Identity
from maskloss.core.video.masks import MaskVideoWriter, read_mask_frames
from maskloss.core.video.reader import probe

from .colour_people import (
    BLUE,
    GREEN,
    RED,
    BlobSegmenter,
    ColourRecognizer,
    ColumnSegmenter,
    draw_people,
)

SKIP = MatchRules(on_no_match=OnNoMatch.SKIP)
Film = Callable[[Sequence[np.ndarray]], DatasetItem]


@pytest.fixture
def film(video: Callable[..., Path]) -> Film:
    return lambda frames: DatasetItem("film", video("set/film.mkv", frames), LoadSettings())


class Step:
    def __init__(self, tmp_path: Path) -> None:
        self.out = tmp_path / "out"
        self.recognizer, self.segmenter = ColourRecognizer(), BlobSegmenter()

    def __call__(self, *items: DatasetItem, rules: MatchRules = SKIP, **options) -> tuple[Dataset, dict]:
        identity = Identity(np.array([RED], np.float32), "colours-1", ("reference",))
        search = PersonSearch(self.recognizer, (identity,), self.segmenter, rules, options.pop("choices", {}))
        work = {key: options.pop(key) for key in ("video_every", "workers", "progress") if key in options}
        return keep_person(Dataset(items), search, PersonOutput(self.out, **options), ItemWork(**work))

    def masks(self, item: DatasetItem, folder: str = "out") -> list[np.ndarray]:
        info = probe(item.media_path)
        path = self.out.parent / folder / f"{item.name}.mkv"
        return [mask_HW > 0 for _, mask_HW in read_mask_frames(path, info, range(info.frames))]


@pytest.fixture
def step(tmp_path: Path) -> Step:
    return Step(tmp_path)


def person(x: int) -> np.ndarray:
    return draw_people((x, RED, True)).any(axis=2)


def test_the_person_is_kept_in_every_frame_and_a_bystander_in_none(step: Step, film: Film) -> None:
    item = film([draw_people((20 + 2 * t, RED, True), (150, GREEN, True)) for t in range(11)])
    dataset, report = step(item)
    masks = step.masks(item)
    for t in range(11):
        before, after = t // 4 * 4, min(-(-t // 4) * 4, 10)  # the last one is always looked at
        before = 10 if t == 10 else before
        assert np.array_equal(masks[t], person(20 + 2 * before) & person(20 + 2 * after)), t
    row = report["items"][0]
    assert row["video"] == {"frames": 11, "segmented": 4, "matched": 4, "carried": 0, "without": 0}
    assert row["area"] == pytest.approx(np.mean(masks), abs=1e-6)
    assert dataset.items[0].mask_path == step.out / "film.mkv"
    assert dataset.items[0].person is not None
    assert dataset.items[0].person.chosen == 0


@pytest.mark.parametrize("segmenter", [BlobSegmenter(), ColumnSegmenter()], ids=lambda each: each.name)
def test_where_the_face_is_hidden_the_mask_is_carried_forwards_and_backwards(
    step: Step, film: Film, segmenter: BlobSegmenter | ColumnSegmenter
) -> None:
    step.segmenter = segmenter
    hidden = (*range(4), *range(8, 20), *range(24, 29))
    frames = [draw_people((20 + t, RED, t not in hidden), (150, GREEN, True)) for t in range(29)]
    item = film(frames)
    row = step(item)[1]["items"][0]
    assert row["video"] == {"frames": 29, "segmented": 8, "matched": 2, "carried": 6, "without": 0}
    masks = step.masks(item)
    for t in range(0, 29, 4):
        overlap = (masks[t] & person(20 + t)).sum() / (masks[t] | person(20 + t)).sum()
        assert overlap > 0.8, t
        assert not masks[t][:, 150:].any(), t


def test_a_cut_to_someone_without_a_face_at_the_same_place_ends_it(step: Step, film: Film) -> None:
    item = film([draw_people((80, RED, True) if t < 10 else (80, GREEN, False)) for t in range(20)])
    assert step(item)[1]["items"][0]["video"]["without"] == 3
    masks = step.masks(item)
    assert all(np.array_equal(masks[t], person(80)) for t in range(9))
    assert not any(masks[t].any() for t in range(9, 20)), "the frames before the cut are given up with it"


def test_whoever_shows_another_face_is_not_the_person_whatever_they_wear(step: Step, film: Film) -> None:
    def frame(t: int) -> np.ndarray:
        rgb_HWC = draw_people((80, RED, True))
        if t >= 4:
            rgb_HWC[20:50, 85:115] = BLUE
        return rgb_HWC

    item = film([frame(t) for t in range(9)])
    row = step(item)[1]["items"][0]
    assert (row["video"]["matched"], row["video"]["without"]) == (1, 2)
    assert not any(mask_HW.any() for mask_HW in step.masks(item)[1:])


def test_one_lucky_frame_of_a_stranger_is_no_match(step: Step, film: Film) -> None:
    item = film([draw_people((80, RED if t == 16 else GREEN, True)) for t in range(21)])
    dataset, report = step(item)
    assert not dataset.items
    assert "no face matches in 6 frames looked at" in dataset.left_out[0].reason
    assert report["items"][0]["state"] == "left out"
    assert not (step.out / "film.mkv").exists()


def test_what_was_carried_to_another_place_than_the_face_is_given_up(step: Step, film: Film) -> None:
    def frame(t: int) -> np.ndarray:
        doll = (20, RED, t == 0)  # from the second frame on it is only dressed like the person
        return draw_people(doll, (140, RED, True)) if t == 16 else draw_people(doll)

    item = film([frame(t) for t in range(17)])
    assert step(item)[1]["items"][0]["video"] == {
        "frames": 17, "segmented": 5, "matched": 2, "carried": 0, "without": 3,
    }  # fmt: skip
    masks = step.masks(item)
    assert np.array_equal(masks[16], person(140))
    assert not any(mask_HW.any() for mask_HW in masks[1:16])


def test_a_mask_is_carried_so_far_and_no_farther(step: Step, film: Film, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(track, "CARRY_FRAMES", 3)
    item = film([draw_people((80, RED, t in (0, 20))) for t in range(21)])
    row = step(item, video_every=1)[1]["items"][0]
    assert row["video"] == {"frames": 21, "segmented": 21, "matched": 2, "carried": 6, "without": 13}
    assert [mask_HW.any() for mask_HW in step.masks(item)] == [True] * 4 + [False] * 13 + [True] * 4


def test_weights_are_cut_frame_by_frame_and_stay_exact(step: Step, film: Film, tmp_path: Path) -> None:
    item = film([draw_people((20 + t, RED, True), (150, GREEN, True)) for t in range(5)])
    info = probe(item.media_path)
    with MaskVideoWriter(tmp_path / "everyone.mkv", info.size, info.times) as writer:
        for t in range(5):
            everyone_HW = draw_people((20 + t, RED, True), (150, GREEN, True)).any(axis=2)
            writer.add(np.where(everyone_HW, 40 + t, 7).astype(np.uint8))
    item = DatasetItem("film", item.media_path, LoadSettings(), tmp_path / "everyone.mkv")
    step(item, video_every=1)
    for t, mask_HW in read_mask_frames(step.out / "film.mkv", info, range(5)):
        assert np.array_equal(mask_HW, np.where(person(20 + t), 40 + t, 0))


def test_a_second_run_does_nothing_and_another_rate_begins_again(step: Step, film: Film) -> None:
    item = film([draw_people((20 + t, RED, True)) for t in range(6)])
    first = step(item)
    calls, written = step.recognizer.calls, (step.out / "film.mkv").stat().st_mtime_ns
    again = step(item)
    assert again[1]["items"][0] == {**first[1]["items"][0], "state": "unchanged"}
    assert (step.recognizer.calls, (step.out / "film.mkv").stat().st_mtime_ns) == (calls, written)
    assert step(item, video_every=1)[1]["items"][0]["video"]["segmented"] == 6


def test_an_instance_video_that_was_edited_is_used_as_it_is(step: Step, film: Film, tmp_path: Path) -> None:
    item = film([draw_people((20, RED, True), (150, GREEN, True)) for _ in range(3)])
    step(item, instance_directory=tmp_path / "instances")
    assert all(np.array_equal(mask_HW, person(20)) for mask_HW in step.masks(item, "instances"))
    with MaskVideoWriter(tmp_path / "instances/film.mkv", (200, 120), probe(item.media_path).times) as writer:
        for t in range(3):
            writer.add(np.pad(np.full((120, 10), 255 * (t == 1), np.uint8), ((0, 0), (0, 190))))
    calls = step.recognizer.calls
    assert step(item, instance_directory=tmp_path / "instances")[1]["items"][0]["decision"] == "given"
    assert step.recognizer.calls == calls
    assert [int(mask_HW.sum()) for mask_HW in step.masks(item)] == [0, 1200, 0]


def test_an_interrupt_leaves_no_half_a_video(step: Step, film: Film) -> None:
    class Impatient:
        def update(self, done: int, total: int, text: str = "", preview_HWC: np.ndarray | None = None) -> None:
            if done == 2:
                raise KeyboardInterrupt

    item = film([draw_people((20 + t, RED, True)) for t in range(12)])
    with pytest.raises(KeyboardInterrupt):
        step(item, progress=Impatient())
    assert not list(step.out.glob("*.mkv"))
    assert step(item)[1]["items"][0]["state"] == "written"


def test_a_film_without_the_person_follows_the_rules(step: Step, film: Film) -> None:
    step.segmenter = ColumnSegmenter()
    item = film([draw_people((150, GREEN, True)) for _ in range(5)])
    with pytest.raises(PersonError, match=r"^film: The person cannot be told apart: no face matches in 2 frames"):
        step(item, rules=MatchRules())
    dataset, report = step(item, rules=MatchRules(on_no_match=OnNoMatch.EMPTY))
    assert report["items"][0]["decision"] == "empty"
    assert len(dataset.items) == 1
    assert not any(mask_HW.any() for mask_HW in step.masks(item))
    assert step.segmenter.calls == 0, "nobody is segmented where nobody is chosen"
    with pytest.raises(SettingError, match="on_no_match is largest, and in the video film"):
        step(item, rules=MatchRules(on_no_match=OnNoMatch.LARGEST))
    with pytest.raises(SettingError, match="choices names the video film"):
        step(item, choices={"film": 0})
    with pytest.raises(SettingError, match="video_every must be at least 1 frame, got 0"):
        step(item, video_every=0)


def test_what_is_required_or_edited_is_respected(step: Step, film: Film) -> None:
    item = film([draw_people((20, RED, True)) for _ in range(3)])
    with pytest.raises(MaskMissingError, match="no mask found for film"):
        step(DatasetItem("film", item.media_path, LoadSettings(require_mask=True)))
    step(item)
    with MaskVideoWriter(step.out / "film.mkv", (200, 120), probe(item.media_path).times) as writer:
        for _ in range(3):
            writer.add(np.pad(np.full((120, 50), 51, np.uint8), ((0, 0), (0, 150))))
    row = step(item)[1]["items"][0]
    assert (row["state"], row["area"], row["coverage"]) == ("kept", 0.25, 0.05)
    with pytest.raises(DatasetError, match="was not written for this person, photograph and setting"):
        step(item, dilate_px=1)


def hair(x: int) -> np.ndarray:
    """Long hair of whoever stands at `x`, beside the columns that the segmenter takes for them."""
    drawn_HW = np.zeros((120, 200), bool)
    drawn_HW[20:80, x + 40 : x + 46] = True
    return drawn_HW


def long_haired(film: Film, tmp_path: Path, noted: list[int]) -> DatasetItem:
    """Nine frames of which the last four hide her face; masks of everyone as Build Masks writes them for every fourth,
    and in its ledger what is `noted`."""
    frames = [draw_people((80, RED, t < 5), (150, GREEN, True)) for t in range(9)]
    for rgb_HWC in frames:
        rgb_HWC[hair(80) | hair(150)] = (60, 40, 20)
    item = film(frames)
    info = probe(item.media_path)
    path = tmp_path / "masks/film.mkv"
    with open_ledger(path.parent, BUILD_STEP) as ledger:
        with MaskVideoWriter(path, info.size, info.times) as writer:
            for rgb_HWC in frames:
                tiers_HW = np.where(rgb_HWC.any(axis=2), 128, 0)
                writer.add(np.where(hair(80) | hair(150), 80, tiers_HW).astype(np.uint8))
        ledger.finish("film", "", path, {"hair_values": noted})
    return DatasetItem("film", item.media_path, LoadSettings(), path)


@pytest.mark.parametrize(
    ("noted", "every", "with_hair"),
    [
        ([80, 0, 4], 4, range(9)),
        ([80, 0, 4], 2, (0, 4, 8)),  # the frames between were not segmented: their mask is another frame's
        ([80, 0, 8], 4, (0, 8)),
        ([80, 0], 4, ()),  # as an earlier version noted it
    ],
)
def test_her_hair_is_added_in_frames_of_which_it_is_known_also_where_her_face_is_hidden(
    step: Step, film: Film, tmp_path: Path, noted: list[int], every: int, with_hair: Sequence[int]
) -> None:
    step.segmenter = ColumnSegmenter()
    item = long_haired(film, tmp_path, noted)
    row = step(item, video_every=every, instance_directory=tmp_path / "instances")[1]["items"][0]
    assert row["video"]["carried"] == {4: 1, 2: 2}[every]
    assert row["video"]["without"] == 0
    for t, mask_HW in enumerate(step.masks(item, "instances")):
        expected_HW = person(80) | hair(80) if t in with_hair else person(80)
        assert np.array_equal(mask_HW, expected_HW), t
    weights = dict(read_mask_frames(step.out / "film.mkv", probe(item.media_path), range(9)))
    for t in with_hair:
        assert set(np.unique(weights[t][hair(80)])) == {80}
        assert not weights[t][hair(150)].any()


def test_hair_that_becomes_known_makes_the_video_again(step: Step, film: Film, tmp_path: Path) -> None:
    step.segmenter = ColumnSegmenter()
    item = long_haired(film, tmp_path, [80, 0])
    assert step(item)[1]["items"][0]["state"] == "written"
    assert not step.masks(item)[0][hair(80)].any()
    assert step(item)[1]["items"][0]["state"] == "unchanged"
    with open_ledger(tmp_path / "masks", BUILD_STEP) as ledger:
        ledger.finish("film", "", item.mask_path, {"hair_values": [80, 0, 4]})
    assert step(item)[1]["items"][0]["state"] == "written"
    assert step.masks(item)[0][hair(80)].all()
    assert step(item)[1]["items"][0]["state"] == "unchanged"
