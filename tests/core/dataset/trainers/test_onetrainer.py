"""OneTrainer's concepts, as its concept file has them."""

import json

import pytest
from maskloss.core.errors import DatasetError

CONCEPT = {
    "__version": 2,
    "name": "me",
    "path": "set",
    "seed": 1,
    "enabled": True,
    "type": "STANDARD",
    "include_subdirectories": False,
    "image_variations": 1,
    "text_variations": 1,
    "balancing": 3.0,
    "balancing_strategy": "REPEATS",
    "loss_weight": 1.0,
    "concept_stats": {},
    "image": {
        "__version": 0, "enable_crop_jitter": True, "enable_resolution_override": True, "resolution_override": "768",
        "random_rotate_max_angle": 10.0,
    },
    "text": {"__version": 0, "prompt_source": "sample", "prompt_path": "", "tag_delimiter": ",", "keep_tags_count": 1},
}  # fmt: skip


def test_masks_beside_photographs_repeats_and_first_lines(read, scan, project, mask) -> None:
    mask("input/project/set/a-masklabel.png")
    off = {**CONCEPT, "enabled": False, "path": "elsewhere"}
    dataset, messages = scan(read("concepts.json", json.dumps([CONCEPT, off])))
    assert [(item.name, item.caption, item.repeats) for item in dataset.items] == [
        ("a", "a first", 3),
        ("b", "b first", 3),
    ]
    assert [item.mask_path is None for item in dataset.items] == [False, True], "it counts fully"
    assert dataset.items[0].settings.resolution == (768, 768)
    assert any("enable_crop_jitter: pictures are cached once" in text for text in messages)
    assert not any("random_rotate_max_angle" in text for text in messages)
    assert any("Concept 2 of" in text and "is not enabled" in text for text in messages)
    assert any("unmasked weight is in its configuration" in text for text in messages)
    assert any("OneTrainer resizes masks by: linear" in text for text in messages)


def test_captions_of_names_and_of_the_whole_concept(read, scan, project) -> None:
    names = {**CONCEPT, "text": {"prompt_source": "filename"}}
    assert [item.caption for item in scan(read("c.json", json.dumps([names])))[0].items] == ["a", "b"]
    (project / "prompt.txt").write_text("\nphoto of me\nanother\n")
    whole = {**CONCEPT, "text": {"prompt_source": "concept", "prompt_path": "prompt.txt"}}
    dataset, _ = scan(read("c.json", json.dumps({"concepts": [whole]})))
    assert [item.caption for item in dataset.items] == ["photo of me", "photo of me"]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"balancing": 0.5}, "balanced by 0.5 REPEATS"),
        ({"balancing_strategy": "SAMPLES"}, "balanced by 3 SAMPLES"),
        ({"loss_weight": 0.5}, "has a loss_weight"),
        ({"type": "PRIOR_PREDICTION"}, "is of the type PRIOR_PREDICTION, whose pictures are held to the base model"),
        ({"type": "VALIDATION"}, "has no concept that is enabled and for training"),
        ({"colour": 3}, "has colour = 3, which is not done here"),
    ],
)
def test_what_cannot_be_had_is_refused_by_name(read, project, changed, message) -> None:
    with pytest.raises(DatasetError, match=message):
        read("concepts.json", json.dumps([{**CONCEPT, **changed}]))


def test_a_configuration_that_has_its_concepts_elsewhere_names_them(read) -> None:
    with pytest.raises(DatasetError, match=r"whose concepts are in training_concepts/concepts.json; give that file"):
        read("config.json", json.dumps({"concept_file_name": "training_concepts/concepts.json"}))
