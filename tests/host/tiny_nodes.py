"""A pack for a test server: tiny random models, VAEs and CLIPs, for the sockets that real files would be too large for.

The server finds it as a file in its `custom_nodes`; TINY_NODES_ROOT names the folder that holds our tests.
"""

from __future__ import annotations

import importlib
import os
import sys
from typing import Any

import torch


def _tiny() -> Any:
    if os.environ["TINY_NODES_ROOT"] not in sys.path:
        sys.path.append(os.environ["TINY_NODES_ROOT"])
    return importlib.import_module("tiny_models")


class TinyModel:
    RETURN_TYPES = ("MODEL",)
    FUNCTION = "make"
    CATEGORY = "tests"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"name": ("STRING", {})}}

    def make(self, name: str) -> tuple[Any]:
        return (_tiny().load_model(name),)


class TinyVAE(TinyModel):
    RETURN_TYPES = ("VAE",)

    def make(self, name: str) -> tuple[Any]:
        return (_tiny().load_vae(name),)


class MadeUpClip:
    """Embeddings of a model's own names and shapes, another for each caption, as ComfyUI's CLIP gives them."""

    layer_idx = None

    def __init__(self, name: str) -> None:
        self._name = name
        self.tokenizer_options: dict[str, Any] = {}
        self.cond_stage_model = torch.nn.Linear(1, 1)
        self.cond_stage_model.dtypes = {torch.float32}
        torch.nn.init.ones_(self.cond_stage_model.weight)
        torch.nn.init.ones_(self.cond_stage_model.bias)
        self.patcher = self
        self.model, self.backup, self.patches = self.cond_stage_model, {}, {}

    def tokenize(self, text: str) -> str:
        return text

    def encode_from_tokens_scheduled(self, tokens: str) -> list[list[Any]]:
        text = _tiny().text_for(self._name, length=4 + 2 * (len(tokens) % 2), seed=len(tokens))
        return [[text.pop("cross_attn"), text]]


class TinyClip(TinyModel):
    RETURN_TYPES = ("CLIP",)

    def make(self, name: str) -> tuple[Any]:
        return (MadeUpClip(name),)


NODE_CLASS_MAPPINGS = {"TinyModel": TinyModel, "TinyVAE": TinyVAE, "TinyClip": TinyClip}
