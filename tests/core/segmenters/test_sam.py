from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from maskloss.core.errors import ModelRunError, UserError
from maskloss.core.people.faces import Face
from maskloss.core.people.regions import Pointing
from maskloss.core.segmenters.sam import Prompt, SamPersonSegmenter, choose_mask, prompt_for
from safetensors.torch import save_file
from segment_anything import SamPredictor
from segment_anything.modeling import Sam

pytest.importorskip("segment_anything")


def face_at(index: int, x: float, y: float, side: float = 20.0, down: tuple[float, float] = (0.0, 1.0)) -> Face:
    centre, along = np.array([x, y]), np.array(down) * side / 4
    across = np.array([along[1], -along[0]])
    points = [centre - along - across, centre - along + across, centre, centre + along, centre, centre]
    box = (x - side / 2, y - side / 2, x + side / 2, y + side / 2)
    return Face(index, box, 0.9, np.stack(points), None, np.ones(2, np.float32))


@pytest.fixture
def checkpoint(tiny_sam: Sam, tmp_path: Path) -> Path:
    torch.save(tiny_sam.state_dict(), tmp_path / "named_vit_h_but_tiny.pth")
    return tmp_path / "named_vit_h_but_tiny.pth"


def test_the_masks_are_segment_anythings_own_for_the_prompt(tiny_sam: Sam, checkpoint: Path) -> None:
    rgb_HWC = np.random.default_rng(1).integers(0, 255, (48, 64, 3), dtype=np.uint8)
    faces = [face_at(0, 16, 12, 8), face_at(1, 44, 12, 8)]
    masks = SamPersonSegmenter(checkpoint).segment(rgb_HWC, faces)
    predictor = SamPredictor(tiny_sam)
    predictor.set_image(rgb_HWC)
    expected: dict[int, np.ndarray] = {}
    for face in faces:
        prompt = prompt_for(faces, face.index, (64, 48))
        logits_MHW, scores_M, _ = predictor.predict(
            np.concatenate([prompt.on_N2, prompt.off_N2]),
            np.array([1] * len(prompt.on_N2) + [0] * len(prompt.off_N2)),
            prompt.box_4,
            return_logits=True,
        )
        chosen = choose_mask(logits_MHW, scores_M, prompt, np.array(face.box))
        if chosen is not None:
            expected[face.index] = 1 / (1 + np.exp(-logits_MHW[chosen]))
    assert expected, "the seed must give at least one mask over a face"
    assert [mask.face_index for mask in masks] == list(expected)
    for mask in masks:
        assert mask.probability_HW.shape == (48, 64)
        np.testing.assert_allclose(mask.probability_HW, expected[mask.face_index], atol=1e-5)


def test_masks_have_the_size_of_a_large_picture(checkpoint: Path) -> None:
    rgb_HWC = np.random.default_rng(1).integers(0, 255, (96, 130, 3), dtype=np.uint8)
    segmenter = SamPersonSegmenter(checkpoint)
    faces = [face_at(0, 33, 24, 16), face_at(1, 90, 24, 16)]
    masks = segmenter.segment(rgb_HWC, faces)
    assert masks
    assert all(mask.probability_HW.shape == (96, 130) for mask in masks)
    assert all(mask.probability_HW.min() >= 0 and mask.probability_HW.max() <= 1 for mask in masks)


def test_works_inside_inference_mode_as_comfyui_runs_it(checkpoint: Path) -> None:
    segmenter = SamPersonSegmenter(checkpoint)
    rgb_HWC = np.random.default_rng(1).integers(0, 255, (48, 64, 3), dtype=np.uint8)
    faces = [face_at(0, 16, 12, 8), face_at(1, 44, 12, 8)]
    with torch.inference_mode():
        inside = segmenter.segment(rgb_HWC, faces)
    outside = segmenter.segment(rgb_HWC, faces)
    for a, b in zip(inside, outside, strict=True):
        np.testing.assert_array_equal(a.probability_HW, b.probability_HW)


def test_a_face_outside_the_picture_gets_no_mask(checkpoint: Path) -> None:
    rgb_HWC = np.random.default_rng(1).integers(0, 255, (48, 64, 3), dtype=np.uint8)
    assert SamPersonSegmenter(checkpoint).segment(rgb_HWC, [face_at(0, -50, -50, 8)]) == []


def test_no_face_needs_no_model(tmp_path: Path) -> None:
    assert SamPersonSegmenter(tmp_path / "not there.pth").segment(np.zeros((8, 8, 3), np.uint8), []) == []


def test_safetensors_and_wrapped_checkpoints_load(tiny_sam: Sam, tmp_path: Path, checkpoint: Path) -> None:
    save_file({k: v.contiguous() for k, v in tiny_sam.state_dict().items()}, tmp_path / "a.safetensors")
    torch.save({"model": tiny_sam.state_dict(), "epoch": 3}, tmp_path / "b.pt")
    rgb_HWC = np.random.default_rng(1).integers(0, 255, (48, 64, 3), dtype=np.uint8)
    faces = [face_at(0, 16, 12, 8), face_at(1, 44, 12, 8)]
    counts = {len(SamPersonSegmenter(p).segment(rgb_HWC, faces)) for p in (checkpoint, tmp_path / "a.safetensors")}
    assert counts == {len(SamPersonSegmenter(tmp_path / "b.pt").segment(rgb_HWC, faces))} != {0}


def test_identity_follows_the_files_contents(checkpoint: Path) -> None:
    first = SamPersonSegmenter(checkpoint).identity
    assert SamPersonSegmenter(checkpoint).identity == first
    state = torch.load(checkpoint)
    state["mask_decoder.iou_token.weight"] += 1
    torch.save(state, checkpoint)
    assert SamPersonSegmenter(checkpoint).identity != first


def test_the_prompt_holds_the_body_below_the_face_and_marks_others() -> None:
    faces = [face_at(0, 100, 60), face_at(1, 130, 60), face_at(2, 400, 60)]
    prompt = prompt_for(faces, 0, (500, 300))
    np.testing.assert_allclose(prompt.box_4, [56, 34, 144, 220])
    np.testing.assert_allclose(prompt.on_N2, [[100, 60], [100, 92]])
    np.testing.assert_allclose(prompt.off_N2, [[130, 60]])


def test_the_prompt_follows_a_lying_head_but_not_a_tilted_one() -> None:
    lying = prompt_for([face_at(0, 100, 60, down=(1.0, 0.0))], 0, (500, 300))
    np.testing.assert_allclose(lying.box_4, [74, 16, 260, 104])
    np.testing.assert_allclose(lying.on_N2[1], [132, 60])
    tilted = prompt_for([face_at(0, 100, 60, down=(0.5, 0.86))], 0, (500, 300))
    np.testing.assert_allclose(tilted.on_N2[1], [100, 92])
    unknown = replace(face_at(0, 100, 60), keypoints_K2=np.full((6, 2), np.nan))
    np.testing.assert_allclose(prompt_for([unknown], 0, (500, 300)).on_N2[1], [100, 92])


def test_the_chest_is_not_pointed_at_where_it_is_out_of_sight_or_somebody_elses_face() -> None:
    assert len(prompt_for([face_at(0, 100, 60)], 0, (200, 80)).on_N2) == 1
    assert len(prompt_for([face_at(0, 100, 60), face_at(1, 100, 92)], 0, (200, 300)).on_N2) == 1


def _logits(*boxes: tuple[int, int, int, int]) -> np.ndarray:
    logits_MHW = np.full((len(boxes), 100, 100), -5.0, np.float32)
    for logits_HW, (x0, y0, x1, y1) in zip(logits_MHW, boxes, strict=True):
        logits_HW[y0:y1, x0:x1] = 5
    return logits_MHW


def test_the_whole_person_wins_over_a_better_scored_face_and_a_pair() -> None:
    prompt = Prompt(np.array([0.0, 0, 99, 99]), np.array([[20.0, 20], [20, 50]]), np.array([[80.0, 20]]))
    face = np.array([10.0, 10, 30, 30])
    alone, person, pair = (10, 10, 30, 30), (5, 5, 40, 90), (5, 5, 95, 90)
    logits_MHW = _logits(alone, person, pair)
    assert choose_mask(logits_MHW, np.array([0.9, 0.5, 0.99]), prompt, face) == 1
    assert choose_mask(logits_MHW[[0, 2]], np.array([0.1, 0.99]), prompt, face) == 0
    assert choose_mask(_logits(person, person), np.array([0.5, 0.6]), prompt, face) == 1
    assert choose_mask(_logits((50, 50, 90, 90)), np.array([1.0]), prompt, face) is None
    assert choose_mask(_logits(person), np.array([1.0]), prompt, np.array([-30.0, -30, -5, -5])) is None


def _message(path: Path) -> str:
    with pytest.raises(UserError) as caught:
        SamPersonSegmenter(path).segment(np.zeros((8, 8, 3), np.uint8), [face_at(0, 4, 4, 4)])
    return str(caught.value)


def test_files_that_are_no_checkpoint_are_said(tmp_path: Path) -> None:
    for name, content in (("page.pth", b"<html>"), ("empty.pt", b""), ("broken.safetensors", b"1234567890")):
        (tmp_path / name).write_bytes(content)
        message = _message(tmp_path / name)
        assert name in message
        assert "it is not a checkpoint" in message
        assert "sam_vit_b_01ec64.pth" in message
    torch.save([1, 2], tmp_path / "list.pth")
    assert "something else than named tensors" in _message(tmp_path / "list.pth")


def test_other_nets_are_refused_by_name(tiny_sam: Sam, tmp_path: Path) -> None:
    for key, name in (
        ("image_encoder.layers.0.blocks.0.conv1.c.weight", "MobileSAM"),
        ("image_encoder.trunk.pos_embed", "SAM 2"),
        ("sam_mask_decoder.iou_token.weight", "SAM 2"),
        ("vision_encoder.layers.0.attn.qkv.weight", "SAM in the form of transformers"),
        ("detector.backbone.vision_backbone.trunk.pos_embed", "SAM 3"),
    ):
        torch.save({"model": {key: torch.zeros(2)}}, tmp_path / "other.pt")
        message = _message(tmp_path / "other.pt")
        assert f"it is {name}, another net" in message
        assert ("there is SAM 3 Segmenters" in message) == (name == "SAM 3")
    torch.save({**tiny_sam.state_dict(), "mask_decoder.hf_token.weight": torch.zeros(1, 32)}, tmp_path / "sam_hq.pth")
    assert "it is SAM-HQ, another net" in _message(tmp_path / "sam_hq.pth")


def test_foreign_tensors_are_said(tiny_sam: Sam, tmp_path: Path) -> None:
    torch.save({"conv.weight": torch.zeros(2)}, tmp_path / "resnet.pth")
    assert "not a segment-anything 1 checkpoint" in _message(tmp_path / "resnet.pth")
    torch.save({**tiny_sam.state_dict(), "mask_decoder.extra": torch.zeros(1)}, tmp_path / "extra.pth")
    assert "mask_decoder.extra" in _message(tmp_path / "extra.pth")


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: {"model": state},
        lambda state: {"state_dict": state, "epoch": 3, "optimizer": {"lr": 0.1}},
        lambda state: {"model": {"state_dict": state}},
        lambda state: {f"module.{name}": value for name, value in state.items()},
        lambda state: {"model_state_dict": {f"_orig_mod.{name}": value for name, value in state.items()}},
        lambda state: {f"sam_model.{name}": value for name, value in state.items()} | {"head.weight": torch.zeros(3)},
        lambda state: {**state, "epoch": 12},
        lambda state: {name: torch.nn.Parameter(value) for name, value in state.items()},
    ],
)
def test_checkpoints_are_read_however_people_wrapped_them(
    tiny_sam: Sam, checkpoint: Path, wrap, tmp_path: Path
) -> None:
    picture_HWC, faces = np.random.default_rng(0).integers(0, 255, (60, 90, 3), dtype=np.uint8), [face_at(0, 40, 20)]
    path = tmp_path / "wrapped.pth"
    torch.save(wrap(dict(tiny_sam.state_dict())), path)
    plain, wrapped = (SamPersonSegmenter(each).segment(picture_HWC, faces) for each in (checkpoint, path))
    assert len(plain) == len(wrapped) == 1
    np.testing.assert_allclose(plain[0].probability_HW, wrapped[0].probability_HW, atol=1e-5)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_half_precision_checkpoints_give_the_masks_of_their_weights(
    tiny_sam: Sam, tmp_path: Path, dtype: torch.dtype, suffix: str
) -> None:
    picture_HWC, faces = np.random.default_rng(0).integers(0, 255, (60, 90, 3), dtype=np.uint8), [face_at(0, 40, 20)]
    half = {name: value.to(dtype) for name, value in tiny_sam.state_dict().items()}
    whole = {name: value.float() for name, value in half.items()}
    for name, state in (("half", half), ("whole", whole)):
        path = tmp_path / f"{name}{suffix}"
        save_file(state, path) if suffix == ".safetensors" else torch.save(state, path)
    masks = [SamPersonSegmenter(tmp_path / f"{name}{suffix}").segment(picture_HWC, faces) for name in ("half", "whole")]
    assert len(masks[0]) == len(masks[1]) == 1
    np.testing.assert_allclose(masks[0][0].probability_HW, masks[1][0].probability_HW, atol=1e-5)


def test_a_picture_on_which_the_net_fails_is_said(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(SamPredictor, "predict", lambda *_, **__: torch.zeros(2) @ torch.zeros(3))
    with pytest.raises(
        ModelRunError, match=r"segment-anything named_vit_h_but_tiny\.pth failed .* 90x60 \(RuntimeError"
    ):
        SamPersonSegmenter(checkpoint).segment(np.zeros((60, 90, 3), np.uint8), [face_at(0, 40, 20)])


def test_a_missing_library_is_said(checkpoint: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "segment_anything", None)
    assert "pip install segment-anything" in _message(checkpoint)


@pytest.mark.parametrize(
    ("pointing", "several"),
    [
        (Pointing(on=((16, 12),)), True),
        (Pointing(on=((16, 12), (20, 30)), off=((50, 40),)), False),
        (Pointing(box=(4, 4, 40, 40)), False),
        (Pointing(on=((16, 12),), box=(4, 4, 40, 40)), False),
    ],
)
def test_what_is_pointed_at_is_segment_anythings_own_answer(
    tiny_sam: Sam, checkpoint: Path, pointing: Pointing, several: bool
) -> None:
    rgb_HWC = np.random.default_rng(1).integers(0, 255, (48, 64, 3), dtype=np.uint8)
    region_HW = SamPersonSegmenter(checkpoint).propose(rgb_HWC, pointing)
    predictor = SamPredictor(tiny_sam)
    predictor.set_image(rgb_HWC)
    points = np.array([*pointing.on, *pointing.off]) if pointing.on else None
    labels = np.array([1] * len(pointing.on) + [0] * len(pointing.off)) if pointing.on else None
    box = None if pointing.box is None else np.array(pointing.box)
    masks_MHW, scores_M, _ = predictor.predict(points, labels, box, multimask_output=several)
    np.testing.assert_array_equal(region_HW, masks_MHW[np.argmax(scores_M)])
    assert len(scores_M) == (3 if several else 1)
