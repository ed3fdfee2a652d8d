"""What stands in other trainers' dataset files, whatever the paths."""

import json
from pathlib import Path
from typing import Any

import pytest
from maskloss.core.dataset.items import LoadSettings
from maskloss.core.dataset.read_toml import read_toml
from maskloss.core.masks.trainer_files import ExportedFolder, Trainer, dataset_file

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


def _toml(content: str, folder: Path) -> dict[str, Any]:
    (folder / "dataset.toml").write_text(content, encoding="utf-8")
    return read_toml(folder / "dataset.toml")


def _values(parsed: object) -> list[object]:
    if isinstance(parsed, dict):
        return [value for each in parsed.values() for value in _values(each)]
    return [value for each in parsed for value in _values(each)] if isinstance(parsed, list) else [parsed]
