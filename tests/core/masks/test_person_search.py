"""One person's mask in a photograph: sought by the face, or given by hand in a folder of instance masks."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from maskloss.core.dataset.items import DatasetItem, LoadSettings
from maskloss.core.errors import DatasetError, ImageError
from maskloss.core.images import load_mask
from PIL import Image

from .colour_people import BLUE, RED
from .one_person import Step


def test_instance_masks_are_written_binary_and_renewed(step: Step, group: DatasetItem, tmp_path: Path) -> None:
    instances = tmp_path / "instances"
    step(group)
    report = step(group, instance_directory=instances)[1]
    assert report["items"][0]["state"] == "written", "the mask is there, the instance mask is not"
    mask_HW = load_mask(instances / "group.png")
    assert set(np.unique(mask_HW)) == {0, 255}
    assert np.array_equal(mask_HW > 0, load_mask(step.out / "group.png") > 0)
    assert step(group, instance_directory=instances)[1]["items"][0]["state"] == "unchanged"
    step(group, colour=BLUE, instance_directory=instances)
    assert not load_mask(instances / "group.png")[:, :140].any(), "ours are made for who is sought now"
    step(group, colour=(130, 130, 130), instance_directory=instances)
    assert not (instances / "group.png").exists()


def test_an_instance_mask_put_there_is_used_without_looking(step: Step, group: DatasetItem, tmp_path: Path) -> None:
    given = np.zeros((60, 100), np.uint8)
    given[:, 70:90] = 255
    (tmp_path / "instances").mkdir()
    Image.fromarray(given).save(tmp_path / "instances/group.png")
    content = (tmp_path / "instances/group.png").read_bytes()
    dataset, report = step(group, instance_directory=tmp_path / "instances")
    assert step.recognizer.calls == 0
    assert report["items"][0]["decision"] == "given"
    assert dataset.items[0].person is None
    kept_HW = load_mask(step.out / "group.png")
    assert np.array_equal(kept_HW[:, 140:180], load_mask(group.mask_path)[:, 140:180])
    assert not kept_HW[:, :140].any()
    assert (tmp_path / "instances/group.png").read_bytes() == content
    assert step(group, instance_directory=tmp_path / "instances")[1]["items"][0]["state"] == "unchanged"
    Image.fromarray(given[:, :50]).save(tmp_path / "instances/group.png")
    with pytest.raises(ImageError, match="the mask of group is 50x60 and its image 200x120"):
        step(group, instance_directory=tmp_path / "instances")


@pytest.mark.parametrize("writable", [True, False])
@pytest.mark.parametrize("file", ["sub/group.webp", "GROUP.bmp", "sub/Group.tif"])
def test_instance_masks_made_elsewhere_are_found_like_mask_files(
    step: Step, group: DatasetItem, tmp_path: Path, file: str, writable: bool
) -> None:
    instances = tmp_path / "instances"
    (instances / file).parent.mkdir(parents=True)
    given = np.zeros((120, 200), np.uint8)
    given[:, 150:160] = 255
    Image.fromarray(given).save(instances / file, **({"lossless": True} if file.endswith("webp") else {}))
    item = replace(group, name="sub/group")
    for state in ("written", "unchanged"):
        report = step(item, instance_directory=instances, instances_writable=writable)[1]
        assert [(row["state"], row["decision"]) for row in report["items"]] == [(state, "given")]
    kept_HW = load_mask(step.out / "sub/group.png")
    assert np.array_equal(kept_HW > 0, (given > 0) & (load_mask(group.mask_path) > 0))
    assert [path for path in instances.rglob("*") if path.is_file()] == [instances / file]


def test_a_folder_that_is_only_read_stays_as_it_is_and_the_missing_masks_are_made(
    step: Step, group: DatasetItem, scene: Callable[..., Path], tmp_path: Path
) -> None:
    other = DatasetItem("other", scene("other", (80, RED), (140, BLUE)), LoadSettings())
    instances = tmp_path / "instances"
    instances.mkdir()
    Image.new("L", (200, 120), 255).save(instances / "other.png")
    for _ in range(2):
        report = step(group, other, instance_directory=instances, instances_writable=False)[1]
        assert {row["name"]: row["decision"] for row in report["items"]} == {"group": "match", "other": "given"}
        assert [path.name for path in instances.iterdir()] == ["other.png"]
        assert report["warnings"] == [
            f"{instances} has no masks of 1 items and is only read, so what was found is not written there."
        ]


def test_two_instance_masks_of_one_photograph_and_the_photographs_themselves_are_errors(
    step: Step, group: DatasetItem, tmp_path: Path
) -> None:
    instances = tmp_path / "instances"
    step(group, instance_directory=instances)
    Image.new("L", (200, 120), 255).save(instances / "group.webp")
    with pytest.raises(DatasetError, match="Two instance mask files could belong to group"):
        step(group, instance_directory=instances)
    with pytest.raises(DatasetError, match="holds the photograph group itself"):
        step(group, instance_directory=group.media_path.parent, instances_writable=False)


def test_an_instance_mask_of_ours_is_not_taken_for_another_photograph(
    step: Step, group: DatasetItem, scene: Callable[..., Path], tmp_path: Path
) -> None:
    instances = tmp_path / "instances"
    step(group, instance_directory=instances)
    moved = DatasetItem("sub/group", scene("sub/group", (20, RED), (140, BLUE)), LoadSettings())
    report = step(moved, instance_directory=instances)[1]
    assert [(row["name"], row["decision"]) for row in report["items"]] == [("sub/group", "match")]
    assert load_mask(instances / "sub/group.png")[60, 40] == 255


def test_an_instance_mask_edited_for_someone_else_is_an_error(step: Step, group: DatasetItem, tmp_path: Path) -> None:
    instances = tmp_path / "instances"
    step(group, instance_directory=instances)
    edited = load_mask(instances / "group.png")
    edited[:60] = 0
    Image.fromarray(edited).save(instances / "group.png")
    step(group, instance_directory=instances)
    assert not load_mask(step.out / "group.png")[:60].any()
    with pytest.raises(DatasetError, match="was edited by hand for another person"):
        step(group, colour=BLUE, instance_directory=instances)
