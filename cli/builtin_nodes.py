"""The three nodes of ComfyUI that our prompts use, for running without it: LoadImage, SaveImage, PreviewImage."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch

from ..core.host import current_host
from ..core.images import load_image, save_image
from ..core.paths import PathKind, numbered_path, resolve_read, resolve_write
from ..nodes.results import list_saved
from ..nodes.sockets import image_from_pictures, mask_from_masks, pictures_from_image

EMPTY_MASK_PX = 64


class LoadImage:
    RETURN_TYPES = ("IMAGE", "MASK")
    FUNCTION = "load"

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"image": ("STRING", {})}}

    def load(self, image: str) -> tuple[torch.Tensor, torch.Tensor]:
        rgb_HWC, alpha_HW = load_image(resolve_read(current_host().folders(), image, "image", PathKind.FILE))
        # ComfyUI's mask is 1 − alpha, and a small black one where there is no alpha.
        mask_HW = np.zeros((EMPTY_MASK_PX, EMPTY_MASK_PX)) if alpha_HW is None else 1 - alpha_HW / np.float32(255)
        return image_from_pictures([rgb_HWC]), mask_from_masks([mask_HW])


class SaveImage:
    RETURN_TYPES: ClassVar[tuple[str, ...]] = ()
    FUNCTION = "save"
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"images": ("IMAGE",), "filename_prefix": ("STRING", {"default": "ComfyUI"})}}

    def save(self, images: torch.Tensor, filename_prefix: str) -> dict[str, Any]:
        prefix = resolve_write(current_host().folders(), filename_prefix, "filename_prefix")
        paths = []
        for rgb_HWC in pictures_from_image(images, "images"):
            paths.append(numbered_path(prefix.parent, prefix.name, ".png"))
            save_image(paths[-1], rgb_HWC)
        return {"ui": {"images": list_saved(paths)}}


class PreviewImage:
    RETURN_TYPES: ClassVar[tuple[str, ...]] = ()
    FUNCTION = "show"
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"images": ("IMAGE",)}}

    def show(self, images: torch.Tensor) -> dict[str, Any]:
        return {"ui": {"images": current_host().show(pictures_from_image(images, "images"), "preview")}}


BUILTIN_NODES: dict[str, type] = {node.__name__: node for node in (LoadImage, SaveImage, PreviewImage)}
