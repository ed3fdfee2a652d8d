"""sd-scripts' dataset files, as its documentation writes them."""

import pytest
from maskloss.core.dataset.load import load_item
from maskloss.core.errors import DatasetError, MaskMissingError
from maskloss.core.mask_meaning import MaskMeaning

FILE = """
[general]
shuffle_caption = true
caption_extension = ".txt"
keep_tokens = 1

[[datasets]]
resolution = [512, 768]
batch_size = 4
enable_bucket = true
bucket_reso_steps = 32

  [[datasets.subsets]]
  image_dir = "set"
  conditioning_data_dir = "masks"
  num_repeats = 3
  caption_prefix = "photo of"
  flip_aug = false
"""


def test_masks_size_repeats_and_captions(read, scan, project) -> None:
    config = read("set.toml", FILE)
    (one,) = config.datasets
    assert one.settings.resolution == (512, 768)
    assert (one.settings.enable_bucket, one.settings.bucket_step) == (True, 32)
    assert (one.settings.min_bucket, one.settings.max_bucket) == (256, 1024)
    assert (one.settings.require_mask, one.settings.mask_meaning) == (True, MaskMeaning.BRIGHTNESS)
    dataset, messages = scan(config)
    assert [(item.name, item.caption, item.repeats) for item in dataset.items] == [
        ("a", "photo of a first", 3),
        ("b", "photo of b first", 3),
    ]
    assert all(item.mask_path is not None for item in dataset.items)
    assert "set.toml sets shuffle_caption: captions are cached as they are written." in messages
    assert not any("flip_aug" in text for text in messages), "what is off is not told"
    assert any("sd-scripts resizes masks by: area" in text and "which is the same" in text for text in messages)
    assert any("divides the weighted error by the number of elements" in text for text in messages)


def test_a_photograph_without_its_mask_is_an_error_as_there(read, scan, project) -> None:
    (project / "masks/b.png").unlink()
    bare = next(item for item in scan(read("set.toml", FILE))[0].items if item.mask_path is None)
    with pytest.raises(MaskMissingError, match="b"):
        load_item(bare)


def test_regularisation_class_tokens_alpha_and_metadata(read, scan, project, photograph, tmp_path) -> None:
    photograph("input/project/reg/r.png", alpha=7)
    (project / "meta.json").write_text('{"a": {"caption": "a of the list", "tags": "x, y"}, "set/b": {"caption": "b"}}')
    text = """
    [[datasets]]
    resolution = 512
      [[datasets.subsets]]
      image_dir = "reg"
      is_reg = true
      alpha_mask = true
      class_tokens = "woman"
    [[datasets]]
    resolution = 512
      [[datasets.subsets]]
      image_dir = "set"
      metadata_file = "meta.json"
    """
    dataset, _ = scan(read("set.toml", text))
    found = {item.name: item for item in dataset.items}
    assert (found["r"].regularisation, found["r"].caption, found["r"].settings.alpha_mask) == (0.5, "woman", True)
    assert (found["a"].caption, found["b"].caption) == ("a of the list, x, y", "b")
    assert found["a"].settings.enable_bucket is False


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("num_repeats = 3", "enable_wildcard = true", "has enable_wildcard = True, which is not done here: write one"),
        ("num_repeats = 3", "num_repeat = 3", "has num_repeat = 3, which is not done here: it is not known what it"),
        ("num_repeats = 3", "num_repeats = 0", "num_repeats = 0; it must be a whole number above 0"),
        ("resolution = [512, 768]", "", "has no resolution, which is then on sd-scripts' command line"),
        ('image_dir = "set"', "", "has no image_dir"),
    ],
)
def test_what_cannot_be_had_is_refused_by_name(read, project, old, new, message) -> None:
    with pytest.raises(DatasetError, match=message):
        read("set.toml", FILE.replace(old, new))
