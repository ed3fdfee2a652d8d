"""AI Toolkit's datasets, as its training files have them."""

import json

import pytest
from maskloss.core.errors import DatasetError

DATASET = {
    "folder_path": "set",
    "mask_path": "masks",
    "mask_min_value": 0.1,
    "caption_ext": "txt",
    "caption_dropout_rate": 0.05,
    "shuffle_tokens": False,
    "cache_latents_to_disk": True,
    "resolution": [512, 768],
    "network_weight": 1.0,
}


def training(*datasets: dict[str, object]) -> str:
    process = {"type": "sd_trainer", "trigger_word": "ohwx", "datasets": list(datasets)}
    return json.dumps({"job": "extension", "config": {"name": "x", "process": [process]}})


def test_resolutions_masks_and_the_trigger(read, scan, project) -> None:
    config = read("train.json", training(DATASET))
    assert [one.settings.resolution for one in config.datasets] == [(512, 512), (768, 768)]
    dataset, messages = scan(config)
    assert len(dataset.items) == 4
    assert dataset.items[0].caption == "ohwx a first\na second"
    assert dataset.items[0].settings.bucket_no_upscale
    assert any("mask_min_value 0.1 is min_weight there" in text for text in messages)
    assert any("caption_dropout_rate: caption_dropout of Train LoRA decides" in text for text in messages)
    assert any("AI Toolkit resizes masks by: bicubic after a blur" in text for text in messages)


def test_what_is_in_the_caption_already_and_regularisation_images(read, scan, project) -> None:
    (project / "set/a.txt").write_text("photo of [trigger]")
    plain = {"folder_path": "set", "default_caption": "x"}
    dataset, _ = scan(read("train.json", training(plain)))
    assert dataset.items[0].caption == "photo of ohwx"
    assert dataset.items[0].settings.resolution == (512, 512)
    dataset, _ = scan(read("train.json", training({**plain, "is_reg": True})))
    assert (dataset.items[1].caption, dataset.items[1].regularisation) == ("b first\nb second", 0.5)


def test_all_must_have_a_mask_because_there_those_without_count_nowhere(read, scan, project) -> None:
    (project / "masks/b.png").unlink()
    config = read("train.json", training(DATASET))
    assert all(one.settings.require_mask for one in config.datasets)


def test_yaml_is_read_where_its_package_is_there(read, scan, project) -> None:
    pytest.importorskip("yaml", reason="PyYAML is ComfyUI's; without ComfyUI it is a package of ours")
    text = "datasets:\n  - folder_path: set\n    mask_path: masks\n    resolution: [512]\n"
    assert len(scan(read("datasets.yaml", text))[0].items) == 2
    with pytest.raises(DatasetError, match=r"is damaged .*mend it as YAML"):
        read("broken.yaml", "datasets: [")


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"invert_mask": True}, "invert_mask = True, which is not done here: set invert of Mask Loss Settings"),
        ({"loss_multiplier": 2.0}, "loss_multiplier = 2.0"),
        ({"control_path": ["a", "b"]}, "several control paths"),
        ({"resolution": "512"}, "resolution = '512'"),
        ({"folder": "x"}, "folder = 'x', which is not done here"),
    ],
)
def test_what_cannot_be_had_is_refused_by_name(read, project, changed, message) -> None:
    with pytest.raises(DatasetError, match=message):
        read("train.json", training({**DATASET, **changed}))
