"""Captions that ComfyUI's own text encoders embedded, exported, against what musubi-tuner makes of the same weights.

musubi-tuner runs the networks of transformers (and WAN's own T5, which is UMT5), with its own templates and cropping;
these are written down here from its sources.
"""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from maskloss.core.cache.export import export_reference
from maskloss.core.cache.latents import cache_latents
from maskloss.core.cache.text import cache_text
from maskloss.core.comfy.encoders import ComfyTextEncoder
from maskloss.core.comfy.text.collapsed_padding import TextAttention, collapse_padding
from maskloss.core.dataset.items import Dataset, DatasetItem, LoadSettings
from maskloss.core.demo.encoders import DemoLatentEncoder
from PIL import Image
from safetensors.torch import load_file
from tiny_comfy import tiny_models as tiny  # skips where there is no ComfyUI

comfy = tiny.comfy
hunyuan_video = pytest.importorskip("comfy.text_encoders.hunyuan_video")
qwen_image = pytest.importorskip("comfy.text_encoders.qwen_image")
wan = pytest.importorskip("comfy.text_encoders.wan")
transformers = pytest.importorskip("transformers")
sentencepiece = pytest.importorskip("sentencepiece")

pytestmark = pytest.mark.comfy

CAPTIONS = ("a photo of ohwx person, standing in the rain", "", "ohwx person's red_hat\n2 cats & 1 dog: “so what?”")
WIDTH, LAYERS = 32, 4
ROPE = {"rope_type": "default"}
VIDEO_TEMPLATE = (
    "<|start_header_id|>system<|end_header_id|>\n\nDescribe the video by detailing the following aspects: "
    "1. The main content and theme of the video."
    "2. The color, shape, size, texture, quantity, text, and spatial relationships of the objects."
    "3. Actions, events, behaviors temporal relationships, physical movement changes of the objects."
    "4. background environment, light, style and atmosphere."
    "5. camera angles, movements, and transitions used in the video:<|eot_id|>"
    "<|start_header_id|>user<|end_header_id|>\n\n{}<|eot_id|>"
)
PICTURE_TEMPLATE = (
    "<|im_start|>system\nDescribe the image by detailing the color, shape, size, texture, quantity, text, spatial "
    "relationships of the objects and background:<|im_end|>\n<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"
)


@pytest.fixture
def exported(tmp_path: Path) -> Callable[..., list[dict[str, torch.Tensor]]]:
    """exported(clip, "wan", captions): what lies in the captions' files."""

    def make(clip: Any, architecture: str, captions: Sequence[str] = CAPTIONS) -> list[dict[str, torch.Tensor]]:
        encoder = DemoLatentEncoder()
        encoder.architecture = architecture
        items: list[DatasetItem] = []
        for number, caption in enumerate(captions):
            path = tmp_path / f"i{number}.png"
            Image.fromarray(np.zeros((64, 64, 3), np.uint8)).save(path)
            items.append(DatasetItem(path.stem, path, LoadSettings((64, 64)), caption=caption))
        cache, _ = cache_latents(Dataset(tuple(items)), encoder, tmp_path / "cache")
        cache, _ = cache_text(cache, ComfyTextEncoder(clip))
        report = export_reference(cache, tmp_path / "out")
        assert report["counts"]["captions"] == len(captions), report["messages"]
        return [load_file(tmp_path / f"out/{item.name}_{architecture}_te.safetensors") for item in items]

    return make


def load_clip(tokenizer: Any, model: Any, options: dict[str, Any], data: dict[str, Any] | None = None) -> Any:
    """A CLIP of ComfyUI with random weights."""
    target = tiny.comfy.supported_models_base.ClipTarget(tokenizer, model)
    with torch.inference_mode():
        clip = tiny.comfy.sd.CLIP(target, tokenizer_data=data or {}, model_options=options)
        tiny.randomise(clip.cond_stage_model)
    return clip


def with_weights_of(network: torch.nn.Module, theirs: torch.nn.Module) -> torch.nn.Module:
    """`network` of transformers with the weights of ComfyUI's."""
    given = {_short(key): value.clone() for key, value in theirs.state_dict().items()}
    given.setdefault("encoder.embed_tokens.weight", given.get("shared.weight"))  # T5's two names of one table
    network.load_state_dict({key: given[_short(key)] for key in network.state_dict() if "position_ids" not in key})
    return network.eval()


def _short(key: str) -> str:
    return key.removeprefix("model.").removeprefix("text_model.")


def close(found: torch.Tensor, expected: torch.Tensor) -> None:
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)


def test_wan(exported: Callable[..., list[dict[str, torch.Tensor]]]) -> None:
    proto = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([*CAPTIONS, PICTURE_TEMPLATE, VIDEO_TEMPLATE]), model_writer=proto, vocab_size=99,
        hard_vocab_limit=False, pad_id=0, eos_id=1, unk_id=2, bos_id=-1, minloglevel=2,
    )  # fmt: skip
    pieces = sentencepiece.SentencePieceProcessor(model_proto=proto.getvalue())
    sizes = {"d_model": WIDTH, "d_ff": 64, "d_kv": 16, "num_heads": 2, "num_layers": 2, "vocab_size": 128}
    data = {"spiece_model": torch.frombuffer(bytearray(proto.getvalue()), dtype=torch.uint8)}
    clip = load_clip(wan.WanT5Tokenizer, wan.te(), {"umt5xxl_model_config": sizes}, data)
    config = transformers.UMT5Config(**sizes, feed_forward_proj="gated-gelu", layer_norm_epsilon=1e-6)
    network = with_weights_of(transformers.UMT5EncoderModel(config), clip.cond_stage_model.umt5xxl.transformer)
    for caption, tensors in zip(CAPTIONS, exported(clip, "wan"), strict=True):
        tokens = [*pieces.encode(caption), 1]
        ids = torch.tensor([tokens + [0] * (512 - len(tokens))])
        with torch.no_grad():
            expected = network(input_ids=ids, attention_mask=ids.ne(0).long()).last_hidden_state[0, : len(tokens)]
        assert list(tensors) == ["varlen_t5_float32"]
        close(tensors["varlen_t5_float32"], expected)
        # The tokens that training processes.
        whole = ComfyTextEncoder(clip).encode(caption)["cross_attn"]
        left, _ = collapse_padding(whole, TextAttention())
        assert (whole.shape[1], left.shape[1]) == (512, (len(tokens) // 8 + 1) * 8)


def test_qwen_image(exported: Callable[..., list[dict[str, torch.Tensor]]], monkeypatch: pytest.MonkeyPatch) -> None:
    # Its eye is large, and closed for captions.
    monkeypatch.setattr(qwen_image.comfy.text_encoders.llama.qwen_vl, "Qwen2VLVisionTransformer", Eye)
    sizes = language_sizes(152064)
    clip = load_clip(qwen_image.QwenImageTokenizer, qwen_image.te(), {"qwen25_7b_model_config": sizes})
    config = transformers.Qwen2Config(
        **sizes, head_dim=128, rms_norm_eps=1e-6, rope_theta=1e6, rope_parameters={**ROPE, "rope_theta": 1e6}
    )
    theirs = clip.cond_stage_model.qwen25_7b.transformer.model
    network = with_weights_of(transformers.Qwen2Model(config), theirs)
    folder = Path(qwen_image.__file__).with_name("qwen25_tokenizer")
    tokenizer = transformers.Qwen2Tokenizer.from_pretrained(str(folder))
    captions = (*CAPTIONS, "a (big:1.2) house, (((red)))")
    for caption, tensors in zip(captions, exported(clip, "qi", captions), strict=True):
        ids = torch.tensor([tokenizer(PICTURE_TEMPLATE.format(caption))["input_ids"]])
        with torch.no_grad():
            hidden = network(input_ids=ids, output_hidden_states=True).hidden_states
        assert list(tensors) == ["varlen_vl_embed_float32"]
        close(tensors["varlen_vl_embed_float32"], hidden[-1][0, 34:])


def test_hunyuan_video(
    exported: Callable[..., list[dict[str, torch.Tensor]]], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    folder = Path(hunyuan_video.__file__).with_name("llama_tokenizer")
    kind = hunyuan_video.LlamaTokenizerFast
    crop_start = 95
    if not (folder / "tokenizer.json").exists():
        # Some copies of ComfyUI come without its largest files.
        folder = write_small_tokenizer(tmp_path / "tokenizer")
        given = SimpleNamespace(from_pretrained=lambda path, **options: kind.from_pretrained(str(folder), **options))
        monkeypatch.setattr(hunyuan_video, "LlamaTokenizerFast", given)
        crop_start = len(kind.from_pretrained(str(folder))(VIDEO_TEMPLATE.partition("{}")[0])["input_ids"])
    tokenizer = kind.from_pretrained(str(folder))
    sizes = language_sizes(128320)
    small = {"num_hidden_layers": 2, "hidden_size": 64, "intermediate_size": 64, "num_attention_heads": 1}
    clip = load_clip(
        hunyuan_video.HunyuanVideoTokenizer,
        hunyuan_video.hunyuan_video_clip(),
        {"llama_model_config": sizes, "clip_l_model_config": small},
    )
    model = clip.cond_stage_model
    config = transformers.LlamaConfig(
        **sizes, head_dim=128, rms_norm_eps=1e-5, rope_theta=5e5, rope_parameters={**ROPE, "rope_theta": 5e5}
    )
    llama = with_weights_of(transformers.LlamaModel(config), model.llama.transformer.model)
    clip_l = transformers.CLIPTextModel(transformers.CLIPTextConfig(**small, vocab_size=49408, eos_token_id=49407))
    clip_l = with_weights_of(clip_l, model.clip_l.transformer)
    words = transformers.CLIPTokenizer.from_pretrained(str(Path(comfy.sd1_clip.__file__).with_name("sd1_tokenizer")))
    for caption, tensors in zip(CAPTIONS, exported(clip, "hv"), strict=True):
        ids = tokenizer(VIDEO_TEMPLATE.format(caption))["input_ids"]
        used, room = len(ids) - crop_start, 256 + crop_start - len(ids)
        padded, mask = torch.tensor([ids + [128258] * room]), torch.tensor([[1] * len(ids) + [0] * room])
        with torch.no_grad():
            hidden = llama(input_ids=padded, attention_mask=mask, output_hidden_states=True).hidden_states
            pooled = clip_l(**words(caption, padding="max_length", max_length=77, return_tensors="pt")).pooler_output
        assert set(tensors) == {"llm_float32", "llm_mask", "clipL_float32"}
        assert torch.equal(tensors["llm_mask"], mask[0, crop_start:])
        close(tensors["llm_float32"][:used], hidden[-3][0, crop_start:][:used])
        close(tensors["clipL_float32"], pooled[0])


class Eye(torch.nn.Identity):
    """Takes whatever the vision tower takes."""


def language_sizes(words: int) -> dict[str, int]:
    return {
        "vocab_size": words, "hidden_size": WIDTH, "intermediate_size": 64, "num_hidden_layers": LAYERS,
        "num_attention_heads": 1, "num_key_value_heads": 1,
    }  # fmt: skip


def write_small_tokenizer(folder: Path) -> Path:
    """Llama 3's with its own numbers for what the template is told by, and the bytes instead of its words."""
    folder.mkdir()
    letters = dict(zip(byte_letters(), range(256), strict=True))
    merges = [("Ċ", "Ċ"), ("u", "s"), ("us", "e"), ("use", "r")]
    words = {"ĊĊ": 271, "us": 300, "use": 301, "user": 882}
    names = {
        "<|begin_of_text|>": 128000, "<|start_header_id|>": 128006, "<|end_header_id|>": 128007, "<|eot_id|>": 128009,
    }  # fmt: skip
    pattern = (
        r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|"
        r"\s+(?!\S)|\s+"
    )
    flags = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
    begin = {"SpecialToken": {"id": "<|begin_of_text|>", "type_id": 0}}
    text = {"Sequence": {"id": "A", "type_id": 0}}
    described = {
        "version": "1.0",
        "added_tokens": [{"id": number, "content": name, **flags} for name, number in names.items()],
        "pre_tokenizer": {
            "type": "Sequence",
            "pretokenizers": [
                {"type": "Split", "pattern": {"Regex": pattern}, "behavior": "Isolated", "invert": False},
                {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": False},
            ],
        },
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [begin, text],
            "pair": [begin, text],
            "special_tokens": {"<|begin_of_text|>": {"id": "<|begin_of_text|>", "ids": [128000], "tokens": ["x"]}},
        },
        "model": {"type": "BPE", "vocab": {**letters, **words}, "merges": [" ".join(pair) for pair in merges]},
    }
    (folder / "tokenizer.json").write_text(json.dumps(described), encoding="utf-8")
    return folder


def byte_letters() -> Iterator[str]:
    """How byte-level tokenizers write each byte as a letter."""
    plain: Sequence[int] = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), 256)]
    others = iter(range(256, 512))
    return (chr(byte if byte in plain else next(others)) for byte in range(256))
