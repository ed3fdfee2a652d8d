"""Which files belong together, and what is said of those that do not fit."""

from collections.abc import Callable
from pathlib import Path

import pytest
from maskloss.core.dataset.items import LoadSettings, MaskOrigin
from maskloss.core.dataset.load import load_item
from maskloss.core.dataset.scan import DatasetConfig, scan_dataset
from maskloss.core.errors import DatasetError, ImageError, PathError, SettingError
from PIL import features

Draw = Callable[..., Path]


def names(config: DatasetConfig) -> list[str]:
    return [item.name for item in scan_dataset(config)[0].items]


def test_a_folder_with_masks_captions_and_controls(tmp_path: Path, photograph: Draw, mask: Draw) -> None:
    photograph("set/b.jpg")
    photograph("set/a.PNG")
    wanted = mask("masks/a.png")
    control = photograph("controls/a.jpg")
    (tmp_path / "set/a.txt").write_text("  ohwx person\n", encoding="utf-8")
    config = DatasetConfig(tmp_path / "set", tmp_path / "masks", control_directory=tmp_path / "controls", num_repeats=3)
    dataset, report = scan_dataset(config)
    first, second = dataset.items
    assert (first.name, first.mask_path, first.caption, first.control_path, first.repeats) == (
        "a", wanted, "ohwx person", control, 3,
    )  # fmt: skip
    assert (second.name, second.mask_path, second.caption, second.control_path) == ("b", None, "", None)
    assert report.messages() == (
        "1 images have no matching mask file: b",
        "1 images have no caption: b",
        "1 images have no control image: b",
        "5 files found: 2 photographs, 1 masks, 1 captions, 1 control images",
    )
    assert report.to_json()["counts"] == {
        "images": 2, "videos": 0, "clips": 0, "clip_frames": 0,
        "mask_alpha": 0, "mask_file": 1, "mask_none": 1,
        "mask_read_brightness": 1, "mask_read_alpha": 0, "mask_read_colour": 0, "mask_read_nonzero": 0,
        "unused_alpha": 0, "hdr_videos": 0, "without_caption": 1, "not_read": 0,
        "unused_masks": 0, "masks_beside": 0, "converted_colours": 0, "several_frames": 0,
        "ignored_profiles": 0, "untagged_colours": 0, "without_control": 1,
    }  # fmt: skip
    assert report.to_json()["items"] == [
        {
            "name": "a", "mask": "file", "caption": True, "frames": 1, "clips": 1,
            "mask_read": {
                "meaning": "brightness", "layout": "grey, 8 bits", "values": [0, 255], "full": 255, "share": 0.5,
            },
        },
        {"name": "b", "mask": "none", "caption": False, "frames": 1, "clips": 1},
    ]  # fmt: skip
    assert report.to_json()["buckets"] == {"1184x880": 2}


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".avif", ".tga", ".jp2"])
def test_photographs_and_masks_may_be_of_any_kind(tmp_path: Path, photograph: Draw, mask: Draw, suffix: str) -> None:
    if suffix == ".avif" and not features.check("avif"):
        pytest.skip("this Pillow reads no AVIF")
    photograph(f"set/a{suffix.upper()}")
    photograph("set/b.jpg")
    wanted = [mask("masks/a.png"), mask(f"masks/b{suffix}")]
    items = scan_dataset(DatasetConfig(tmp_path / "set", tmp_path / "masks"))[0].items
    assert [(item.name, item.mask_path) for item in items] == list(zip("ab", wanted, strict=True))
    for item in items:
        weights_HW = load_item(item).weights_HW
        assert weights_HW is not None
        assert weights_HW[:, :16].mean() > 0.98
        assert weights_HW[:, 24:].mean() < 0.02


def test_subfolders_are_read_only_when_asked_and_keep_their_place_in_the_name(tmp_path: Path, photograph: Draw) -> None:
    photograph("set/a.jpg")
    photograph("set/deep/er/b.jpg")
    assert names(DatasetConfig(tmp_path / "set")) == ["a"]
    assert names(DatasetConfig(tmp_path / "set", recursive=True)) == ["a", "deep/er/b"]


def test_masks_of_subfolders_lie_at_the_same_place_or_flat(tmp_path: Path, photograph: Draw, mask: Draw) -> None:
    for name in ("x/a", "y/a", "y/only"):
        photograph(f"set/{name}.jpg")
    same, flat = mask("masks/x/a.png"), mask("masks/only.png")
    mask("masks/a.png")  # which of the two "a" it belongs to cannot be told
    items = scan_dataset(DatasetConfig(tmp_path / "set", tmp_path / "masks", recursive=True))[0].items
    assert {item.name: item.mask_path for item in items} == {"x/a": same, "y/a": None, "y/only": flat}


def test_the_same_letters_win_over_other_case(tmp_path: Path, photograph: Draw, mask: Draw) -> None:
    for name in ("Anna", "ANNA", "Bert"):
        photograph(f"set/{name}.jpg")
    exact, other = mask("masks/Anna.png"), mask("masks/BERT.PNG")
    items = scan_dataset(DatasetConfig(tmp_path / "set", tmp_path / "masks"))[0].items
    assert {item.name: item.mask_path for item in items} == {"ANNA": None, "Anna": exact, "Bert": other}


def test_two_images_of_one_stem_are_named(tmp_path: Path, photograph: Draw) -> None:
    photograph("set/a.jpg")
    photograph("set/a.png")
    with pytest.raises(DatasetError, match=r"Two files share the name a: .*a\.jpg and .*a\.png"):
        scan_dataset(DatasetConfig(tmp_path / "set"))


def test_two_masks_for_one_image_are_named(tmp_path: Path, photograph: Draw, mask: Draw) -> None:
    photograph("set/a.jpg")
    mask("masks/a.png")
    mask("masks/a.bmp")
    with pytest.raises(DatasetError, match=r"Two mask files could belong to a: .*a\.bmp and .*a\.png"):
        scan_dataset(DatasetConfig(tmp_path / "set", tmp_path / "masks"))


def test_masks_below_the_images_are_not_scanned_as_images(tmp_path: Path, photograph: Draw, mask: Draw) -> None:
    photograph("set/a.jpg")
    mask("set/masks/a.png")
    mask("set/built/a.png")
    (tmp_path / "set/built/.maskloss_masks.json").write_text("{}")
    photograph("set/.hidden/h.jpg")
    photograph("set/.b.jpg")
    config = DatasetConfig(tmp_path / "set", tmp_path / "set/masks", recursive=True)
    assert names(config) == ["a"]
    built = scan_dataset(DatasetConfig(tmp_path / "set", tmp_path / "set/built", recursive=True))[0]
    assert [item.mask_path for item in built.items if item.name == "a"] == [tmp_path / "set/built/a.png"]


@pytest.mark.parametrize("setting", ["mask_directory", "control_directory"])
def test_companions_in_the_image_directory_itself_are_refused(tmp_path: Path, photograph: Draw, setting: str) -> None:
    photograph("set/a.jpg")
    with pytest.raises(PathError, match=f"The {setting} is the image directory itself"):
        DatasetConfig(tmp_path / "set", **{setting: tmp_path / "set"})


def test_unreadable_kinds_are_named_not_passed_over(tmp_path: Path, photograph: Draw) -> None:
    photograph("set/a.jpg")
    (tmp_path / "set/phone.HEIC").write_bytes(b"heic")
    (tmp_path / "set/raw.nef").write_bytes(b"nef")
    report = scan_dataset(DatasetConfig(tmp_path / "set"))[1]
    assert report.not_read == ("phone.HEIC", "raw.nef")
    assert "2 files were not read (no supported image): phone.HEIC, raw.nef" in report.messages()


def test_an_empty_or_missing_directory_says_so(tmp_path: Path) -> None:
    with pytest.raises(PathError, match=r"The image directory .*nowhere does not exist"):
        scan_dataset(DatasetConfig(tmp_path / "nowhere"))
    (tmp_path / "file").write_text("x")
    with pytest.raises(PathError, match="is a file; give the folder"):
        scan_dataset(DatasetConfig(tmp_path / "file"))
    (tmp_path / "set").mkdir()
    with pytest.raises(DatasetError, match="holds no images or videos; set recursive"):
        scan_dataset(DatasetConfig(tmp_path / "set"))
    (tmp_path / "set/phone.heic").write_bytes(b"heic")
    with pytest.raises(DatasetError, match=r"holds no images or videos \(1 files there are not read: phone.heic\)"):
        scan_dataset(DatasetConfig(tmp_path / "set"))


@pytest.mark.parametrize("setting", ["mask_directory", "caption_directory", "control_directory"])
def test_a_missing_companion_directory_is_named(tmp_path: Path, photograph: Draw, setting: str) -> None:
    photograph("set/a.jpg")
    with pytest.raises(PathError, match=f"The {setting} .*gone does not exist"):
        scan_dataset(DatasetConfig(tmp_path / "set", **{setting: tmp_path / "gone"}))


def test_captions_of_their_own_directory_and_extension(tmp_path: Path, photograph: Draw) -> None:
    photograph("set/sub/a.jpg")
    (tmp_path / "captions").mkdir()
    (tmp_path / "captions/a.caption").write_bytes("\ufeffÄpfel".encode())
    config = DatasetConfig(
        tmp_path / "set", caption_directory=tmp_path / "captions", caption_extension="caption", recursive=True
    )
    item = scan_dataset(config)[0].items[0]
    assert (item.caption, item.caption_path) == ("Äpfel", tmp_path / "captions/a.caption")


def test_a_caption_that_is_not_utf8_is_named(tmp_path: Path, photograph: Draw) -> None:
    photograph("set/a.jpg")
    (tmp_path / "set/a.txt").write_bytes("Äpfel".encode("latin-1"))
    with pytest.raises(DatasetError, match=r"The caption .*a\.txt is not UTF-8 \(byte 0 is 0xc4\)"):
        scan_dataset(DatasetConfig(tmp_path / "set"))


def test_require_mask_without_any_source_is_refused_unless_masks_follow(tmp_path: Path, photograph: Draw) -> None:
    photograph("set/a.jpg")
    config = DatasetConfig(tmp_path / "set", settings=LoadSettings(require_mask=True))
    with pytest.raises(DatasetError, match="require_mask=true but no mask source configured"):
        scan_dataset(config)
    assert scan_dataset(config, masks_follow=True)[0].items[0].settings.require_mask


def test_a_mask_of_another_aspect_is_refused_with_both_sizes(tmp_path: Path, photograph: Draw, mask: Draw) -> None:
    photograph("set/a.jpg", (40, 30))
    mask("masks/a.png", (30, 30))
    with pytest.raises(ImageError, match="the mask of a is 30x30 and its image 40x30"):
        scan_dataset(DatasetConfig(tmp_path / "set", tmp_path / "masks"))


def test_sizes_are_compared_upright(tmp_path: Path, photograph: Draw, mask: Draw) -> None:
    photograph("set/a.jpg", (40, 30), orientation=6)
    mask("masks/a.png", (60, 80))
    report = scan_dataset(DatasetConfig(tmp_path / "set", tmp_path / "masks"))[1]
    assert report.buckets == {(880, 1184): 1}


def test_alpha_is_expected_by_the_header(tmp_path: Path, photograph: Draw, mask: Draw) -> None:
    photograph("set/a.png", alpha=100)
    photograph("set/b.png")
    mask("masks/a.png")
    alpha = DatasetConfig(tmp_path / "set", tmp_path / "masks", settings=LoadSettings(alpha_mask=True))
    assert scan_dataset(alpha)[1].masks == {"a": MaskOrigin.ALPHA, "b": MaskOrigin.NONE}
    plain = DatasetConfig(tmp_path / "set", tmp_path / "masks")
    assert scan_dataset(plain)[1].masks == {"a": MaskOrigin.FILE, "b": MaskOrigin.NONE}


def test_an_unreadable_image_is_named(tmp_path: Path) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set/a.jpg").write_bytes(b"no picture")
    with pytest.raises(ImageError, match=r"a\.jpg"):
        scan_dataset(DatasetConfig(tmp_path / "set"))


def test_settings_out_of_range(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="num_repeats is 0"):
        DatasetConfig(tmp_path, num_repeats=0)
    with pytest.raises(SettingError, match=r"caption_extension is '\.'"):
        DatasetConfig(tmp_path, caption_extension=".")


def test_regularisation_images_are_said_to_be_such(tmp_path: Path, photograph: Draw) -> None:
    photograph("set/a.png")
    photograph("set/b.png", seed=1)
    dataset, report = scan_dataset(DatasetConfig(tmp_path / "set", regularisation=0.25))
    assert [item.regularisation for item in dataset.items] == [0.25, 0.25]
    assert (dataset.photographs, dataset.regularisation) == ((0, 0), 2)
    assert dataset.counted_apart == (("regularisation images", "2"),)
    assert "2 regularisation images, 25% of an epoch together" in report.messages()
    for wrong in (1.0, -0.1, float("nan")):
        with pytest.raises(SettingError, match="regularisation"):
            DatasetConfig(tmp_path / "set", regularisation=wrong)
