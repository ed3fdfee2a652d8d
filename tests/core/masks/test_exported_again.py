"""What was exported for another trainer is the same dataset when its own dataset file is read again; and videos."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from maskloss.core.dataset.config_file import scan_config
from maskloss.core.dataset.items import Dataset, DatasetItem, LoadSettings
from maskloss.core.dataset.load import load_fitted, load_item
from maskloss.core.dataset.read_toml import read_toml
from maskloss.core.dataset.scan import DatasetConfig, scan_dataset
from maskloss.core.dataset.trainer_config import read_any_config
from maskloss.core.errors import DatasetError
from maskloss.core.masks.trainer_files import Trainer
from maskloss.core.masks.trainer_folders import export_folders, why_no_video
from maskloss.core.paths import Folders
from maskloss.core.video.clips import VideoSettings
from PIL import Image

from .conftest import SIZE


@pytest.fixture
def dataset(tmp_path: Path, photograph, mask) -> Dataset:
    photograph("photos/a.jpg", (96, 64), orientation=6)
    photograph("photos/b.png", (96, 64), seed=1)
    mask("masks/a.png", (64, 96), 128)
    mask("masks/b.png", (96, 64), 80)
    for name in "ab":
        (tmp_path / f"photos/{name}.txt").write_text(f"photo of {name}")
    settings = LoadSettings(resolution=(128, 128), bucket_step=64)
    first, second = scan_dataset(DatasetConfig(tmp_path / "photos", tmp_path / "masks", settings=settings))[0].items
    return Dataset((first, replace(second, repeats=3)))


@pytest.mark.parametrize("trainer", [each for each in Trainer if each is not Trainer.MUSUBI_TUNER])
def test_a_trainers_own_file_gives_the_same_weights_again(dataset: Dataset, tmp_path: Path, trainer: Trainer) -> None:
    if trainer is Trainer.AI_TOOLKIT:
        pytest.importorskip("yaml", reason="PyYAML is ComfyUI's; without ComfyUI it is a package of ours")
    file, _ = export_folders(dataset, tmp_path / "out", trainer)
    again, _ = scan_config(read_any_config(file, Folders(tmp_path, tmp_path)))
    assert [item.repeats for item in again.items] == [1, 3]
    for item, twin in zip(dataset.items, again.items, strict=True):
        before, after = (load_fitted(each, (128, 128)) for each in (item, twin))
        assert np.array_equal(before.weights_THW, after.weights_THW)
        if trainer is not Trainer.SD_SCRIPTS:  # whose pictures are cut to the bucket
            assert np.array_equal(load_item(item).rgb_HWC, load_item(twin).rgb_HWC)
        assert (twin.caption, twin.settings.resolution) == (item.caption, (128, 128))


def test_videos_are_written_where_their_masks_are_read(clips: DatasetItem, tmp_path: Path, mask) -> None:
    still = replace(clips, mask_path=mask("still.png", SIZE))
    for trainer in Trainer:
        output = tmp_path / trainer.value
        if trainer is Trainer.DIFFUSION_PIPE:
            file, report = export_folders(Dataset((still,)), output, trainer)
            assert read_toml(file)["directory"][0]["frame_buckets"] == [1, max(still.settings.video.lengths)]
            with Image.open(output / f"masks/{still.name}.png") as picture:
                assert picture.size == SIZE
                assert set(np.unique(np.asarray(picture))) == {0, 255}
        elif trainer is Trainer.MUSUBI_TUNER:
            file, report = export_folders(Dataset((still,)), output, trainer)
            assert "video_directory" in read_toml(file)["datasets"][0]
        else:
            with pytest.raises(DatasetError, match=r"nothing in the dataset that .* would train on with its mask"):
                export_folders(Dataset((still,)), output, trainer)
            continue
        assert report["counts"]["items"] == 1
        copy = output / f"videos/{still.name}{still.media_path.suffix}"
        assert copy.read_bytes() == still.media_path.read_bytes()


def test_a_moving_mask_is_left_out_and_said(clips: DatasetItem, dataset: Dataset, tmp_path: Path) -> None:
    moving = replace(clips, name="moving", mask_path=clips.media_path)
    both = Dataset((*dataset.items, moving))
    report = export_folders(both, tmp_path / "out", Trainer.DIFFUSION_PIPE)[1]
    assert report["counts"]["videos_left_out"] == 1
    (left,) = report["left_out"]
    assert left == {"name": "moving", "reason": "their masks move, and it reads one picture for all of a video"}
    reference = export_folders(both, tmp_path / "reference", Trainer.BLISSFUL_TUNER)[1]
    assert "maskloss cache export writes the files" in reference["left_out"][0]["reason"]
    bare = replace(moving, mask_path=None)
    report = export_folders(Dataset((*dataset.items, bare)), tmp_path / "bare", Trainer.BLISSFUL_TUNER)[1]
    assert report["counts"]["videos_left_out"] == 0


def test_videos_that_are_trained_as_single_frames_are_left_out_where_nobody_trains_these(
    clips: DatasetItem, tmp_path: Path, mask
) -> None:
    """diffusion-pipe (8f83dbf) leaves a video that fills no bucket of more than one frame out without a word."""
    still = replace(clips, mask_path=mask("still.png", SIZE))
    single = replace(still, settings=replace(still.settings, video=VideoSettings(target_frames=(1,))))
    with pytest.raises(DatasetError, match="it trains no single frames of videos"):
        export_folders(Dataset((single,)), tmp_path / "out", Trainer.DIFFUSION_PIPE)
    assert why_no_video(single, Trainer.MUSUBI_TUNER) == ""


def test_masks_that_were_corrected_frame_by_frame_move(clips: DatasetItem, tmp_path: Path) -> None:
    still = replace(clips, mask_path=tmp_path / "masks/clip.png")
    assert why_no_video(still, Trainer.DIFFUSION_PIPE) == ""
    corrected = replace(still, correction_path=tmp_path / "clip.frames")
    assert why_no_video(corrected, Trainer.DIFFUSION_PIPE).startswith("their masks move")
    assert why_no_video(replace(corrected, mask_path=None), Trainer.BLISSFUL_TUNER) != ""
