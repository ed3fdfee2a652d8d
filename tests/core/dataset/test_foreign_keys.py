"""Keys of other trainers' dataset files are called theirs, with what to do."""

import pytest
from maskloss.core.dataset.config_file import read_config
from maskloss.core.dataset.foreign_keys import FOREIGN_KEYS, about_unknown_key
from maskloss.core.errors import DatasetError
from maskloss.core.paths import Folders


@pytest.mark.parametrize("key", sorted(FOREIGN_KEYS))
def test_a_known_key_of_another_trainer_is_no_slip_of_ours(tmp_path, key):
    (tmp_path / "pictures").mkdir()
    for text in (
        f"[general]\n{key} = 1\n[[datasets]]\nimage_directory = 'pictures'\n",
        f"[[datasets]]\nimage_directory = 'pictures'\n{key} = 1\n",
    ):
        (tmp_path / "a.toml").write_text(text)
        with pytest.raises(DatasetError) as caught:
            read_config(tmp_path / "a.toml", Folders(tmp_path, tmp_path))
        program, advice = FOREIGN_KEYS[key]
        assert f"{key}, a key of {program}: {advice}." in str(caught.value)
        assert "did you mean" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[[datasets]]\n[[datasets.subsets]]\nimage_dir = 'x'\n", r"subsets, a key of sd-scripts: write each"),
        ("[[directory]]\npath = 'x'\n", r"directory, a key of diffusion-pipe: write each \[\[directory\]\]"),
        ("resolutions = [512]\n[[directory]]\npath = 'x'\n", "resolutions, a key of diffusion-pipe"),
        ("[[datasets]]\nimage_directory = 'x'\ncaption_dropout_rates = 1\n", "; caption_dropout_rate is a key"),
        ("[[datasets]]\nimage_directory = 'x'\nimage_augmentation = 1\n", "key image_augmentation; known are image_"),
        ("[[datasets]]\nimage_directory = 'x'\nloss_weights = 1\n", "; loss_weight is a key of OneTrainer"),
        ("[[datasets]]\nimage_directory = 'x'\nmask_dir = 'x'\n", r"key mask_dir; did you mean mask_directory\?"),
        ("[[concepts]]\npath = 'x'\n", "concepts, a key of OneTrainer: write each concept"),
        ("[[datasets]]\nimage_directory = 'x'\nresolutoin = 1\n", r"unknown key resolutoin; did you mean resolution\?"),
    ],
)  # fmt: skip
def test_where_and_how_it_is_said(tmp_path, text, message):
    (tmp_path / "a.toml").write_text(text)
    with pytest.raises(DatasetError, match=message):
        read_config(tmp_path / "a.toml", Folders(tmp_path, tmp_path))


def test_no_key_of_ours_is_called_foreign():
    from maskloss.core.dataset.config_file import _ACTING, _ELSEWHERE, _JSONL

    assert not set(FOREIGN_KEYS) & {*_ACTING, *_ELSEWHERE, *_JSONL, "general", "datasets"}
    assert about_unknown_key("control_resolution", tuple(_ACTING)).startswith("control_resolution, a key of musubi")
