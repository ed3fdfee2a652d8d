"""The reference system's dataset file, key for key."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from maskloss.core.dataset.config_file import read_config, scan_config
from maskloss.core.dataset.items import MaskOrigin
from maskloss.core.errors import DatasetError, PathError, SettingError
from maskloss.core.mask_meaning import MaskMeaning
from maskloss.core.paths import Folders
from maskloss.core.video.clips import FrameExtraction, VideoSettings

# The example of the reference system's guide, with relative folders.
GUIDE = """
[general]
shuffle_caption = true
keep_tokens = 1

[[datasets]]
# Image source
image_directory = "subject"
mask_directory = "weighted_masks"
cache_directory = "/path/to/cache"
caption_extension = ".txt"
resolution = [1024, 1024]
enable_bucket = true
min_bucket_reso = 512
max_bucket_reso = 1536
bucket_reso_steps = 64
batch_size = 1
"""


@pytest.fixture
def folders(tmp_path: Path) -> Folders:
    return Folders(tmp_path / "input", tmp_path / "output")


@pytest.fixture
def write(tmp_path: Path):
    def write(text: str | bytes) -> Path:
        path = tmp_path / "input/project/set.toml"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def test_the_guides_example(folders: Folders, write, photograph, mask) -> None:
    photograph("input/project/subject/kyla001.jpg")
    photograph("input/project/subject/kyla002.png")
    mask("input/project/weighted_masks/kyla001.png")
    config = read_config(write(GUIDE), folders)
    (one,) = config.datasets
    assert one.settings.resolution == (1024, 1024)
    assert (one.settings.enable_bucket, one.settings.bucket_no_upscale) == (True, False)
    assert (one.settings.min_bucket, one.settings.max_bucket, one.settings.bucket_step) == (512, 1536, 64)
    assert config.messages == (
        "set.toml sets batch_size: the trainer's batch_size decides.",
        "set.toml sets cache_directory: Cache Latents' cache_directory decides.",
        "set.toml sets shuffle_caption: it has no effect, because captions are cached as they are.",
        "set.toml sets keep_tokens: it has no effect, because captions are cached as they are.",
    )
    dataset, report = scan_config(config)
    assert [(item.name, item.mask_path is not None) for item in dataset.items] == [
        ("kyla001", True),
        ("kyla002", False),
    ]
    assert "1 images have no matching mask file: kyla002" in report["messages"]
    json.dumps(report, allow_nan=False)


def test_every_acting_key_reaches_its_setting(folders: Folders, write, photograph, mask) -> None:
    photograph("input/project/set/sub/a.png", alpha=7)
    photograph("input/project/control/sub/a.png")
    mask("input/project/masks/sub/a.png")
    caption = folders.input / "project/captions/sub/a.caption"
    caption.parent.mkdir(parents=True)
    caption.write_text("ohwx")
    text = """
    [[datasets]]
    image_directory = "set"
    mask_directory = "masks"
    control_directory = "control"
    caption_directory = "captions"
    caption_extension = "caption"
    alpha_mask = true
    require_mask = true
    mask_meaning = "nonzero"
    recursive = true
    resolution = 512
    enable_bucket = true
    bucket_no_upscale = true
    num_repeats = 3
    """
    config = read_config(write(text), folders)
    settings = config.datasets[0].settings
    assert settings.resolution == (512, 512)
    assert (settings.enable_bucket, settings.bucket_no_upscale) == (True, True)
    assert (settings.alpha_mask, settings.require_mask) == (True, True)
    assert settings.mask_meaning is MaskMeaning.NONZERO
    assert config.messages == ()
    ((item,), report) = (lambda pair: (pair[0].items, pair[1]))(scan_config(config))
    assert (item.name, item.caption, item.repeats) == ("sub/a", "ohwx", 3)
    assert item.mask_path is not None
    assert item.mask_meaning is MaskMeaning.NONZERO
    assert item.control_path is not None
    assert report["items"] == [
        {"name": "sub/a", "mask": MaskOrigin.ALPHA.value, "caption": True, "frames": 1, "clips": 1}
    ]


def test_datasets_keep_their_own_settings_and_names_stay_unique(folders: Folders, write, photograph) -> None:
    for name in ("one/a", "one/b", "two/a"):
        photograph(f"input/project/{name}.png")
    text = """
    [general]
    resolution = 256
    num_repeats = 2
    enable_bucket = true
    [[datasets]]
    image_directory = "one"
    [[datasets]]
    image_directory = "two"
    resolution = [128, 64]
    num_repeats = 5
    """
    dataset, report = scan_config(read_config(write(text), folders))
    assert [(item.name, item.settings.resolution, item.repeats) for item in dataset.items] == [
        ("one/a", (256, 256), 2),
        ("b", (256, 256), 2),
        ("two/a", (128, 64), 5),
    ]
    assert [row["name"] for row in report["items"]] == ["one/a", "b", "two/a"]
    assert report["counts"]["images"] == 3
    assert [part["counts"]["images"] for part in report["datasets"]] == [2, 1]
    assert "one: 2 images have no caption: a, b" in report["messages"]


def test_what_is_left_out_is_as_in_the_reference_system_and_said(folders: Folders, write, photograph) -> None:
    photograph("input/project/set/a.png")
    config = read_config(write('[[datasets]]\nimage_directory = "set"'), folders)
    assert config.datasets[0].settings.resolution == (960, 544)
    assert config.datasets[0].settings.enable_bucket is False
    assert config.messages == (
        "set.toml leaves resolution out for 1 of 1 datasets; it is 960x544.",
        "set.toml leaves enable_bucket out for 1 of 1 datasets; it is false: every picture is cropped to the "
        "resolution.",
    )


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "[[datasets]]\nimage_directry = 'x'",
            "number 1 of .* key image_directry; did you mean image_directory",
        ),
        ("[general]\nenable_buckets = true", r"\[general\] of .*enable_buckets; did you mean enable_bucket\?"),
        ("[general]\nzzz = 1\n", "unknown key zzz; known are image_directory, "),
        ("[generals]\n", "unknown key generals; did you mean general"),
        ("[[datasets]]\nvideo_jsonl_file = 'x'\ncaption_file = 'y'", "has caption_file beside video_jsonl_file"),
        ("[[datasets]]\nvideo_jsonl_file = 'x'\nimage_directory = 'y'", "has image_directory and video_jsonl_file"),
        ("[[datasets]]\nvideo_directory = 'x'\nimage_directory = 'y'", "has image_directory and video_directory; give"),
        ("[general]\nvideo_directory = 'x'\n[[datasets]]\n", r"video_directory in \[general\]"),
        ("[[datasets]]\nimage_directory = 'x'\nmax_frames = 5", "has max_frames beside an image_directory"),
        ("[general]\ntarget_frames = 25", r"target_frames = 25; it must be a list of whole numbers above 0"),
        ("[general]\ntarget_frames = [1, 0]", "it must be a list of whole numbers above 0"),
        ("[general]\nframe_extraction = 'tail'", "it must be one of head, chunk, slide, uniform, full"),
        ("[general]\nsource_fps = 0", "source_fps = 0; it must be a number above 0"),
        ("[general]\nframe_stride = 0", "frame_stride = 0; it must be a whole number above 0"),
        ("[general]\nresolution = 64", r"has no \[\[datasets\]\]"),
        ("[general]\nimage_directory = 'x'\n[[datasets]]\n", r"image_directory in \[general\]"),
        ("[[datasets]]\nresolution = 64", "number 1 of .* has no image_directory"),
        ("general = 1", r"\[general\] of .* is no table"),
        ("datasets = [1]", "number 1 of .* is no table"),
        ("[general]\nresolution = [1, 2, 3]", r"resolution = \[1, 2, 3\]; it must be a whole number above 0 or"),
        ("[general]\nresolution = true", "it must be a whole number above 0 or"),
        ("[general]\nnum_repeats = 0", "num_repeats = 0; it must be a whole number above 0"),
        ("[general]\nmin_bucket_reso = -1", "it must be a whole number of at least 0"),
        ("[general]\nmask_meaning = 'red'", "it must be one of auto, brightness, alpha, colour, nonzero"),
        ("[general]\nalpha_mask = 1", "alpha_mask = 1; it must be true or false"),
        ("[general]\ncaption_extension = 1", "caption_extension = 1; it must be a text"),
    ],
)
def test_what_cannot_be_meant_is_refused(folders: Folders, write, text: str, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        read_config(write(text), folders)


def test_a_dataset_of_videos(folders: Folders, write, photograph, make_video: Callable[..., Path]) -> None:
    photograph("input/project/set/poster.png")
    clip = photograph("input/project/set/other.png").with_name("a.mp4")
    make_video(clip, [np.zeros((48, 64, 3), np.uint8)] * 40, fps=32)
    text = """
[general]
target_frames = [1, 5]
resolution = [64, 48]
[[datasets]]
video_directory = 'set'
frame_extraction = 'slide'
frame_stride = 8
frame_sample = 3
max_frames = 33
source_fps = 30.0
target_fps = 15
[[datasets]]
image_directory = 'set'
"""
    config = read_config(write(text), folders)
    assert config.datasets[0].settings.video == VideoSettings((1, 5), FrameExtraction.SLIDE, 8, 3, 33, 15, 30.0)
    dataset, report = scan_config(config)
    assert [(item.name, item.is_video) for item in dataset.items] == [("a", True), ("other", False), ("poster", False)]
    assert report["counts"]["clips"] == 3 + 2
    assert [part["not_read"] for part in report["datasets"]] == [["other.png", "poster.png"], ["a.mp4"]]


@pytest.mark.parametrize(
    ("rates", "target", "source", "told"),
    [
        ("", 0, 0, False),
        ("source_fps = 30.0", 16, 30, True),
        ("target_fps = 24", 24, 0, False),
        ("source_fps = 30.0\ntarget_fps = 24", 24, 30, False),
    ],
)
def test_frame_rates_mean_what_they_mean_to_the_reference_system(
    folders: Folders, write, tmp_path: Path, rates: str, target: float, source: float, told: bool
) -> None:
    (tmp_path / "input/project/set").mkdir(parents=True)
    config = read_config(write(f"[[datasets]]\nvideo_directory = 'set'\n{rates}"), folders)
    video = config.datasets[0].settings.video
    assert (video.target_fps, video.source_fps) == (target, source)
    said = "set.toml sets source_fps without target_fps; 16 frames per second are taken, as WAN wants (HunyuanVideo: "
    assert any(line.startswith(said) for line in config.messages) is told


def test_settings_that_contradict_each_other(folders: Folders, write, photograph) -> None:
    photograph("input/project/set/a.png")
    text = "[[datasets]]\nimage_directory = 'set'\nmin_bucket_reso = 512\nmax_bucket_reso = 256"
    with pytest.raises(SettingError, match=r"min_bucket \(512\) is larger than max_bucket \(256\)"):
        read_config(write(text), folders)


@pytest.mark.parametrize(
    ("text", "line", "hint"),
    [
        (b"[general]\nresolution = \n", 2, "mend it as TOML"),
        (b"[general]\nresolution = [1,", 2, "mend it as TOML"),
        (b'[[datasets]]\n\nimage_directory = "C:\\Users"\n', 3, "write Windows paths in single quotes"),
        (b"[general]\n# caf\xe9\n", 2, "save the file as UTF-8"),
    ],
)
def test_a_damaged_file_is_named_with_its_line(folders: Folders, write, text: bytes, line: int, hint: str) -> None:
    path = write(text)
    with pytest.raises(DatasetError, match=f"^Line {line} of {re.escape(str(path))} is damaged: .*; {hint}"):
        read_config(path, folders)


def test_a_byte_order_mark_is_no_damage(folders: Folders, write, photograph) -> None:
    photograph("input/project/set/a.png")
    config = read_config(write("\ufeff[[datasets]]\nimage_directory = 'set'"), folders)
    assert config.datasets[0].directory == folders.input / "project/set"


def test_paths_count_from_the_files_folder_and_stay_where_paths_may_lead(
    folders: Folders, write, photograph, tmp_path: Path
) -> None:
    photograph("input/other/a.png")
    photograph("outside/a.png")
    path = write("[[datasets]]\nimage_directory = '../other'")
    assert read_config(path, folders).datasets[0].directory == folders.input / "other"
    assert read_config(write("[[datasets]]\nimage_directory = 'other [input]'"), folders).datasets[0].directory.is_dir()
    for text in ("../../outside", str(tmp_path / "outside")):
        path = write(f"[[datasets]]\nimage_directory = '{text}'")
        with pytest.raises(PathError, match=r"image_directory of .* number 1: .* lies outside the folders"):
            read_config(path, folders)
        allowed = Folders(folders.input, folders.output, absolute_allowed=True)
        assert read_config(path, allowed).datasets[0].directory == tmp_path / "outside"
    with pytest.raises(PathError, match=r"mask_directory of .* was not found"):
        read_config(write("[[datasets]]\nimage_directory = '../other'\nmask_directory = 'masks'"), folders)
