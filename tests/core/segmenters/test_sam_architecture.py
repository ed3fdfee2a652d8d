"""A segment-anything model is built to fit its checkpoint, and is named where it is another."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from maskloss.core.errors import UserError
from maskloss.core.segmenters.sam_architecture import build_sam, read_sizes, relative_of, without_prefix

pytest.importorskip("segment_anything")
from segment_anything import SamPredictor
from segment_anything.build_sam import build_sam_vit_b, build_sam_vit_h, build_sam_vit_l
from segment_anything.modeling import Sam


@pytest.mark.parametrize(
    ("build", "width", "blocks"),
    [
        (build_sam_vit_b, 768, (2, 5, 8, 11)),
        (build_sam_vit_l, 1024, (5, 11, 17, 23)),
        (build_sam_vit_h, 1280, (7, 15, 23, 31)),
    ],
)
def test_the_three_published_sizes_are_read_off_their_tensors(build, width: int, blocks: tuple[int, ...]) -> None:
    with torch.device("meta"):
        state = build().state_dict()
    sizes = read_sizes(state)
    assert (sizes.width, sizes.global_blocks) == (width, blocks)
    assert (sizes.grid * sizes.patch_px, sizes.window, sizes.heads) == (1024, 14, {768: 12}.get(width, 16))
    assert (sizes.masks, sizes.score_depth, sizes.decoder_mlp, sizes.mask_width) == (3, 3, 2048, 16)


def test_a_model_built_from_its_tensors_computes_what_the_original_does(tiny_sam: Sam) -> None:
    state = tiny_sam.state_dict()
    ours = build_sam(read_sizes(state), state)
    rgb_HWC = np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8)
    results = []
    for model in (tiny_sam, ours):
        predictor = SamPredictor(model)
        predictor.set_image(rgb_HWC)
        results.append(predictor.predict(np.array([[10.0, 12.0]]), np.array([1]), return_logits=True)[0])
    np.testing.assert_array_equal(*results)


def test_prefixes_come_off_and_what_lies_beside_the_model_is_left_away(tiny_sam: Sam) -> None:
    state = tiny_sam.state_dict()
    wrapped = {f"module.{name}": value for name, value in state.items()} | {"optimizer.step": torch.zeros(1)}
    assert without_prefix(wrapped).keys() == state.keys() == without_prefix(state).keys()
    assert read_sizes(without_prefix(wrapped)) == read_sizes(state)


@pytest.mark.parametrize(
    ("name", "model"),
    [
        ("mask_decoder.hf_token.weight", "SAM-HQ"),
        ("image_encoder.trunk.patch_embed.proj.weight", "SAM 2"),
        ("image_encoder.layers.0.blocks.0.conv1.c.weight", "MobileSAM"),
        ("image_encoder.blocks.0.norm1.weight", None),
    ],
)
def test_its_relatives_are_told_by_their_tensors(name: str, model: str | None) -> None:
    assert relative_of({name: torch.zeros(1)}) == model


def test_what_is_missing_and_what_has_another_shape_is_said(tiny_sam: Sam) -> None:
    state = tiny_sam.state_dict()
    sizes = read_sizes(state)
    with pytest.raises(UserError, match=r"no_mask_embed\.weight.* is missing"):
        read_sizes({name: value for name, value in state.items() if "no_mask_embed" not in name})
    with pytest.raises(UserError, match=r"not a segment-anything 1 checkpoint: .*iou_token"):
        build_sam(sizes, state | {"mask_decoder.iou_token.weight": torch.zeros(1, 7)})
