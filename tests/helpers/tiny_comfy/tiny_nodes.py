"""A pack for a test server: tiny random models, VAEs and CLIPs, for the sockets that real files would be too large for.

In the server's `custom_nodes` it is a package with what it imports; see comfy_server.py.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image


def _module(name: str) -> Any:
    """A neighbour of this file, imported when a node first runs: not while the server starts."""
    return importlib.import_module(f".{name}", __package__)


class TinyModel:
    RETURN_TYPES = ("MODEL",)
    FUNCTION = "make"
    CATEGORY = "tests"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"name": ("STRING", {})}}

    def make(self, name: str) -> tuple[Any]:
        return (_module("tiny_models").load_model(name),)


class TinyVAE(TinyModel):
    RETURN_TYPES = ("VAE",)

    def make(self, name: str) -> tuple[Any]:
        return (_module("tiny_models").load_vae(name),)


class TinyGallery(TinyVAE):
    """`pictures`: names in the input folder, apart by blanks, which it decodes to one after the other."""

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"name": ("STRING", {}), "pictures": ("STRING", {})}}

    def make(self, name: str, pictures: str) -> tuple[Any]:
        folders = importlib.import_module("folder_paths")
        opened = [Image.open(folders.get_annotated_filepath(each)).convert("RGB") for each in pictures.split()]
        return (_module("gallery").Gallery(super().make(name)[0], [np.asarray(each) for each in opened]),)


class QwenImageTEModel(torch.nn.Linear):
    """Named as ComfyUI's."""


class MadeUpClip:
    """Embeddings of a model's own names and shapes, another for each caption, as ComfyUI's CLIP gives them."""

    layer_idx = None

    def __init__(self, name: str) -> None:
        self._name = name
        self.tokenizer_options: dict[str, Any] = {}
        # Qwen-Image's is known by the name of its class, and is shown pictures.
        kind = QwenImageTEModel if name == "qwen_image" else torch.nn.Linear
        self.cond_stage_model = kind(1, 1)
        self.cond_stage_model.dtypes = {torch.float32}
        torch.nn.init.ones_(self.cond_stage_model.weight)
        torch.nn.init.ones_(self.cond_stage_model.bias)
        self.patcher = self
        self.model, self.backup, self.patches = self.cond_stage_model, {}, {}

    def tokenize(self, text: str, images: Sequence[torch.Tensor] = (), llama_template: str = "{}") -> str:
        assert bool(images) == (llama_template != "{}")
        return text + "".join(f" {float(image.mean()):.3f}" for image in images)

    def encode_from_tokens_scheduled(self, tokens: str) -> list[list[Any]]:
        text = _module("tiny_models").text_for(self._name, length=4 + 2 * (len(tokens) % 2), seed=len(tokens))
        return [[text.pop("cross_attn"), text]]


class TinyClip(TinyModel):
    RETURN_TYPES = ("CLIP",)

    def make(self, name: str) -> tuple[Any]:
        return (MadeUpClip(name),)


class TinySam3(TinyModel):
    RETURN_TYPES = ("MODEL", "CLIP")

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {}, "optional": {"version": ("STRING", {"default": "SAM3"})}}

    def make(self, version: str = "SAM3") -> tuple[Any, Any]:
        return _module("tiny_sam3").load_sam3(version=version)


NODES = (TinyModel, TinyVAE, TinyGallery, TinyClip, TinySam3)
NODE_CLASS_MAPPINGS = {node.__name__: node for node in NODES}
