"""SimpleTuner's data backends, as its documentation writes them."""

import json

import pytest
from maskloss.core.errors import DatasetError
from maskloss.core.mask_meaning import MaskMeaning

IMAGES = {
    "id": "me",
    "type": "local",
    "dataset_type": "image",
    "conditioning_data": "me-masks",
    "instance_data_dir": "set",
    "caption_strategy": "textfile",
    "metadata_backend": "discovery",
    "resolution": 768,
    "resolution_type": "pixel_area",
    "minimum_image_size": 0,
    "crop": False,
    "repeats": 2,
    "cache_dir_vae": "cache",
}
MASKS = {
    "id": "me-masks",
    "type": "local",
    "dataset_type": "conditioning",
    "conditioning_type": "mask",
    "instance_data_dir": "masks",
}
TEXT = {"id": "text", "type": "local", "dataset_type": "text_embeds", "default": True, "cache_dir": "cache/text"}


def backends(**changed: object) -> str:
    return json.dumps([{**IMAGES, **changed}, MASKS, TEXT])


def test_masks_of_another_backend_and_one_repeat_more(read, scan, project) -> None:
    config = read("multidatabackend.json", backends())
    (one,) = config.datasets
    assert (one.settings.require_mask, one.settings.mask_meaning) == (True, MaskMeaning.BRIGHTNESS)
    assert (one.settings.resolution, one.settings.enable_bucket) == ((768, 768), True)
    dataset, messages = scan(config)
    assert [(item.caption, item.repeats, item.mask_path is not None) for item in dataset.items] == [
        ("a first", 3, True),
        ("b first", 3, True),
    ]
    assert any("draws one line of a caption's file each time" in text for text in messages)
    assert any("does not divide by the weights" in text for text in messages)


def test_segmentations_count_above_black_and_areas_are_in_megapixels(read, project) -> None:
    text = json.dumps([{**IMAGES, "resolution": 0.5, "resolution_type": "area"},
                       {**MASKS, "conditioning_type": "segmentation"}])  # fmt: skip
    (one,) = read("multidatabackend.json", text).datasets
    assert one.settings.mask_meaning is MaskMeaning.NONZERO
    assert one.settings.resolution == (768, 768)
    (one,) = read("m.json", backends(resolution=1.5, resolution_type="area", crop=True)).datasets
    assert (one.settings.resolution, one.settings.enable_bucket) == ((1225, 1225), False)


def test_captions_by_every_strategy(read, scan, project) -> None:
    for changed, expected in (
        ({"caption_strategy": "filename"}, "a"),
        ({"caption_strategy": "instanceprompt", "instance_prompt": "me"}, "me"),
        ({"instance_prompt": "me,", "prepend_instance_prompt": True}, "me, a first"),
    ):
        assert scan(read("m.json", backends(**changed)))[0].items[0].caption == expected


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"resolution_type": "pixel"}, "by their shorter side"),
        ({"conditioning_data": "gone"}, "names gone as conditioning_data, and there is no such backend"),
        ({"is_regularisation_data": True}, "is held to the base model there"),
        ({"type": "aws"}, "is not local"),
        ({"caption_strategy": "parquet"}, "caption_strategy = 'parquet'"),
        ({"colour": 1}, "colour = 1, which is not done here"),
    ],
)
def test_what_cannot_be_had_is_refused_by_name(read, project, changed, message) -> None:
    with pytest.raises(DatasetError, match=message):
        read("m.json", backends(**changed))
