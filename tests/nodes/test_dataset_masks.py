"""Where BuildMasks writes when nothing is said: neither two datasets nor two settings of one meet in a folder."""

from pathlib import Path

import numpy as np
import pytest
from maskloss.core.host import LocalHost, use_host
from maskloss.core.images import load_mask, save_image
from maskloss.core.parts.part_map import SCHEMES, PartMap
from maskloss.nodes.dataset import MaskLossLoadDataset
from maskloss.nodes.dataset_masks import MaskLossDatasetBuildMasks, MaskLossDatasetKeepPerson


class AllFace:
    """Everything is face."""

    name = "all face"
    identity = "all face/1"
    approximate = False

    def segment(self, rgb_HWC: np.ndarray) -> PartMap:
        return PartMap(np.ones(rgb_HWC.shape[:2], np.uint8), SCHEMES["maskloss_4"])


@pytest.fixture
def host(tmp_path: Path):
    for name in ("a/one.png", "a/sub/two.png", "b/one.png"):
        save_image(tmp_path / "in" / name, np.full((64, 64, 3), 90, np.uint8))
    with use_host(LocalHost(tmp_path / "in", tmp_path / "out")) as local:
        yield local


def built(directory: str, face_weight: int = 255) -> Path:
    dataset = MaskLossLoadDataset().run(directory=directory, recursive=True)["result"][0]
    masked = MaskLossDatasetBuildMasks().run(dataset=dataset, segmenter=AllFace(), face_weight=face_weight)
    return masked["result"][0].items[0].mask_path


def test_two_settings_in_one_graph_keep_their_own_masks(host):
    strong, weak = built("a"), built("a", face_weight=100)
    assert strong != weak
    assert (load_mask(strong) == 255).all()
    assert (load_mask(weak) == 100).all()


def test_two_datasets_keep_their_own_masks_and_a_rerun_finds_its_own(host, tmp_path):
    first = built("a")
    assert built("b") != first
    save_image(tmp_path / "in" / "a/another/photo.png", np.full((64, 64, 3), 20, np.uint8))
    assert built("a").parent.parent == first.parent


def test_a_mask_edited_by_hand_is_seen_when_the_graph_is_queued_again(host, tmp_path, next_tick):
    keys = (
        lambda: MaskLossDatasetBuildMasks.IS_CHANGED(output_directory="", segmenter=None),
        lambda: MaskLossDatasetKeepPerson.IS_CHANGED(instance_directory="maskloss/masks"),
    )
    nothing = [key() for key in keys]
    mask = built("a")
    assert [key() for key in keys] == nothing, "what the node writes does not run it again"
    next_tick()
    save_image(mask, np.zeros((64, 64), np.uint8))
    for key, before in zip(keys, nothing, strict=True):
        assert key() != before
        assert key() == key()
    assert built("a") == mask
    assert (load_mask(mask) == 0).all(), "and kept"
    put = tmp_path / "in/people/one.png"
    before = MaskLossDatasetKeepPerson.IS_CHANGED(instance_directory="people")
    save_image(put, np.zeros((64, 64), np.uint8))
    assert MaskLossDatasetKeepPerson.IS_CHANGED(instance_directory="people") != before, "under input too"
    assert "leads out of" in MaskLossDatasetBuildMasks.IS_CHANGED(output_directory="../..")
