"""Items find their corrections, and training reads the corrected weights."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from maskloss.core.corrections.marks import ChosenFace
from maskloss.core.corrections.override import NO_REVISION, PaintedOver
from maskloss.core.corrections.store import CorrectionStore, Patch
from maskloss.core.dataset.corrected import (
    LEFT_OUT_BY_HAND,
    correction_messages,
    has_other_base,
    painted_over,
    with_corrections,
)
from maskloss.core.dataset.crop import Crop, CropKind, Rectangle
from maskloss.core.dataset.files import hash_of
from maskloss.core.dataset.items import Dataset, DatasetItem, LoadSettings, MaskOrigin, PersonByHand
from maskloss.core.dataset.load import check_required, expected_origin, load_fitted, load_item
from maskloss.core.errors import MaskMissingError
from maskloss.core.warning import collect_warnings

Draw = Callable[..., Path]
SIZE = (40, 30)


@pytest.fixture
def store(tmp_path: Path) -> CorrectionStore:
    return CorrectionStore(tmp_path / "corrections")


def paint(store: CorrectionStore, item: DatasetItem, everywhere: bool = False) -> DatasetItem:
    """A rectangle of 80 in the middle, or everywhere."""
    size = SIZE if everywhere else (10, 5)
    patch = Patch(*((0, 0) if everywhere else (15, 10)), np.full(size[::-1], 80, np.uint8), np.ones(size[::-1], bool))
    store.paint(item.media_path, SIZE, patch, painted_over(item), NO_REVISION)
    return with_corrections(Dataset((item,)), store)[0].items[0]


@pytest.mark.parametrize("bucket", [(40, 30), (16, 16), (96, 64)])
def test_a_corrected_mask_is_read_as_a_file_painted_like_that_would_be(
    store: CorrectionStore, photograph: Draw, mask: Draw, bucket: tuple[int, int]
) -> None:
    drawn = np.zeros((30, 40), np.uint8)
    drawn[:, :20] = 255
    item = DatasetItem("a", photograph("set/a.png"), LoadSettings(), mask("masks/a.png", value=drawn))
    corrected = paint(store, item)
    drawn[10:15, 15:25] = 80
    as_file = replace(item, mask_path=mask("painted/a.png", value=drawn))
    assert np.array_equal(load_item(corrected).weights_HW, load_item(as_file).weights_HW)
    fitted = load_fitted(corrected, bucket)
    assert np.array_equal(fitted.weights_THW, load_fitted(as_file, bucket).weights_THW)
    assert np.array_equal(fitted.rgb_THWC, load_fitted(item, bucket).rgb_THWC)
    assert not np.array_equal(fitted.weights_THW, load_fitted(item, bucket).weights_THW)


def test_alpha_and_no_mask_at_all_are_corrected_too(store: CorrectionStore, photograph: Draw) -> None:
    alpha = paint(store, DatasetItem("a", photograph("set/a.png", alpha=51), LoadSettings(alpha_mask=True)))
    bare = paint(store, DatasetItem("b", photograph("set/b.png", seed=1), LoadSettings()))
    for item, under, origin in ((alpha, 51, MaskOrigin.ALPHA), (bare, 255, MaskOrigin.FILE)):
        loaded = load_item(item)
        assert (loaded.origin, expected_origin(item)) == (origin, origin)
        assert loaded.weights_HW is not None
        inside = loaded.weights_HW[10:15, 15:25]
        assert np.unique(inside).tolist() == [np.float32(80 / 255)]
        outside = np.delete(loaded.weights_HW, np.s_[10:15], 0)
        assert np.unique(outside).tolist() == [np.float32(under / 255)]


def test_a_mask_of_half_the_size_and_a_turned_photograph_are_corrected_upright(
    store: CorrectionStore, photograph: Draw, mask: Draw
) -> None:
    turned = photograph("set/a.jpg", (30, 40), orientation=6)
    corrected = paint(store, DatasetItem("a", turned, LoadSettings(), mask("masks/a.png", (20, 15))))
    weights_HW = load_item(corrected).weights_HW
    assert weights_HW is not None
    assert weights_HW.shape == (30, 40)
    assert np.unique(weights_HW[10:15, 15:25]).tolist() == [np.float32(80 / 255)]
    assert set(np.unique(weights_HW)) == {np.float32(0), np.float32(80 / 255), np.float32(1)}


def test_a_crop_has_what_it_shows_of_the_correction(store: CorrectionStore, photograph: Draw, mask: Draw) -> None:
    item = paint(store, DatasetItem("a", photograph("set/a.png"), LoadSettings(), mask("masks/a.png")))
    crop = replace(item, name="a~face", crop=Crop(CropKind.FACE, Rectangle(15, 10, 10, 5)))
    assert np.unique(load_item(crop).full_weights_HW).tolist() == [np.float32(80 / 255)]


def test_a_required_mask_is_there_when_all_of_it_is_painted(store: CorrectionStore, photograph: Draw) -> None:
    part = paint(store, DatasetItem("a", photograph("set/a.png"), LoadSettings(require_mask=True)))
    for read in (load_item, check_required):
        with pytest.raises(MaskMissingError):
            read(part)
    all_of_it = paint(store, DatasetItem("b", photograph("set/b.png"), LoadSettings(require_mask=True)), True)
    check_required(all_of_it)
    assert np.unique(load_item(all_of_it).full_weights_HW).tolist() == [np.float32(80 / 255)]


def test_a_correction_of_another_photograph_of_that_name_is_not_used(store: CorrectionStore, photograph: Draw) -> None:
    item = DatasetItem("a", photograph("set/a.png"), LoadSettings())
    paint(store, item)
    photograph("set/a.png", seed=1)
    with collect_warnings() as warnings:
        dataset, _ = with_corrections(Dataset((item,)), store)
    assert dataset.items[0].correction_path is None
    assert "1 photographs are others than those whose masks were corrected" in warnings.texts[0]


def test_what_is_left_out_by_hand_is_left_out(store: CorrectionStore, photograph: Draw) -> None:
    items = [DatasetItem(name, photograph(f"set/{name}.png"), LoadSettings()) for name in "ab"]
    store.mark(items[0].media_path, lambda marks: replace(marks, left_out=True))
    store.mark(items[1].media_path, lambda marks: replace(marks, done=True))
    dataset, messages = with_corrections(Dataset(tuple(items)), store)
    assert [item.name for item in dataset.items] == ["b"]
    assert [(left.item.name, left.reason) for left in dataset.left_out] == [("a", LEFT_OUT_BY_HAND)]
    assert messages == ["1 items are left out by hand: a."]


def test_the_face_that_was_chosen_belongs_to_its_photograph_alone(store: CorrectionStore, photograph: Draw) -> None:
    item = DatasetItem("a", photograph("set/a.png"), LoadSettings())
    face = ChosenFace((0.25, 0.0, 0.5, 0.5), hash_of(item.media_path))
    store.mark(item.media_path, lambda marks: replace(marks, face=face))
    dataset, messages = with_corrections(Dataset((item,)), store)
    assert (dataset.items[0].chosen_face, dataset.items[0].correction_path) == (face.box, None)
    assert messages == ["In 1 photographs the person was chosen by hand, which Keep Person goes by."]
    photograph("set/a.png", seed=1)
    with collect_warnings() as warnings:
        dataset, _ = with_corrections(Dataset((item,)), store)
    assert dataset.items[0].chosen_face is None
    assert "so the corrections are not used: a" in warnings.texts[0]


def test_what_was_decided_about_peoples_items_goes_with_the_photograph(
    store: CorrectionStore, photograph: Draw
) -> None:
    item = DatasetItem("a", photograph("set/a.png"), LoadSettings())
    other = DatasetItem("b", photograph("set/b.png", seed=2), LoadSettings())
    patch = Patch(0, 0, np.full((5, 5), 80, np.uint8), np.ones((5, 5), bool))
    store.of("anna").paint(item.media_path, SIZE, patch, painted_over(item), NO_REVISION)
    face = ChosenFace((0.25, 0.0, 0.5, 0.5), hash_of(item.media_path))
    store.of("berta").mark(item.media_path, lambda marks: replace(marks, left_out=True, face=face))
    store.of("carla").mark(item.media_path, lambda marks: replace(marks, done=True))
    dataset, messages = with_corrections(Dataset((item, other)), store)
    told = dataset.items[0]
    assert told.correction_path is None
    assert told.people_by_hand == (
        PersonByHand("anna", store.of("anna").path_of(item.media_path)), PersonByHand("berta", None, True, face.box),
    )  # fmt: skip
    assert told.by_hand("carla") == PersonByHand("carla")
    assert dataset.items[1] == other
    assert messages == [
        "2 people's items were corrected, left out or given a face by hand, which Keep People goes by: a@anna, a@berta."
    ]
    photograph("set/a.png", seed=1)
    with collect_warnings() as warnings:
        dataset, _ = with_corrections(Dataset((item,)), store)
    assert dataset.items[0].people_by_hand == (PersonByHand("berta", None, True),), "another photograph's face is not"
    assert "so the corrections are not used: a@anna, a@berta" in warnings.texts[0]


def test_another_mask_under_a_correction_is_told(store: CorrectionStore, photograph: Draw, mask: Draw) -> None:
    item = paint(store, DatasetItem("a", photograph("set/a.png"), LoadSettings(), mask("masks/a.png")))
    assert not has_other_base(item)
    assert correction_messages([item, replace(item, name="a~face")]) == ["1 masks are corrected by hand."]
    rebuilt = replace(item, mask_path=mask("other/a.png", value=128))
    assert has_other_base(rebuilt)
    with collect_warnings() as warnings:
        correction_messages([rebuilt])
    assert "lies another mask than they were painted over: a" in warnings.texts[0]
    assert correction_messages([replace(item, correction_path=None)]) == []
    assert painted_over(item) == PaintedOver(
        painted_over(rebuilt).photograph, painted_over(item).base, str(item.media_path)
    )
