"""Items out, masks in: what other packs' nodes do to a folder."""

from collections.abc import Callable
from pathlib import Path

import maskloss.core.masks.exchange as exchange
import numpy as np
import pytest
from maskloss.core.dataset.items import Dataset, DatasetItem, LoadSettings, MaskOrigin
from maskloss.core.dataset.load import load_item, read_weights
from maskloss.core.errors import DatasetError, ImageError
from maskloss.core.images import load_mask
from maskloss.core.masks.exchange import hand_out, set_masks
from PIL import Image

HALF = np.full((30, 40), 128 / 255, np.float32)


@pytest.fixture
def dataset(photograph) -> Dataset:
    settings = LoadSettings(resolution=(64, 64), alpha_mask=True)
    paths = {"a": photograph("set/a.png"), "sub/b": photograph("set/sub/b.png", seed=1, alpha=64)}
    return Dataset(tuple(DatasetItem(name, path, settings) for name, path in paths.items()))


def test_items_are_handed_out_with_their_weights(dataset: Dataset) -> None:
    first, second = hand_out(dataset, 0, 8)
    assert first.name == "a"
    assert [picture_HWC.shape for picture_HWC in first.pictures] == [(30, 40, 3)]
    assert (first.masks[0] == 1).all()
    assert (second.masks[0] == np.float32(64) / np.float32(255)).all()
    assert [item.name for item in hand_out(dataset, 1, 1)] == ["sub/b"]
    with pytest.raises(DatasetError, match="has 2 items, none from offset 2 on"):
        list(hand_out(dataset, 2, 8))


def test_masks_are_written_as_png_and_used(dataset: Dataset, tmp_path: Path) -> None:
    changed, report = set_masks(dataset, ["sub/b"], [HALF], tmp_path / "masks")
    path = tmp_path / "masks/sub/b.png"
    with Image.open(path) as picture:
        assert (picture.mode, picture.size) == ("L", (40, 30))
    assert (load_mask(path) == 128).all()
    loaded = load_item(changed.items[1])
    assert loaded.origin is MaskOrigin.FILE
    assert changed.items[0] == dataset.items[0]
    assert report == {
        "items": [{"name": "sub/b", "state": "written", "coverage": round(128 / 255, 6)}],
        "counts": {"items": 2, "written": 1, "unchanged": 0, "kept": 0},
    }


def test_unchanged_work_is_skipped_and_changed_work_done_again(dataset: Dataset, tmp_path: Path) -> None:
    set_masks(dataset, ["a"], [HALF], tmp_path / "masks")
    before = (tmp_path / "masks/a.png").stat().st_mtime_ns
    assert set_masks(dataset, ["a"], [HALF], tmp_path / "masks")[1]["counts"]["unchanged"] == 1
    assert (tmp_path / "masks/a.png").stat().st_mtime_ns == before
    assert set_masks(dataset, ["a"], [HALF / 2], tmp_path / "masks")[1]["counts"]["written"] == 1
    assert (load_mask(tmp_path / "masks/a.png") == 64).all()


def test_a_mask_of_the_same_aspect_is_brought_to_the_photographs_size(dataset: Dataset, tmp_path: Path) -> None:
    small = np.zeros((15, 20), np.float32)
    small[:, :10] = 1
    set_masks(dataset, ["a"], [small], tmp_path / "masks")
    written = load_mask(tmp_path / "masks/a.png")
    assert written.shape == (30, 40)
    assert (written[:, :20] == 255).all()
    assert (written[:, 20:] == 0).all()
    with pytest.raises(ImageError, match="the mask of a is 40x40 and its image 40x30"):
        set_masks(dataset, ["a"], [np.ones((40, 40), np.float32)], tmp_path / "masks")


@pytest.mark.parametrize(
    ("names", "masks", "message"),
    [
        (["A"], 1, "The dataset has no item A; use the names that Dataset Items gives"),
        (["sub/c"], 1, r"The dataset has no item sub/c; did you mean sub/b\?"),
        (["a", "a"], 2, "a was given 2 masks"),
        (["a"], 2, "1 names came with 2 masks"),
        ([], 0, "0 names came with 0 masks"),
    ],
)
def test_names_must_be_those_of_the_dataset(
    dataset: Dataset, tmp_path: Path, names: list[str], masks: int, message: str
) -> None:
    with pytest.raises(DatasetError, match=message):
        set_masks(dataset, names, [HALF] * masks, tmp_path / "masks")
    assert not (tmp_path / "masks").exists()


def test_files_of_others_are_never_overwritten(dataset: Dataset, mask, tmp_path: Path) -> None:
    theirs = mask("masks/sub/b.png").read_bytes()
    with pytest.raises(DatasetError, match=r"b\.png is there already"):
        set_masks(dataset, ["a", "sub/b"], [HALF, HALF], tmp_path / "masks")
    assert (tmp_path / "masks/sub/b.png").read_bytes() == theirs
    assert not (tmp_path / "masks/a.png").exists(), "nothing is written before everything is checked"


def test_a_mask_edited_by_hand_stays_until_another_one_comes(dataset: Dataset, mask, tmp_path: Path) -> None:
    set_masks(dataset, ["a"], [HALF], tmp_path / "masks")
    edited = mask("masks/a.png", value=7).read_bytes()
    changed, report = set_masks(dataset, ["a"], [HALF], tmp_path / "masks")
    assert report["counts"]["kept"] == 1
    assert changed.items[0].mask_path.read_bytes() == edited
    with pytest.raises(DatasetError, match="was edited after it was written"):
        set_masks(dataset, ["a"], [HALF / 2], tmp_path / "masks")


def test_masks_do_not_lie_beside_the_photographs(dataset: Dataset, tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="beside the photographs"):
        set_masks(dataset, ["a"], [HALF], tmp_path / "set")


@pytest.fixture
def video(tmp_path: Path, make_video: Callable[..., Path]) -> DatasetItem:
    """12 frames of 32 per second, grey number · 20; 6 at the target rate."""
    frames = [np.full((30, 40, 3), number * 20, np.uint8) for number in range(12)]
    path = make_video(tmp_path / "set/v.mp4", frames, fps=32)
    return DatasetItem("v", path, LoadSettings((64, 64)))


def test_a_video_goes_out_as_frames_and_its_masks_come_back_as_a_mask_video(
    dataset: Dataset, video: DatasetItem, tmp_path: Path
) -> None:
    both = Dataset((*dataset.items, video))
    (given,) = hand_out(both, 2, 1)
    assert [round(float(picture_HWC.mean()) / 20) for picture_HWC in given.pictures] == [0, 2, 4, 6, 8, 10]
    assert len(given.masks) == 6
    assert all((mask_HW == 1).all() for mask_HW in given.masks)
    masks = [np.full((30, 40), number * 40 / 255, np.float32) for number in range(6)]
    changed, report = set_masks(both, ["a", "v"], [HALF, *masks], tmp_path / "masks")
    assert report["items"][1] == {"name": "v", "state": "written", "coverage": round(100 / 255, 6)}
    item = changed.items[2]
    assert item.mask_path == tmp_path / "masks/v.mkv"
    # Frames that were not handed out have the mask of the one before.
    found = [round(float(weights_HW.mean()) * 255) for _, weights_HW in read_weights(item, range(12))]
    assert found == [number // 2 * 40 for number in range(12)]
    (again,) = hand_out(changed, 2, 1)
    assert [round(float(mask_HW.mean()) * 255) for mask_HW in again.masks] == [0, 40, 80, 120, 160, 200]
    assert set_masks(both, ["v"], masks, tmp_path / "masks")[1]["items"][0]["state"] == "unchanged"
    masks[3] = masks[0]
    assert set_masks(both, ["v"], masks, tmp_path / "masks")[1]["items"][0]["state"] == "written"


def test_one_mask_may_stand_for_a_whole_video(video: DatasetItem, tmp_path: Path) -> None:
    changed, _ = set_masks(Dataset((video,)), ["v"], [np.full((15, 20), 0.4, np.float32)], tmp_path / "masks")
    weights = list(read_weights(changed.items[0], range(12)))
    assert len(weights) == 12
    assert all((weights_HW == np.float32(102) / np.float32(255)).all() for _, weights_HW in weights)
    with pytest.raises(DatasetError, match="1 names came with 4 masks; give one mask for each name, or 6 with one for"):
        set_masks(Dataset((video,)), ["v"], [HALF] * 4, tmp_path / "masks")


def test_a_video_that_is_too_large_is_not_handed_out(video: DatasetItem, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "_MOST_BYTES", 6 * 40 * 30 * 16 - 1)
    with pytest.raises(DatasetError, match=r"v has 6 frames of 40x30 at target_fps, 0\.0 GiB as pictures"):
        list(hand_out(Dataset((video,)), 0, 1))
