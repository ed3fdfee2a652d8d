"""Save LoRA, Load LoRA File."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from ..core.host import current_host
from ..core.paths import PathKind, numbered_path, resolve_read, resolve_write
from ..core.train.lora_check import save_for_others
from ..core.train.lora_file import KeyFormat, LoraWeights, load_lora
from .node import Node
from .results import digest_folders
from .sockets import COMBO, SOCKET, STRING


class MaskLossSaveLora(Node):
    TITLE = "Save LoRA"
    CATEGORY = "MaskLoss/Train"
    DESCRIPTION = "Writes a LoRA file that ComfyUI's own loaders read."
    SEARCH_ALIASES = ("save lora", "safetensors", "kohya")
    RETURN_TYPES = ("STRING",)
    RETURN_NAMES = ("path",)
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {"lora": SOCKET("LORA_MODEL", "From Train LoRA or Load LoRA.")},
            "optional": {
                "filename_prefix": STRING("loras/maskloss", "Under output; a number follows."),
                "key_format": COMBO(KeyFormat, "How keys are written; auto = what most programs load whole."),
            },
        }

    def run(
        self,
        lora: Mapping[str, torch.Tensor],
        filename_prefix: str = "loras/maskloss",
        key_format: str = "auto",
    ) -> dict[str, Any]:
        prefix = resolve_write(current_host().folders(), filename_prefix, "filename_prefix")
        path = numbered_path(prefix.parent, prefix.name, ".safetensors")
        save_for_others(path, lora, KeyFormat(key_format))
        return {"ui": {"text": [str(path)], "said": [str(path)]}, "result": (str(path),)}


class MaskLossLoadLora(Node):
    TITLE = "Load LoRA File"
    CATEGORY = "MaskLoss/Train"
    DESCRIPTION = "Reads a LoRA file, to train it further or to save it with other keys."
    SEARCH_ALIASES = ("load lora", "safetensors")
    RETURN_TYPES = ("LORA_MODEL",)
    RETURN_NAMES = ("lora",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"path": STRING("", "A .safetensors file under input or output.")}}

    @classmethod
    def IS_CHANGED(cls, path: str | None = None, **_: object) -> str:
        return digest_folders((path,))

    def run(self, path: str) -> tuple[LoraWeights]:
        return (load_lora(resolve_read(current_host().folders(), path, "path", PathKind.FILE)),)


NODES = (MaskLossSaveLora, MaskLossLoadLora)
