"""What stands in other trainers' dataset files, whatever the paths."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from maskloss.core.dataset.items import LoadSettings
from maskloss.core.dataset.read_toml import read_toml
from maskloss.core.masks.trainer_files import ExportedFolder, Trainer, dataset_file
from maskloss.core.video.clips import VideoSettings

ODD = Path('/x/my "own" photos\\and 猫')


@pytest.mark.parametrize("trainer", list(Trainer))
def test_paths_of_any_letters_survive_every_form(trainer: Trainer, tmp_path: Path) -> None:
    settings = LoadSettings(resolution=(512, 512), bucket_no_upscale=True, min_bucket=256, max_bucket=1024)
    folder = ExportedFolder(ODD / "images", ODD / "masks", (512, 512), 2, False, settings)
    name, content, advice = dataset_file(trainer, [folder], ODD)
    assert advice.endswith(".")
    wanted = str(ODD / "images")
    if name.endswith(".toml"):
        assert wanted in _values(_toml(content, tmp_path))
    elif name.endswith(".json"):
        assert wanted in _values(json.loads(content))
    else:
        assert f"folder_path: {json.dumps(wanted, ensure_ascii=False)}" in content
    assert folder.side == 512


def test_buckets_are_those_of_the_dataset(tmp_path: Path) -> None:
    settings = LoadSettings(resolution=(960, 544), enable_bucket=False, bucket_step=32, min_bucket=256, max_bucket=1024)
    folder = ExportedFolder(ODD / "images", ODD / "masks", (960, 544), 1, False, settings)
    (table,) = _toml(dataset_file(Trainer.SD_SCRIPTS, [folder], ODD)[1], tmp_path)["datasets"]
    assert (table["enable_bucket"], table["bucket_reso_steps"], table["bucket_no_upscale"]) == (False, 32, False)
    assert (table["min_bucket_reso"], table["max_bucket_reso"]) == (256, 1024)
    # blissful-tuner's schema has neither steps nor bounds, and refuses a file that names them (e6393cd).
    (table,) = _toml(dataset_file(Trainer.BLISSFUL_TUNER, [folder], ODD)[1], tmp_path)["datasets"]
    assert (table["enable_bucket"], table["bucket_no_upscale"]) == (False, False)
    assert not {"bucket_reso_steps", "min_bucket_reso", "max_bucket_reso"} & table.keys()


def test_simpletuner_cuts_masks_where_it_cuts_pictures_and_looks_for_no_captions_of_masks() -> None:
    """In its own loader (bc8e6ab): with a caption_strategy, masks need captions of their own (FileNotFoundError).
    Without a crop_style, what a bucket leaves over is cut off at random, of a mask elsewhere than of its picture."""
    folder = ExportedFolder(ODD / "images", ODD / "masks", (512, 512), 3, False, LoadSettings(resolution=(512, 512)))
    images, masks, _ = json.loads(dataset_file(Trainer.SIMPLETUNER, [folder], ODD)[1])
    assert (images["caption_strategy"], masks.get("caption_strategy")) == ("textfile", None)
    assert (images["crop"], images["crop_style"]) == (masks["crop"], masks["crop_style"]) == (False, "center")
    assert (images["conditioning_data"], masks["conditioning_type"]) == (masks["id"], "mask")


def test_diffusion_pipe_has_a_bucket_for_every_picture_and_those_of_its_example() -> None:
    """diffusion-pipe (8f83dbf) puts a picture into the nearest of geomspace(min_ar, max_ar, num_ar_buckets) and cuts it
    to that: in its own loader, pictures of 333x999 px lost a third of their height with 0.5 to 2.0."""

    def buckets(*aspects: tuple[float, float]) -> list[float]:
        settings = LoadSettings(resolution=(512, 512))
        folders = [
            ExportedFolder(ODD / f"images_{n}", ODD / "masks", (512, 512), 1, False, settings, aspects=each)
            for n, each in enumerate(aspects)
        ]
        lines = dataset_file(Trainer.DIFFUSION_PIPE, folders, ODD)[1].splitlines()
        values = dict(line.split(" = ") for line in lines[:5])
        count = int(values["num_ar_buckets"])
        return np.geomspace(float(values["min_ar"]), float(values["max_ar"]), count).round(3).tolist()

    usual = [0.5, 0.595, 0.707, 0.841, 1.0, 1.189, 1.414, 1.682, 2.0]
    assert buckets((0.5, 2.0)) == buckets((1.0, 1.0), (0.6, 1.5)) == usual
    wide = buckets((1 / 3, 1.0), (0.9, 4.0))
    assert [each for each in wide if 0.5 <= each <= 2] == usual
    assert (wide[0], wide[-1]) == (0.297, 4.0)
    nearest = min(wide, key=lambda each: abs(np.log(each * 3)))
    assert abs(np.log2(nearest * 3)) <= 1 / 8


def test_diffusion_pipe_may_take_every_length_of_clips() -> None:
    """In its own loader (8f83dbf) a video that fills no bucket of more than one frame is left out."""
    video = VideoSettings(target_frames=(1, 17, 33))
    settings = LoadSettings(resolution=(512, 512), video=video)
    folder = ExportedFolder(ODD / "videos", ODD / "masks", (512, 512), 1, False, settings, videos=True)
    assert "frame_buckets = [1, 17, 33]" in dataset_file(Trainer.DIFFUSION_PIPE, [folder], ODD)[1].splitlines()


def _toml(content: str, folder: Path) -> dict[str, Any]:
    (folder / "dataset.toml").write_text(content, encoding="utf-8")
    return read_toml(folder / "dataset.toml")


def _values(parsed: object) -> list[object]:
    if isinstance(parsed, dict):
        return [value for each in parsed.values() for value in _values(each)]
    return [value for each in parsed for value in _values(each)] if isinstance(parsed, list) else [parsed]
