"""The published models at full size, as data: what ComfyUI builds each from, and the shapes of captions and latents."""

from __future__ import annotations

import importlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

_FILE = Path(__file__).with_name("full_size.json")


@dataclass(frozen=True)
class CaptionShape:
    """A caption's embeddings: so many tokens of a width, zeros up to `padded` tokens (0: none), a pooled vector (0:
    none), and an attention mask where `masked`."""

    width: int
    tokens: int
    padded: int = 0
    pooled: int = 0
    masked: bool = False

    def embeddings(self) -> dict[str, torch.Tensor]:
        """Such embeddings, with values that mean nothing."""
        text_1LD = torch.ones(1, self.tokens, self.width)
        room = max(0, self.padded - self.tokens)
        given = {"cross_attn": torch.nn.functional.pad(text_1LD, (0, 0, 0, room))}
        if self.pooled:
            given["pooled_output"] = torch.zeros(1, self.pooled)
        if self.masked:
            given["attention_mask"] = torch.ones(1, self.tokens, dtype=torch.long)
        return given


@dataclass(frozen=True, eq=False)
class FullSize:
    """One published model. `kind` is ComfyUI's class of configuration, `network` what it is made with; a latent cell is
    `stride` pixels wide and stands for `frame_stride` frames; `parameters` as published, in billions."""

    kind: str
    parameters: float
    stride: int
    frame_stride: int
    caption: CaptionShape
    network: Mapping[str, Any]

    def configuration(self, dtype: torch.dtype) -> Any:
        """ComfyUI's configuration, with weights of `dtype`; fp8 weights are computed with in bf16."""
        made = getattr(importlib.import_module("comfy.supported_models"), self.kind)(dict(self.network))
        made.set_inference_dtype(dtype, torch.bfloat16 if dtype.itemsize < 2 else None)
        return made


@lru_cache(maxsize=1)
def full_size_models() -> Mapping[str, FullSize]:
    """By name, in the order of the file."""
    content = json.loads(_FILE.read_text(encoding="utf-8"))
    return {name: _read(each) for name, each in content["models"].items()}


def caption_shape_of(kind: str) -> CaptionShape | None:
    """What captions of a class of configuration look like; None where no published model is of it."""
    return next((each.caption for each in full_size_models().values() if each.kind == kind), None)


def _read(given: Mapping[str, Any]) -> FullSize:
    return FullSize(
        given["kind"], given["parameters"], given["stride"], given["frame_stride"], CaptionShape(**given["text"]),
        given["network"],
    )  # fmt: skip
