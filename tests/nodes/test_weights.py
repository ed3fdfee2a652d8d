from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from maskloss.core.draw.overlay import FACE_COLOUR, weight_colours
from maskloss.core.errors import ImageError, SettingError
from maskloss.core.host import LocalHost, use_host
from maskloss.core.mask_weights import MaskLossSettings
from maskloss.core.parts.part_map import SCHEMES, PartMap
from maskloss.nodes.weights import (
    MaskLossMergeAlpha,
    MaskLossPartsFromClassMap,
    MaskLossPartsToMask,
    MaskLossPreviewWeights,
    MaskLossSegmentParts,
    MaskLossWeightedMask,
)
from PIL import Image

LABELS = np.array([[0, 1], [2, 3]], np.uint8).repeat(16, 0).repeat(16, 1)
PARTS = (PartMap(LABELS, SCHEMES["maskloss_4"]),)


class Brightest:
    """Calls everything that is not black a face."""

    name = identity = "brightest"
    approximate = False

    def segment(self, rgb_HWC: np.ndarray) -> PartMap:
        return PartMap((rgb_HWC.max(axis=2) > 0).astype(np.uint8), SCHEMES["maskloss_4"])


@pytest.fixture(autouse=True)
def host(tmp_path: Path):
    with use_host(LocalHost(tmp_path, tmp_path)) as host:
        yield host


def test_every_picture_of_a_batch_gets_its_parts() -> None:
    image = torch.zeros(2, 8, 8, 3)
    image[1, :4] = 1
    answer = MaskLossSegmentParts().run(image=image, segmenter=Brightest())
    parts, preview = answer["result"]
    assert [int(part_map.label_HW.sum()) for part_map in parts] == [0, 32]
    assert preview.shape[0] == 2
    assert len(answer["ui"]["images"]) == 2


def test_tiers_are_exact() -> None:
    weights, overlay = MaskLossWeightedMask().run(parts=PARTS)["result"]
    assert weights.shape == (1, 32, 32)
    corners = weights[0, ::16, ::16].flatten().tolist()
    assert corners == [0.0, 1.0, float(np.float32(80) / np.float32(255)), float(np.float32(128) / np.float32(255))]
    assert overlay.shape[-1] == 3


def test_class_weights_and_masks_act() -> None:
    weights, _ = MaskLossWeightedMask().run(parts=PARTS, class_weights="Hair=255", face=torch.ones(32, 32))["result"]
    assert float(weights[0, 20, 4]) == 1.0
    assert float(weights[0, 4, 4]) == 1.0, "a face mask stands above everything"
    assert MaskLossWeightedMask.VALIDATE_INPUTS(class_weights="Hair=300") != True  # noqa: E712 - a sentence is truthy
    with pytest.raises(SettingError, match="none is connected"):
        MaskLossWeightedMask().run()


def test_a_batch_of_masks_shares_one_picture_and_sizes_must_agree() -> None:
    masks = torch.zeros(3, 32, 32)
    masks[2] = 1
    image = torch.zeros(1, 32, 32, 3)
    weights, overlay = MaskLossWeightedMask().run(face=masks, image=image)["result"]
    assert weights[:, 0, 0].tolist() == [0, 0, 1]
    assert overlay.shape[0] == 3
    with pytest.raises(ImageError, match="hair holds 2 and face holds 3"):
        MaskLossWeightedMask().run(face=masks, hair=masks[:2])
    with pytest.raises(ImageError, match="weights is 32x32 and image is 16x8"):
        MaskLossWeightedMask().run(face=masks, image=torch.zeros(1, 8, 16, 3))


def test_parts_to_mask() -> None:
    (mask,) = MaskLossPartsToMask().run(parts=PARTS, classes="face, Hair")
    assert mask[0, ::16, ::16].flatten().tolist() == [0, 1, 1, 0]
    with pytest.raises(SettingError, match="classes is empty"):
        MaskLossPartsToMask().run(parts=PARTS, classes=" , ")


def test_parts_come_from_a_class_map_of_another_pack() -> None:
    hair = SCHEMES["sapiens2_29"].names.index("Hair")
    class_map = torch.zeros(2, 4, 6)
    class_map[1, :2] = hair / 28
    (parts,) = MaskLossPartsFromClassMap().run(class_map=class_map, scheme="sapiens2_29")
    (hair_mask,) = MaskLossPartsToMask().run(parts=parts, classes="hair")
    assert hair_mask.sum(dim=(1, 2)).tolist() == [0, 12]
    (over_255,) = MaskLossPartsFromClassMap().run(
        class_map=torch.full((4, 6), hair / 255), scheme="sapiens2_29", encoding="id/255"
    )
    assert np.unique(over_255[0].label_HW).tolist() == [hair]


def test_what_is_no_class_map_is_refused() -> None:
    node = MaskLossPartsFromClassMap()
    with pytest.raises(SettingError, match="values from 0 to 3, expected id/255"):
        node.run(class_map=torch.from_numpy(LABELS.astype(np.float32)), scheme="maskloss_4", encoding="id/255")
    with pytest.raises(SettingError, match="between two classes"):
        node.run(class_map=torch.full((4, 4), 0.4), scheme="maskloss_4")
    with pytest.raises(ImageError, match="NaN"):
        node.run(class_map=torch.full((4, 4), float("nan")), scheme="maskloss_4")
    with pytest.raises(ImageError, match="holds no picture"):
        node.run(class_map=torch.zeros(0, 4, 4), scheme="maskloss_4")
    with pytest.raises(SettingError, match="scheme is 'lip'"):
        node.run(class_map=torch.zeros(4, 4), scheme="lip")


def test_merge_alpha_keeps_colours_under_weight_zero(tmp_path: Path) -> None:
    rgb = np.random.default_rng(1).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    image = torch.from_numpy(rgb.astype(np.float32) / 255)[None].repeat(2, 1, 1, 1)
    answer = MaskLossMergeAlpha().run(image=image, weights=torch.zeros(5, 7), filename_prefix="a/b", caption="words")
    rgba, paths = answer["result"]
    assert rgba.shape == (2, 5, 7, 4)
    assert paths == [str(tmp_path / "a/b_00001.png"), str(tmp_path / "a/b_00002.png")]
    saved = np.asarray(Image.open(paths[1]))
    assert np.array_equal(saved[..., :3], rgb)
    assert not saved[..., 3].any()
    assert Path(paths[0]).with_suffix(".txt").read_text() == "words"
    assert answer["ui"]["images"][0] == {"filename": "b_00001.png", "subfolder": "a", "type": "output"}


def test_preview_says_what_training_would_use() -> None:
    weights = torch.zeros(16, 24)
    weights[:, :12] = 1
    settings = MaskLossSettings(gamma=0.5, min_weight=0.1, huber_delta=2.0)
    picture, text = MaskLossPreviewWeights().run(weights=weights, mask_loss=settings)["result"]
    statistics = json.loads(text)
    assert picture.shape == (1, 16, 24, 3)
    assert statistics["grid"] == [3, 2]
    assert statistics["coverage"] == 0.5
    assert statistics["least"] == pytest.approx(0.1)
    assert statistics["most"] == 1.0
    assert "huber_delta" in statistics["messages"][0]
    _, plain = MaskLossPreviewWeights().run(weights=weights.repeat(2, 1, 1), image=torch.zeros(1, 16, 24, 3))["result"]
    assert [row["least"] for row in json.loads(plain)] == [0.0, 0.0]


def test_overlay_opacity_changes_pictures_and_nothing_else() -> None:
    image = torch.full((1, 64, 64, 3), 0.4)
    weights = torch.zeros(64, 64)
    weights[:, 32:] = 1

    def seen(opacity: float) -> list[torch.Tensor]:
        segment = MaskLossSegmentParts().run(image=image, segmenter=Brightest(), overlay_opacity=opacity)
        parts, preview = segment["result"]
        tiers, overlay = MaskLossWeightedMask().run(face=weights, image=image, overlay_opacity=opacity)["result"]
        heat_map, text = MaskLossPreviewWeights().run(weights=weights, image=image, overlay_opacity=opacity)["result"]
        assert parts[0].label_HW.all()
        assert torch.equal(tiers[0], weights)
        assert json.loads(text)["coverage"] == 0.5
        return [preview, overlay, heat_map]

    least = torch.tensor(weight_colours(np.zeros((1, 1)))[0, 0] / 255.0).float()
    colours = [torch.tensor(FACE_COLOUR) / 255, least, least]
    for without, alone, colour in zip(seen(0.0), seen(1.0), colours, strict=True):
        # The legend takes the lowest part.
        assert torch.allclose(without[0, :32], torch.tensor(0.4), atol=0.01)
        assert torch.allclose(alone[0, :32, :8], colour, atol=0.01)


def test_weights_without_a_picture_have_their_full_colours() -> None:
    weights = torch.ones(64, 64)
    _, overlay = MaskLossWeightedMask().run(face=weights, overlay_opacity=0.1)["result"]
    assert torch.allclose(
        overlay[0, 0, 0] * 255, torch.tensor(weight_colours(np.ones((1, 1)))[0, 0].astype(np.float32))
    )
