"""Text encoders of edit models, small and random, shown control images as ComfyUI's own nodes show them."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from maskloss.core.cache.encoders import SHOWN, PictureTextEncoder
from maskloss.core.cache.latents import cache_latents
from maskloss.core.cache.text import cache_text, shown_encoder
from maskloss.core.comfy.encoders import ComfyTextEncoder
from maskloss.core.comfy.text.shown import EditModel
from maskloss.core.dataset.items import Dataset, DatasetItem, LoadSettings
from maskloss.core.demo.encoders import DemoLatentEncoder, DemoTextEncoder
from maskloss.core.errors import CacheError
from maskloss.core.images import save_image
from maskloss.nodes.models import text_encoder
from tiny_comfy import tiny_models as tiny  # skips where there is no ComfyUI
from tiny_comfy.tiny_text import SEEING, seeing_clip

pytestmark = pytest.mark.comfy

CAPTION = "put her on a beach"
Encode = Callable[[Any, str, Sequence[torch.Tensor]], Any]


def _node(module: str, name: str) -> Any:
    return getattr(importlib.import_module(f"comfy_extras.nodes_{module}"), name)


def _both(module: str, name: str) -> Encode:
    """Of a node that gives the positive prompt and the negative one: the latter for the empty caption."""

    def encode(clip: Any, caption: str, images: Sequence[torch.Tensor]) -> Any:
        named = {f"image_{number}": image for number, image in enumerate(images, 1)}
        given = {"prompt": caption, "negative_prompt": "", "vae": None, "images": named}
        return _node(module, name).execute(clip, **given).result[0 if caption else 1]

    return encode


def _joy(clip: Any, caption: str, images: Sequence[torch.Tensor]) -> Any:
    named = {f"image{number}": image for number, image in enumerate(images)}
    return _node("joyimage", "TextEncodeJoyImageEdit").execute(clip, caption, None, named).result[0]


def _edit(clip: Any, caption: str, images: Sequence[torch.Tensor]) -> Any:
    (image,) = images
    return _node("qwen", "TextEncodeQwenImageEdit").execute(clip, caption, image=image).result[0]


def _plus(clip: Any, caption: str, images: Sequence[torch.Tensor]) -> Any:
    given = {f"image{number}": image for number, image in enumerate(images, 1)}
    return _node("qwen", "TextEncodeQwenImageEditPlus").execute(clip, caption, **given).result[0]


# ComfyUI's own encoding of each, and how many pictures it takes.
CASES: dict[str, tuple[str, EditModel, Encode, int]] = {
    "plus": ("qwen_image", EditModel.AUTO, _plus, 3),
    "edit": ("qwen_image", EditModel.QWEN_IMAGE_EDIT, _edit, 1),
    "longcat": ("longcat", EditModel.AUTO, _edit, 1),
    "boogu": ("boogu", EditModel.AUTO, _both("boogu", "TextEncodeBooguEdit"), 16),
    "mage_flow": ("mage_flow", EditModel.AUTO, _both("mage", "TextEncodeMageFlowEdit"), 16),
    "joy_image": ("joy_image", EditModel.AUTO, _joy, 6),
}


@pytest.fixture(scope="module", params=SEEING)
def clip(request: pytest.FixtureRequest) -> Iterator[tuple[str, Any]]:
    with seeing_clip(request.param) as made:
        yield request.param, made


def picture(seed: int, height: int = 40, width: int = 60) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def images_of(pictures: Sequence[np.ndarray]) -> list[torch.Tensor]:
    return [torch.from_numpy(each)[None].float() / 255 for each in pictures]


def test_it_is_shown_what_comfyuis_edit_node_shows(clip: tuple[str, Any]) -> None:
    name, made = clip
    seen: list[torch.Tensor] = []
    for kind, edit_model, encode, most in CASES.values():
        if kind != name:
            continue
        encoder = shown_encoder(ComfyTextEncoder(made, edit_model))
        assert isinstance(encoder, PictureTextEncoder)
        assert encoder.shown_identity.endswith(SHOWN)
        assert encoder.shown_identity != encoder.identity
        rgb = [picture(0), picture(1, 64, 32)][:most]
        for caption in (CAPTION, ""):
            ours = encoder.encode_shown(caption, rgb)
            with torch.inference_mode():
                ((expected, more),) = encode(made, caption, images_of(rgb))
            assert torch.equal(ours["cross_attn"], expected)
            assert ours.keys() == {"cross_attn", *(key for key, value in more.items() if value is not None)}
            assert "reference_latents" not in ours
            assert not ours["cross_attn"].is_inference()
            assert torch.isfinite(ours["cross_attn"]).all()
        rebuild, given = encoder.__reduce__()[:2]
        assert rebuild(*given).shown_identity == encoder.shown_identity, "in the processes of a cluster, too"
        ours = encoder.encode_shown(CAPTION, rgb)["cross_attn"]
        other = encoder.encode_shown(CAPTION, [picture(2), *rgb[1:]])["cross_attn"]
        assert other.shape == ours.shape
        assert not torch.allclose(other, ours, atol=1e-4), "the picture acts"
        assert ours.shape[1] > encoder.encode(CAPTION)["cross_attn"].shape[1], "and has tokens of its own"
        with pytest.raises(CacheError, match=f"has {most + 1} control images, and .* shown {most} at most"):
            encoder.encode_shown("x", [picture(seed) for seed in range(most + 1)])
        seen.append(encoder.encode_shown(CAPTION, rgb[:1])["cross_attn"])
    if name == "qwen_image":
        plus, first = seen
        assert plus.shape != first.shape, "the two Qwen-Image-Edits are given different texts"
    else:
        with pytest.raises(CacheError, match="edit_model is qwen-image-edit, but the CLIP is a "):
            ComfyTextEncoder(made, EditModel.QWEN_IMAGE_EDIT)


@pytest.mark.parametrize("case", ["plus", "edit"])
def test_what_is_cached_is_what_comfyuis_node_gives_to_the_last_bit(case: str, tmp_path: Path) -> None:
    path, control = tmp_path / "a.png", tmp_path / "control.png"
    save_image(path, picture(0, 32, 32))
    save_image(control, picture(1, 32, 32))
    item = DatasetItem("a", path, LoadSettings((32, 32)), None, CAPTION)
    item = replace(item, control_path=control, wants_control=True)
    cache, _ = cache_latents(Dataset((item,)), DemoLatentEncoder(), tmp_path / "cache")
    _, edit_model, encode, _ = CASES[case]
    with seeing_clip("qwen_image") as made:
        cached, report = cache_text(cache, text_encoder(made, edit_model))
        assert report["counts"]["encoded"] == 3, "the caption and the empty one beside the picture, the empty one alone"
        other = next(each for each in EditModel if each is not edit_model)
        _, again = cache_text(cache, text_encoder(made, other))
        assert again["counts"]["encoded"] == 3, "the other edit model is given another text"
        _, same = cache_text(cached, text_encoder(made, edit_model))
        assert same["counts"]["unchanged"] == 3
        with torch.inference_mode():
            ((expected, _),) = encode(made, CAPTION, images_of([picture(1, 32, 32)]))
    (entry,) = cached.entries
    assert torch.equal(cached.text(entry)["cross_attn"], expected)


def test_other_text_encoders_are_shown_none() -> None:
    encoder = ComfyTextEncoder(tiny.load_clip("sdxl"))
    assert shown_encoder(encoder) is None
    with pytest.raises(CacheError, match="sees text alone"):
        encoder.encode_shown("x", [picture(0)])
    with pytest.raises(CacheError, match="edit_model is qwen-image-edit, but the CLIP is a SDXLClipModel"):
        ComfyTextEncoder(tiny.load_clip("sdxl"), EditModel.QWEN_IMAGE_EDIT)
    with pytest.raises(CacheError, match="The demo CLIP is not qwen-image-edit's"):
        text_encoder(DemoTextEncoder(), EditModel.QWEN_IMAGE_EDIT)
