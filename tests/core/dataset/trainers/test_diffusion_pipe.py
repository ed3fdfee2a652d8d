"""diffusion-pipe's dataset files, as its example writes them."""

import json

import pytest
from maskloss.core.errors import DatasetError

FILE = """
resolutions = [512, [1280, 720]]
enable_ar_bucket = true
min_ar = 0.5
max_ar = 2.0
num_ar_buckets = 7
frame_buckets = [1, 33]

[[directory]]
path = "set"
mask_path = "masks"
num_repeats = 2
"""


def test_every_picture_comes_at_every_resolution(read, scan, project) -> None:
    (project / "masks/b.png").unlink()
    config = read("set.toml", FILE)
    assert [one.settings.resolution for one in config.datasets] == [(512, 512), (960, 960)]
    assert config.datasets[0].settings.video.target_frames == (33,)
    dataset, messages = scan(config)
    assert sorted((item.name, item.repeats) for item in dataset.items) == [
        ("set-1/a", 2), ("set-1/b", 2), ("set-2/a", 2), ("set-2/b", 2),
    ]  # fmt: skip
    assert [item.mask_path is None for item in dataset.items] == [False, True, False, True], "it counts fully"
    assert dataset.items[0].caption == "a first\na second"
    assert any("leaves photographs without a caption out" in text for text in messages)


def test_captions_of_one_file_count_before_text_files(read, scan, project) -> None:
    (project / "set/captions.json").write_text(json.dumps({"a.jpg": ["of the list"], "b.png": ["b too", "again"]}))
    dataset, _ = scan(read("set.toml", FILE.replace("[512, [1280, 720]]", "[512]")))
    assert [item.caption for item in dataset.items] == ["of the list", "b too"]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("[1, 33]", "[1, 33, 65]", "frame_buckets .* the longest of which fits a video counts there"),
        ("min_ar = 0.5", "size_buckets = [[512, 512, 1]]", "size_buckets = .*: write resolutions"),
        ("[512, [1280, 720]]", '["512"]', "'512' among its resolutions"),
        ('mask_path = "masks"', 'mask_folder = "masks"', "mask_folder = 'masks', which is not done here"),
    ],
)
def test_what_cannot_be_had_is_refused_by_name(read, project, old, new, message) -> None:
    with pytest.raises(DatasetError, match=message):
        read("set.toml", FILE.replace(old, new))
