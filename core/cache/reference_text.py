"""Reads embeddings of captions that the reference system or musubi-tuner made, in the form of ComfyUI's encoders.

The inverse of `export_text`.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import torch

from ..errors import CacheError
from .entry_file import read_tensors
from .reference_files import ReferenceArchitecture

# What the names of the tensors begin with that a caption's file has to hold; their ends name the type.
_TOKENS = {
    ReferenceArchitecture.WAN: "varlen_t5_",
    ReferenceArchitecture.QWEN_IMAGE: "varlen_vl_embed_",
    ReferenceArchitecture.HUNYUAN_VIDEO: "llm_",
}
_MASK, _POOLED = "llm_mask", "clipL_"


def holds_embeddings(keys: Iterable[str], architecture: ReferenceArchitecture) -> bool:
    """Whether a caption's file with these tensors holds all that a model of that kind is given."""
    names = [key for key in keys if key != _MASK]
    wanted = [_TOKENS[architecture]]
    if architecture is ReferenceArchitecture.HUNYUAN_VIDEO:
        wanted.append(_POOLED)
    return all(any(name.startswith(start) for name in names) for start in wanted)


def read_reference_text(path: Path, architecture: ReferenceArchitecture) -> dict[str, torch.Tensor]:
    """`cross_attn` (1,L,D) without padding and, for HunyuanVideo, `pooled_output` (1,D), float32.

    CacheError naming the file when it is missing, damaged, not finite, or holds tensors of other shapes.
    """
    tensors = read_tensors(path)
    tokens_LD = _find_tensor(tensors, _TOKENS[architecture])
    if tokens_LD is None or tokens_LD.ndim != 2 or not len(tokens_LD):
        raise _content_error(path, f"no {_TOKENS[architecture]}… of the shape (tokens, channels)")
    if architecture is not ReferenceArchitecture.HUNYUAN_VIDEO:
        return {"cross_attn": tokens_LD.float()[None]}
    mask_L = tensors.get(_MASK)
    if mask_L is not None:
        if mask_L.shape != tokens_LD.shape[:1] or not bool(mask_L.any()):
            raise _content_error(path, f"a {_MASK} that does not fit its tokens")
        tokens_LD = tokens_LD[: int(mask_L.nonzero().max()) + 1]
    pooled_D = _find_tensor(tensors, _POOLED)
    if pooled_D is None or pooled_D.ndim != 1:
        raise _content_error(path, f"no {_POOLED}… of the shape (channels,)")
    return {"cross_attn": tokens_LD.float()[None], "pooled_output": pooled_D.float()[None]}


def _find_tensor(tensors: dict[str, torch.Tensor], start: str) -> torch.Tensor | None:
    return next((tensor for key, tensor in tensors.items() if key.startswith(start) and key != _MASK), None)


def _content_error(path: Path, found: str) -> CacheError:
    return CacheError(
        f"The cache file {path} cannot be used: it holds {found}; cache its captions again over there, or run "
        "CacheText."
    )
