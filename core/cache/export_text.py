"""Exports embeddings of captions as the files that the reference system and musubi-tuner train from.

`{key}_{tag}_te.safetensors` holds, by model: WAN `varlen_t5_{dtype}` (L,D), Qwen-Image `varlen_vl_embed_{dtype}` (L,D),
both without padding; HunyuanVideo `llm_{dtype}` (256,D) with `llm_mask` (256,), and `clipL_{dtype}` (D,). ComfyUI's
text encoders of these models use the same templates and layers, so that the numbers need no more than another shape.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F

from ..errors import CacheError
from .entry_file import REFERENCE_FORMAT, owned_copy
from .reference_files import ReferenceArchitecture
from .store import LatentCache

# By the class that ComfyUI gives these models' text encoders.
_ENCODERS = {
    ReferenceArchitecture.WAN: "WanTEModel",
    ReferenceArchitecture.QWEN_IMAGE: "QwenImageTEModel",
    ReferenceArchitecture.HUNYUAN_VIDEO: "HunyuanVideoClipModel",
}
# Longer captions are cut there, and are not cut in ComfyUI.
_MOST_TOKENS = {
    ReferenceArchitecture.WAN: 512,
    ReferenceArchitecture.QWEN_IMAGE: 1024,
    ReferenceArchitecture.HUNYUAN_VIDEO: 256,
}
# What ComfyUI reads in another way than it is written. It gives parts of Qwen-Image's captions no weights, but takes
# the backslashes that would shield parentheses all the same.
_MARKS = {
    ReferenceArchitecture.WAN: ("(", ")", "embedding:"),
    ReferenceArchitecture.QWEN_IMAGE: ("\\(", "\\)", "embedding:", "<|im_start|>"),
    ReferenceArchitecture.HUNYUAN_VIDEO: ("(", ")", "embedding:"),
}
_PLAIN_OPTIONS = f"-{(None, [])!r}-"


def why_no_text(cache: LatentCache, target: ReferenceArchitecture) -> str:
    """Why the cache's text cannot be had in the form of `target`; empty where it can."""
    encoder = cache.text_encoder
    if encoder is None:
        return "none are cached"
    wanted = f"comfy-{_ENCODERS[target]}"
    if not encoder.startswith(wanted) or _PLAIN_OPTIONS not in encoder:
        return f"they are embedded by {encoder}, and {target.full_name} needs {wanted} without options"
    return ""


def reference_text(cache: LatentCache, caption: str, target: ReferenceArchitecture) -> dict[str, torch.Tensor]:
    """The tensors of a caption's file. CacheError where ComfyUI embedded the caption in another way than they would."""
    if marks := [mark for mark in _MARKS[target] if mark in caption]:
        raise CacheError(
            f"The caption {caption!r} cannot be exported, because ComfyUI does not read {' '.join(marks)} as it is "
            "written; take it out of the caption, or export with --no-text and cache captions with the other trainer."
        )
    text = cache.caption_text(caption)
    if "cross_attn" not in text or text["cross_attn"].ndim != 3 or len(text["cross_attn"]) != 1:
        raise CacheError(f"The text of the caption {caption!r} in {cache.directory} has no cross_attn (1, L, D).")
    tokens_LD = _cut_padding(text["cross_attn"][0], text.get("attention_mask"))
    most = _MOST_TOKENS[target]
    if len(tokens_LD) > most:
        raise CacheError(
            f"The caption {caption!r} has {len(tokens_LD)} tokens and cannot be exported, because {target.full_name} "
            f"is trained with {most} at most there; shorten it."
        )
    if target is ReferenceArchitecture.HUNYUAN_VIDEO:
        return _hunyuan_video_tensors(tokens_LD, text, most)
    names = {ReferenceArchitecture.WAN: "varlen_t5", ReferenceArchitecture.QWEN_IMAGE: "varlen_vl_embed"}
    name = names[target]
    return {f"{name}_{_dtype_name(tokens_LD)}": owned_copy(tokens_LD)}


def text_metadata(caption: str, target: ReferenceArchitecture) -> Mapping[str, str]:
    """What a caption's file says of itself."""
    return {"architecture": target.full_name, "caption1": caption, "format_version": REFERENCE_FORMAT}


def _hunyuan_video_tensors(
    tokens_LD: torch.Tensor, text: Mapping[str, torch.Tensor], most: int
) -> dict[str, torch.Tensor]:
    pooled = text.get("pooled_output")
    if pooled is None or pooled.ndim != 2 or len(pooled) != 1:
        raise CacheError("HunyuanVideo's text has no pooled_output (1, D); run CacheText with its own CLIP.")
    room = most - len(tokens_LD)
    mask = F.pad(torch.ones(len(tokens_LD), dtype=torch.int64), (0, room))
    return {
        f"llm_{_dtype_name(tokens_LD)}": owned_copy(F.pad(tokens_LD, (0, 0, 0, room))),
        "llm_mask": mask,
        f"clipL_{_dtype_name(pooled)}": owned_copy(pooled[0]),
    }


def _cut_padding(tokens_LD: torch.Tensor, mask: torch.Tensor | None) -> torch.Tensor:
    """What the mask, or without one that nothing but zeros follow, says are tokens."""
    used = tokens_LD.ne(0).any(dim=1) if mask is None else mask.reshape(-1).ne(0)
    return tokens_LD[: int(used.nonzero().max()) + 1] if bool(used.any()) else tokens_LD[:0]


def _dtype_name(tensor: torch.Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")
