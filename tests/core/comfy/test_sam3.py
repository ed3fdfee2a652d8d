"""ComfyUI's own SAM 3 classes with random weights, behind the segmenters' protocols."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
import pytest
import torch
from maskloss.core.comfy.sam3 import Sam3, Sam3PartSegmenter, Sam3PersonSegmenter, check_prompt
from maskloss.core.errors import SettingError
from maskloss.core.people.regions import Pointing
from maskloss.nodes.load import MaskLossSam3Segmenters
from maskloss.nodes.sockets import masks_from_mask
from tiny_comfy import tiny_models as tiny  # skips where there is no ComfyUI
from tiny_comfy import tiny_sam3

pytestmark = pytest.mark.comfy


@pytest.fixture(scope="module")
def models() -> tuple[Any, Any]:
    return tiny_sam3.load_sam3()


def segmenters(models: tuple[Any, Any], **prompts: str) -> tuple[Sam3PersonSegmenter, Sam3PartSegmenter]:
    with torch.inference_mode():  # as ComfyUI runs a node
        return MaskLossSam3Segmenters().run(model=models[0], clip=models[1], **prompts)


def noise(width: int, height: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)


@contextmanager
def planted(model: Any, *channels: tuple[tuple[int, ...], ...]) -> Iterator[None]:
    """The network finds colours: for its n-th prompt `channels[n]` lists, the least sure first, the colour channels
    that make each thing up. All else of it is as it was: what the trunk is given, and what is done with the result."""
    detector = model.model.diffusion_model.detector
    frames: list[torch.Tensor] = []
    asked: list[int] = []

    def see(_: Any, inputs: tuple[torch.Tensor]) -> None:
        frames.append(inputs[0])
        asked.clear()

    def masks(_: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> torch.Tensor:
        small_Chw = torch.nn.functional.adaptive_avg_pool2d(frames[-1][0], output.shape[-2:])
        for index, wanted in enumerate(channels[len(asked) - 1]):
            output[0, index] = small_Chw[list(wanted)].amax(dim=0) * 20 - 10
        return output

    def scores(_: Any, inputs: tuple[Any, ...], output: torch.Tensor) -> torch.Tensor:
        asked.append(1)
        found = len(channels[len(asked) - 1])
        return torch.tensor([[1.0 + index if index < found else -1.0 for index in range(output.shape[1])]])

    hooks = [
        detector.backbone["vision_backbone"].trunk.register_forward_pre_hook(see),
        detector.dot_prod_scoring.register_forward_hook(scores),
        detector.segmentation_head.register_forward_hook(masks),
    ]
    try:
        yield
    finally:
        for hook in hooks:
            hook.remove()


def overlap(a_HW: np.ndarray, b_HW: np.ndarray) -> float:
    return float((a_HW & b_HW).sum() / (a_HW | b_HW).sum())


def test_masks_are_those_of_comfyuis_own_node(models: tuple[Any, Any]) -> None:
    from comfy_extras.nodes_sam3 import SAM3_Detect

    model, clip = models
    people, _ = segmenters(models, person_prompt="face:10")
    rgb_HWC = noise(1008, 1008)
    with torch.inference_mode():
        words = clip.encode_from_tokens_scheduled(clip.tokenize("face:10"))
        image = torch.from_numpy(rgb_HWC / np.float32(255))[None]
        theirs = SAM3_Detect.execute(model, image, words, refine_iterations=0, individual_masks=True).result[0]
    ours = people.segment(rgb_HWC, [])
    assert len(ours) == len(theirs) > 0, "the random network finds something"
    for mask, their_HW in zip(ours, theirs.numpy() > 0, strict=True):
        assert 0 < their_HW.mean() < 1
        # OpenCV and torch interpolate alike but for rounding.
        assert ((mask.probability_HW > 0.5) != their_HW).mean() < 1e-4


@pytest.mark.parametrize("size", [(701, 333), (97, 1501)])
def test_masks_lie_where_the_picture_has_them(models: tuple[Any, Any], size: tuple[int, int]) -> None:
    width, height = size
    rgb_HWC = np.zeros((height, width, 3), np.uint8)
    rgb_HWC[height // 2 :, : width // 3, 0] = 255
    rgb_HWC[: height // 3, width // 2 :, 1] = 255
    people, _ = segmenters(models)
    with planted(models[0], ((0,), (1,))):
        green, red = people.segment(rgb_HWC, [])
        (surest,) = segmenters(models, person_prompt="person:1")[0].segment(rgb_HWC, [])
    for mask, channel in ((red, 0), (green, 1)):
        assert mask.face_index is None
        assert overlap(mask.probability_HW > 0.5, rgb_HWC[:, :, channel] > 0) > 0.97
    assert np.array_equal(surest.probability_HW, green.probability_HW)


@pytest.mark.parametrize("size", [(4032, 333), (333, 4032)])
def test_a_side_that_shrinks_is_averaged_though_the_other_grows(models: tuple[Any, Any], size: tuple[int, int]) -> None:
    people, _ = segmenters(models)
    for phase in range(4):
        rgb_HWC = np.zeros((size[1], size[0], 3), np.uint8)
        np.moveaxis(rgb_HWC, int(size[0] > size[1]), 0)[phase::4, :, 0] = 255
        with planted(models[0], ((0,),)):
            (red,) = people.segment(rgb_HWC, [])
        # A quarter of full red: a logit of 20 / 4 - 10.
        np.testing.assert_allclose(red.probability_HW, 1 / (1 + np.exp(5)), atol=2e-3)


def test_face_lies_over_hair_over_body(models: tuple[Any, Any]) -> None:
    rgb_HWC = np.zeros((333, 701, 3), np.uint8)
    rgb_HWC[50:300, 100:400, 0] = 255
    rgb_HWC[20:150, 150:350, 1] = 255
    rgb_HWC[80:180, 200:300, 2] = 255
    _, parts = segmenters(models)
    with planted(models[0], ((0,), (0, 2)), ((1,),), ((2,),)):
        found = parts.segment(rgb_HWC)
    expected_HW = np.where(rgb_HWC[:, :, 0] > 0, 3, 0)
    expected_HW[rgb_HWC[:, :, 1] > 0] = 2
    expected_HW[rgb_HWC[:, :, 2] > 0] = 1
    assert (found.scheme.id, found.approximate) == ("maskloss_4", False)
    for label in range(4):
        assert overlap(found.label_HW == label, expected_HW == label) > 0.97
    with planted(models[0], (), (), ()):
        nobody = parts.segment(rgb_HWC)
        assert segmenters(models)[0].segment(rgb_HWC, []) == []
    assert nobody.size == (701, 333)
    assert not nobody.label_HW.any()


def test_several_words_are_looked_for_one_after_the_other(models: tuple[Any, Any]) -> None:
    rgb_HWC = np.zeros((120, 90, 3), np.uint8)
    rgb_HWC[:40, :, 0], rgb_HWC[80:, :, 1] = 255, 255
    people, _ = segmenters(models, person_prompt="man:2, woman:1")
    with planted(models[0], ((0,),), ((2,), (1,))):
        man, woman = people.segment(rgb_HWC, [])
    assert (man.probability_HW > 0.5).mean(axis=1)[[20, 60, 100]].tolist() == [1, 0, 0]
    assert (woman.probability_HW > 0.5).mean(axis=1)[[20, 60, 100]].tolist() == [0, 0, 1]


def test_sam_3_1_finds_people_and_its_tracks_are_masks_of_frames() -> None:
    from comfy_extras.nodes_sam3 import SAM3_TrackToMask, SAM3_VideoTrack

    model, clip = tiny_sam3.load_sam3(version="SAM31")
    people, _ = segmenters((model, clip))
    rgb_HWC = np.zeros((37, 61, 3), np.uint8)
    rgb_HWC[:, 30:, 0] = 255
    with planted(model, ((0,),)):
        (person,) = people.segment(rgb_HWC, [])
    assert (person.probability_HW > 0.5).mean(axis=0)[[15, 45]].tolist() == [0, 1]
    with torch.inference_mode():
        frames = torch.from_numpy(np.stack([rgb_HWC, rgb_HWC]) / np.float32(255))
        tracks = SAM3_VideoTrack.execute(frames, model, initial_mask=frames[:1, :, :, 0]).result[0]
        masks = masks_from_mask(SAM3_TrackToMask.execute(tracks).result[0], "masks")
    assert [mask_HW.shape for mask_HW in masks] == [(37, 61)] * 2
    assert masks[0].max() == 1


def test_nothing_is_left_behind(models: tuple[Any, Any]) -> None:
    model, _ = models
    before = {name: tensor.clone() for name, tensor in model.model.state_dict().items()}
    people, parts = segmenters(models, person_prompt="face:10")
    rgb_HWC = noise(61, 40)
    random = torch.get_rng_state()
    first, again = (people.segment(rgb_HWC, []) for _ in range(2))
    assert len(first) == len(again) > 0
    for one, other in zip(first, again, strict=True):
        assert one.probability_HW.shape == (40, 61)
        assert np.array_equal(one.probability_HW, other.probability_HW)
    label_HW = parts.segment(rgb_HWC).label_HW
    assert label_HW.shape == (40, 61)
    assert label_HW.any()
    assert np.array_equal(label_HW, parts.segment(rgb_HWC).label_HW)
    assert torch.equal(random, torch.get_rng_state())
    after = model.model.state_dict()
    assert before.keys() == after.keys()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_identity_follows_model_clip_and_prompts(models: tuple[Any, Any]) -> None:
    model, clip = models
    people, parts = segmenters(models)
    again = segmenters(tiny_sam3.load_sam3())
    assert (people.identity, parts.identity) == (again[0].identity, again[1].identity)
    assert people.identity != parts.identity
    for others in (
        segmenters(models, person_prompt="person:9"),
        segmenters((tiny_sam3.load_sam3(1)[0], clip)),
        segmenters((model, tiny_sam3.load_sam3(1)[1])),
    ):
        assert others[0].identity != people.identity
        assert others[1].identity != parts.identity
    for prompt in ("face_prompt", "hair_prompt"):
        other = segmenters(models, **{prompt: "nose"})
        assert other[0].identity == people.identity
        assert other[1].identity != parts.identity
    patched = model.clone()
    name = "diffusion_model.detector.dot_prod_scoring.hs_proj.weight"
    patched.add_patches({name: (torch.ones_like(patched.model.state_dict()[name]),)}, 0.5)
    assert segmenters((patched, clip))[0].identity != people.identity


def test_other_models_are_refused(models: tuple[Any, Any]) -> None:
    model, clip = models
    with pytest.raises(
        SettingError, match="model is a Flux, expected SAM 3: connect MODEL and CLIP of Load Checkpoint"
    ):
        Sam3(tiny.load_model("flux"), clip)
    with pytest.raises(SettingError, match="clip is a SD1ClipModel, expected SAM 3"):
        Sam3(model, tiny.load_clip("sd15"))


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "hair_prompt is empty; name what to look for"),
        (" , ()", "hair_prompt is empty"),
        ("hair:0", "holds 'hair:0'; write words, a colon and a whole number from 1 on"),
        ("hair, :3", "holds ':3'; write words"),
        ("hair:2.5", "holds 'hair:2.5'"),
        ("beard, hair: 1.2.3", "holds 'hair: 1.2.3'"),
    ],
)
def test_prompts_are_checked_before_anything_runs(models: tuple[Any, Any], text: str, words: str) -> None:
    with pytest.raises(SettingError, match=re.escape(words)):
        check_prompt("hair_prompt", text)
    assert words in str(MaskLossSam3Segmenters.VALIDATE_INPUTS(hair_prompt=text))
    with pytest.raises(SettingError, match=re.escape(words)):
        segmenters(models, hair_prompt=text)


def test_a_count_of_one_is_no_word(models: tuple[Any, Any]) -> None:
    sam3 = Sam3(*models)
    plain, counted = (sam3.prompt("person_prompt", text).categories[0] for text in ("person", " person : 1 "))
    assert plain.limit == counted.limit == 1
    assert torch.equal(plain.embedding_1LD, counted.embedding_1LD)
    assert MaskLossSam3Segmenters.VALIDATE_INPUTS(person_prompt="12:30 clock:2, man") is True


def test_what_is_pointed_at_is_comfyuis_own_answer(models: tuple[Any, Any]) -> None:
    from comfy_extras.nodes_sam3 import SAM3_Detect

    model = models[0]
    people, _ = segmenters(models)
    rgb_HWC = noise(1008, 1008)
    image = torch.from_numpy(rgb_HWC / np.float32(255))[None]
    on, off, box = ((300.0, 400.0), (500.0, 640.0)), ((100.0, 900.0),), (200.0, 240.0, 700.0, 800.0)
    asked = {
        "positive_coords": json.dumps([{"x": x, "y": y} for x, y in on]),
        "negative_coords": json.dumps([{"x": x, "y": y} for x, y in off]),
    }
    boxed = {"bboxes": {"x": box[0], "y": box[1], "width": box[2] - box[0], "height": box[3] - box[1]}}
    for pointing, given in ((Pointing(on, off), asked), (Pointing(box=box), boxed)):
        with torch.inference_mode():
            theirs = SAM3_Detect.execute(model, image, refine_iterations=1, **given).result[0][0].numpy() > 0
        ours = people.propose(rgb_HWC, pointing)
        assert 0 < theirs.mean() < 1
        assert (ours != theirs).mean() < 1e-4
