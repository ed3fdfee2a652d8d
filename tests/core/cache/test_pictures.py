"""The pictures behind entries: which latent frames are shown, and which frame each stands for."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from maskloss.core.cache.latents import cache_latents
from maskloss.core.cache.pictures import select_frames, source_pictures
from maskloss.core.dataset.items import Dataset, DatasetItem, LoadSettings
from maskloss.core.errors import ImageError
from maskloss.core.images import load_image
from maskloss.core.video.clips import VideoSettings

from .test_latents_of_clips import JoiningEncoder


def test_frames_are_spread_evenly_and_each_shown_once(tmp_path: Path, dataset: Dataset, encoder) -> None:
    entry = cache_latents(dataset, encoder, tmp_path / "cache")[0].entries[0]
    assert select_frames(entry, 4) == (0,)
    assert select_frames(replace(entry, latent_shape=(16, 9, 8, 8)), 3) == (0, 4, 8)
    assert select_frames(replace(entry, latent_shape=(16, 2, 8, 8)), 4) == (0, 1)


def test_of_one_frame_training_the_frame_to_learn_is_shown(tmp_path: Path, dataset: Dataset, encoder) -> None:
    entry = cache_latents(dataset, encoder, tmp_path / "cache")[0].entries[0]
    assert select_frames(replace(entry, target_index=5, control_indices=(9, 0)), 4) == (1,)


def test_a_photograph_is_shown_at_its_bucket_and_missed_when_gone(tmp_path: Path, dataset: Dataset, encoder) -> None:
    cache, _ = cache_latents(dataset, encoder, tmp_path / "cache")
    entry = cache.entries[0]
    (picture,) = source_pictures(cache, entry, (0,))
    assert picture.shape == (entry.bucket[1], entry.bucket[0], 3)
    original = load_image(entry.source_path)[0]
    assert abs(float(picture.mean()) - float(original.mean())) < 3
    entry.source_path.unlink()
    with pytest.raises(ImageError, match="there is no image file"):
        source_pictures(cache, entry, (0,))


def test_a_clips_latent_frames_stand_for_the_middle_frame_of_those_they_join(
    tmp_path: Path, make_video: Callable[..., Path]
) -> None:
    frames = [np.full((48, 64, 3), number * 25, np.uint8) for number in range(9)]
    path = make_video(tmp_path / "set/film.mp4", frames)
    film = DatasetItem("film", path, LoadSettings((64, 48), video=VideoSettings(target_frames=(9,))))
    cache, _ = cache_latents(Dataset((film,)), JoiningEncoder(), tmp_path / "cache")
    (entry,) = cache.entries
    shown = source_pictures(cache, entry, tuple(range(entry.latent_shape[1])))
    stride = JoiningEncoder.temporal_stride
    expected = [0, *(1 + number * stride + stride // 2 for number in range(entry.latent_shape[1] - 1))]
    assert [round(float(picture.mean()) / 25) for picture in shown] == expected
