"""The mask moves into the picture's alpha, and nothing else about the picture changes."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from maskloss.core.corrections.override import Correction, write_correction
from maskloss.core.dataset.items import Dataset, DatasetItem, LoadSettings, MaskOrigin
from maskloss.core.dataset.load import load_item
from maskloss.core.dataset.scan import DatasetConfig, scan_dataset
from maskloss.core.errors import DatasetError, ImageError, MaskMissingError
from maskloss.core.masks.merge_alpha import merge_dataset_alpha
from maskloss.core.resample import fit_image, fit_mask
from PIL import Image

Draw = Callable[..., Path]


@pytest.fixture
def pair(tmp_path: Path, photograph: Draw, mask: Draw) -> DatasetItem:
    path = photograph("set/sub/a.jpg")
    caption = path.with_suffix(".txt")
    caption.write_text("ohwx person\n", encoding="utf-8")
    return DatasetItem(
        "sub/a", path, LoadSettings(), mask("masks/sub/a.png", value=80), "ohwx person", caption_path=caption
    )


def test_colour_weight_and_caption_arrive_bit_for_bit(tmp_path: Path, pair: DatasetItem) -> None:
    before = load_item(pair)
    merged, report = merge_dataset_alpha(Dataset((pair,)), tmp_path / "rgba")
    with Image.open(tmp_path / "rgba/sub/a.png") as image:
        rgba_HWC = np.asarray(image)
        assert image.mode == "RGBA"
    assert np.array_equal(rgba_HWC[..., :3], before.rgb_HWC)
    assert before.weights_HW is not None
    assert np.array_equal(rgba_HWC[..., 3], np.rint(before.weights_HW * 255))
    assert (rgba_HWC[..., 3] == 0).any()
    assert (tmp_path / "rgba/sub/a.txt").read_text() == "ohwx person\n"
    item = merged.items[0]
    assert (item.mask_path, item.settings.alpha_mask, item.media_path) == (None, True, tmp_path / "rgba/sub/a.png")
    after = load_item(item)
    assert after.origin is MaskOrigin.ALPHA
    assert np.array_equal(after.weights_HW, before.weights_HW)
    row = report["items"][0]
    assert (row["state"], row["origin"]) == ("written", "file")
    assert row["coverage"] == pytest.approx(before.weights_HW.mean(), abs=1e-6)


@pytest.mark.parametrize("bucket", [(16, 16), (96, 64)])
def test_the_bucket_sees_the_same_colours_under_weight_zero(
    tmp_path: Path, pair: DatasetItem, bucket: tuple[int, int]
) -> None:
    merged, _ = merge_dataset_alpha(Dataset((pair,)), tmp_path / "rgba")
    before, after = load_item(pair), load_item(merged.items[0])
    assert before.weights_HW is not None
    assert after.weights_HW is not None
    assert np.array_equal(fit_image(after.rgb_HWC, bucket), fit_image(before.rgb_HWC, bucket))
    assert np.array_equal(
        fit_mask(after.weights_HW, after.size, bucket), fit_mask(before.weights_HW, before.size, bucket)
    )


def test_what_was_merged_scans_as_images_with_alpha(tmp_path: Path, pair: DatasetItem) -> None:
    merged, _ = merge_dataset_alpha(Dataset((pair,)), tmp_path / "rgba")
    config = DatasetConfig(tmp_path / "rgba", recursive=True, settings=LoadSettings(alpha_mask=True))
    assert scan_dataset(config)[0].items == merged.items


@pytest.mark.parametrize("orientation", [3, 6])
def test_exif_is_applied_once(tmp_path: Path, photograph: Draw, mask: Draw, orientation: int) -> None:
    item = DatasetItem(
        "a", photograph("set/a.png", orientation=orientation), LoadSettings(),
        mask("masks/a.png", orientation=orientation),
    )  # fmt: skip
    before = load_item(item)
    merged, _ = merge_dataset_alpha(Dataset((item,)), tmp_path / "rgba")
    with Image.open(tmp_path / "rgba/a.png") as image:
        assert image.getexif().get(0x0112, 1) == 1
    after = load_item(merged.items[0])
    assert np.array_equal(after.rgb_HWC, before.rgb_HWC)
    assert np.array_equal(after.weights_HW, before.weights_HW)


def test_an_item_without_a_mask_becomes_opaque_and_is_counted(tmp_path: Path, photograph: Draw) -> None:
    item = DatasetItem("a", photograph("set/a.jpg"), LoadSettings(), caption="from elsewhere")
    merged, report = merge_dataset_alpha(Dataset((item,)), tmp_path / "rgba")
    assert report["messages"] == ["1 items had no mask (no alpha + no file). Filled with full-weight (255)."]
    loaded = load_item(merged.items[0])
    assert loaded.weights_HW is not None
    assert (loaded.weights_HW == 1).all()
    assert (tmp_path / "rgba/a.txt").read_text() == "from elsewhere\n"


def test_a_dry_run_writes_nothing_and_says_what_it_would_do(tmp_path: Path, pair: DatasetItem) -> None:
    dataset = Dataset((pair,))
    same, report = merge_dataset_alpha(dataset, tmp_path / "rgba", dry_run=True)
    assert same is dataset
    assert report["dry_run"] is True
    assert report["counts"] == {"items": 1, "written": 1, "unchanged": 0, "skipped": 0, "passed through": 0}
    assert not (tmp_path / "rgba").exists()


def test_unchanged_work_is_skipped_and_changed_work_redone(
    tmp_path: Path, pair: DatasetItem, photograph: Draw, mask: Draw
) -> None:
    first, _ = merge_dataset_alpha(Dataset((pair,)), tmp_path / "rgba")
    stamp = (tmp_path / "rgba/sub/a.png").stat().st_mtime_ns
    again, report = merge_dataset_alpha(Dataset((pair,)), tmp_path / "rgba")
    assert report["items"][0]["state"] == "unchanged"
    assert report["items"][0]["origin"] == "file"
    assert (tmp_path / "rgba/sub/a.png").stat().st_mtime_ns == stamp
    assert again == first
    mask("masks/sub/a.png", value=200)
    report = merge_dataset_alpha(Dataset((pair,)), tmp_path / "rgba")[1]
    assert report["items"][0]["state"] == "written"
    toggled = replace(pair, settings=replace(pair.settings, alpha_mask=True))
    assert merge_dataset_alpha(Dataset((toggled,)), tmp_path / "rgba")[1]["items"][0]["state"] == "written"
    changed = replace(pair, caption="other", caption_path=None)
    assert merge_dataset_alpha(Dataset((changed,)), tmp_path / "rgba")[1]["items"][0]["state"] == "written"
    assert (tmp_path / "rgba/sub/a.txt").read_text() == "other\n"


def test_a_caption_that_was_taken_away_does_not_stay_behind(tmp_path: Path, pair: DatasetItem) -> None:
    merge_dataset_alpha(Dataset((pair,)), tmp_path / "rgba")
    bare = replace(pair, caption="", caption_path=None)
    merge_dataset_alpha(Dataset((bare,)), tmp_path / "rgba")
    assert not (tmp_path / "rgba/sub/a.txt").exists()
    assert scan_dataset(DatasetConfig(tmp_path / "rgba", recursive=True))[0].items[0].caption == ""
    merge_dataset_alpha(Dataset((pair,)), tmp_path / "rgba")
    (tmp_path / "rgba/sub/a.txt").write_text("better words")
    merge_dataset_alpha(Dataset((bare,)), tmp_path / "rgba")
    assert (tmp_path / "rgba/sub/a.txt").read_text() == "better words"


def test_files_of_others_are_an_error_before_anything_is_written_or_skipped(
    tmp_path: Path, pair: DatasetItem, photograph: Draw
) -> None:
    other = DatasetItem("zz", photograph("set/zz.jpg"), LoadSettings())
    foreign = photograph("rgba/zz.png", seed=5)
    content = foreign.read_bytes()
    with pytest.raises(DatasetError, match=r"zz\.png is there already and was not written"):
        merge_dataset_alpha(Dataset((pair, other)), tmp_path / "rgba")
    assert not (tmp_path / "rgba/sub").exists()
    _, report = merge_dataset_alpha(Dataset((pair, other)), tmp_path / "rgba", skip_existing=True)
    assert [row["state"] for row in report["items"]] == ["written", "skipped"]
    assert foreign.read_bytes() == content


def test_a_caption_edited_beside_the_result_is_not_overwritten(tmp_path: Path, pair: DatasetItem, mask: Draw) -> None:
    merge_dataset_alpha(Dataset((pair,)), tmp_path / "rgba")
    caption = tmp_path / "rgba/sub/a.txt"
    caption.write_text("better words")
    assert merge_dataset_alpha(Dataset((pair,)), tmp_path / "rgba")[1]["items"][0]["state"] == "unchanged"
    mask("masks/sub/a.png", value=200)
    with pytest.raises(DatasetError, match=r"a\.txt is there already and was not written, or was edited"):
        merge_dataset_alpha(Dataset((pair,)), tmp_path / "rgba")
    assert caption.read_text() == "better words"


def test_a_skipped_picture_without_a_caption_keeps_the_old_one(
    tmp_path: Path, pair: DatasetItem, photograph: Draw
) -> None:
    photograph("rgba/sub/a.png")
    merged, _ = merge_dataset_alpha(Dataset((pair,)), tmp_path / "rgba", skip_existing=True)
    assert merged.items[0].caption_path == pair.caption_path


def test_what_does_not_fit_is_refused(tmp_path: Path, pair: DatasetItem, mask: Draw) -> None:
    with pytest.raises(DatasetError, match="would lie beside the photographs"):
        merge_dataset_alpha(Dataset((pair,)), tmp_path / "set")
    bare = replace(pair, mask_path=None, settings=LoadSettings(require_mask=True))
    with pytest.raises(MaskMissingError, match="require_mask=true but no mask found for sub/a"):
        merge_dataset_alpha(Dataset((bare,)), tmp_path / "rgba")
    mask("masks/sub/a.png", (30, 30))
    with pytest.raises(ImageError, match="the mask of sub/a is 30x30 and its image 40x30"):
        merge_dataset_alpha(Dataset((pair,)), tmp_path / "rgba")
    assert not (tmp_path / "rgba").exists()


def test_videos_pass_through_with_their_masks(tmp_path: Path, pair: DatasetItem, make_video: Draw) -> None:
    path = make_video(tmp_path / "set/clip.mp4", [np.zeros((48, 64, 3), np.uint8)] * 3)
    video = DatasetItem("clip", path, LoadSettings((64, 48)), tmp_path / "masks/clip.mkv")
    dataset, report = merge_dataset_alpha(Dataset((pair, video)), tmp_path / "rgba")
    assert dataset.items[1] is video
    assert report["items"][1] == {"name": "clip", "state": "passed through"}
    assert report["counts"]["passed through"] == 1
    assert report["messages"] == ["1 videos pass through as they are: alpha is for pictures, their masks stay files."]
    assert not list((tmp_path / "rgba").glob("clip*"))


def test_a_correction_goes_into_the_alpha_once(tmp_path: Path, pair: DatasetItem) -> None:
    merge_dataset_alpha(Dataset((pair,)), tmp_path / "rgba")
    painted_HW = np.zeros((30, 40), bool)
    painted_HW[:5] = True
    write_correction(tmp_path / "hand.png", Correction(np.full((30, 40), 9, np.uint8), painted_HW))
    corrected = replace(pair, correction_path=tmp_path / "hand.png")
    merged, report = merge_dataset_alpha(Dataset((corrected,)), tmp_path / "rgba")
    assert report["counts"]["written"] == 1
    assert merged.items[0].correction_path is None
    assert np.array_equal(load_item(merged.items[0]).full_weights_HW, load_item(corrected).full_weights_HW)
