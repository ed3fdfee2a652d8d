"""Captions as the reference system's files, key for key."""

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from maskloss.core.cache.export import export_reference
from maskloss.core.cache.latents import cache_latents
from maskloss.core.cache.store import LatentCache, open_cache
from maskloss.core.cache.text import cache_text
from maskloss.core.dataset.items import Dataset
from maskloss.core.errors import CacheError
from safetensors import safe_open


class GivenText:
    """A text encoder of that ComfyUI class, which gives as many tokens as the caption has words, then padding."""

    def __init__(self, name: str, width: int, pad_to: int = 0, mask: bool = False, options: str = "(None, [])") -> None:
        self.identity = f"comfy-{name}-float32-{options}-0123"
        self._width, self._pad_to, self._mask = width, pad_to, mask

    def tokens(self, caption: str) -> torch.Tensor:
        count = len(caption.split()) + 1
        return torch.arange(1, count * self._width + 1).reshape(count, self._width).float() / 7

    def encode(self, caption: str) -> dict[str, torch.Tensor]:
        tokens = self.tokens(caption)
        room = max(0, self._pad_to - len(tokens))
        text = {"cross_attn": torch.nn.functional.pad(tokens, (0, 0, 0, room))[None]}
        if self._mask:
            text["cross_attn"][:, len(tokens) :] = 5  # whatever the encoder made of padding
            text["attention_mask"] = (torch.arange(len(tokens) + room) < len(tokens)).long()[None]
        if self.identity.startswith("comfy-Hunyuan"):
            text["pooled_output"] = torch.arange(6.0)[None]
        return text


Make = Callable[..., LatentCache]


@pytest.fixture
def caption_text(tmp_path: Path, item, encoder) -> Make:
    def make(architecture: str, text_encoder: GivenText, *captions: str) -> LatentCache:
        encoder.architecture = architecture
        items = tuple(item(f"i{number}", number, caption=caption) for number, caption in enumerate(captions))
        cache = cache_latents(Dataset(items), encoder, tmp_path / "cache")[0]
        return cache_text(cache, text_encoder)[0]

    return make


def contents(path: Path) -> tuple[dict[str, torch.Tensor], dict[str, str]]:
    with safe_open(path, framework="pt") as file:
        return {key: file.get_tensor(key) for key in file.keys()}, file.metadata()  # noqa: SIM118 (no mapping)


@pytest.mark.parametrize(
    ("tag", "full_name", "encoder_name", "key", "masked"),
    [
        ("wan", "wan", "WanTEModel", "varlen_t5_float32", False),
        ("qi", "qwen_image", "QwenImageTEModel_", "varlen_vl_embed_float32", True),
    ],
)
def test_wan_and_qwen_image_have_their_tokens_without_padding(
    caption_text: Make, tmp_path: Path, tag: str, full_name: str, encoder_name: str, key: str, masked: bool
) -> None:
    text_encoder = GivenText(encoder_name, 4, pad_to=512, mask=masked)
    report = export_reference(caption_text(tag, text_encoder, "ohwx person", "", "ohwx"), tmp_path / "out")
    tensors, metadata = contents(tmp_path / f"out/i0_{tag}_te.safetensors")
    assert list(tensors) == [key]
    assert torch.equal(tensors[key], text_encoder.tokens("ohwx person"))
    assert metadata == {"architecture": full_name, "caption1": "ohwx person", "format_version": "1.0.1"}
    assert contents(tmp_path / f"out/i1_{tag}_te.safetensors")[0][key].shape == (1, 4), "the end of an empty caption"
    assert report["counts"]["captions"] == 3
    assert not any("Captions" in message for message in report["messages"])
    back = open_cache(tmp_path / "out")
    assert [entry.caption for entry in back.entries] == ["ohwx person", "", "ohwx"]


def test_hunyuan_video_has_a_mask_and_the_pooled_text(caption_text: Make, tmp_path: Path) -> None:
    text_encoder = GivenText("HunyuanVideoClipModel_", 4)
    export_reference(caption_text("hv", text_encoder, "ohwx person"), tmp_path / "out")
    tensors, metadata = contents(tmp_path / "out/i0_hv_te.safetensors")
    assert {key: tuple(tensor.shape) for key, tensor in tensors.items()} == {
        "llm_float32": (256, 4), "llm_mask": (256,), "clipL_float32": (6,),
    }  # fmt: skip
    assert tensors["llm_mask"].tolist() == [1, 1, 1] + [0] * 253
    assert torch.equal(tensors["llm_float32"][:3], text_encoder.tokens("ohwx person"))
    assert not tensors["llm_float32"][3:].any()
    assert tensors["clipL_float32"].tolist() == [0, 1, 2, 3, 4, 5]
    assert metadata["architecture"] == "hunyuan_video"


@pytest.mark.parametrize(
    ("text_encoder", "why"),
    [
        (GivenText("SDXLClipModel", 4), "embedded by comfy-SDXLClipModel-.*and wan needs comfy-WanTEModel"),
        (GivenText("WanTEModel", 4, options="(-2, [])"), "without options"),
    ],
)
def test_text_of_another_encoder_stays_behind_and_is_told(
    caption_text: Make, tmp_path: Path, text_encoder: GivenText, why: str
) -> None:
    report = export_reference(caption_text("wan", text_encoder, "ohwx"), tmp_path / "out")
    assert [path.name for path in (tmp_path / "out").iterdir()] == ["i0_0040x0040_wan.safetensors"]
    assert re.search(why, report["messages"][0])


def test_captions_that_mean_something_else_in_comfyui_are_refused(caption_text: Make, tmp_path: Path) -> None:
    wan = GivenText("WanTEModel", 4)
    cache = caption_text("wan", wan, "ohwx", "a (big) house")
    with pytest.raises(CacheError, match=r"caption 'a \(big\) house' cannot be exported.*--no-text"):
        export_reference(cache, tmp_path / "out")
    assert not (tmp_path / "out").exists(), "nothing is written"
    report = export_reference(cache, tmp_path / "out", with_text=False)
    assert report["messages"][0] == "Captions are not exported (as asked); cache them with the other trainer."
    assert not list((tmp_path / "out").glob("*_te.safetensors"))
    long = caption_text("wan", wan, "word " * 512)
    with pytest.raises(CacheError, match="has 513 tokens and cannot be exported, because wan is trained with 512"):
        export_reference(long, tmp_path / "long")


def test_qwen_images_captions_may_hold_parentheses_as_they_are(caption_text: Make, tmp_path: Path) -> None:
    qwen = GivenText("QwenImageTEModel_", 4)
    report = export_reference(caption_text("qi", qwen, "a (big:1.2) house"), tmp_path / "out")
    assert report["counts"]["captions"] == 1
    for number, text in enumerate((r"a \(big\) house", "in embedding:house", "<|im_start|>user")):
        with pytest.raises(CacheError, match=r"cannot be exported, because ComfyUI does not read .* as it is written"):
            export_reference(caption_text("qi", qwen, text), tmp_path / f"{number}")


def test_clips_of_one_video_share_a_caption_file(caption_text: Make, tmp_path: Path) -> None:
    cache = caption_text("wan", GivenText("WanTEModel", 4), "ohwx walks", "ohwx walks")
    clips = [replace(entry, name=f"walk_{start:05d}-001") for entry, start in zip(cache.entries, (0, 9), strict=True)]
    report = export_reference(replace(cache, entries=tuple(clips)), tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == [
        "walk_00000-001_0040x0040_wan.safetensors",
        "walk_00009-001_0040x0040_wan.safetensors",
        "walk_wan_te.safetensors",
    ]
    assert report["counts"]["captions"] == 1
    two = tuple(replace(clip, caption=text) for clip, text in zip(clips, ("ohwx walks", "other"), strict=True))
    with pytest.raises(CacheError, match=r"Two captions would be written to walk_wan_te"):
        export_reference(replace(cache, entries=two), tmp_path / "two")
