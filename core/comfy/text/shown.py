"""Captions beside control images, encoded by the node that ComfyUI has for each edit model."""

from __future__ import annotations

import importlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any

import torch

from ...errors import CacheError


class EditModel(str, Enum):
    """Which edit model captions are encoded for, where several share a text encoder; `auto`: the newest."""

    AUTO = "auto"
    QWEN_IMAGE_EDIT = "qwen-image-edit"


@dataclass(frozen=True)
class Showing:
    """A node of ComfyUI's that encodes a caption beside control images, at most `most` of them. `name` tells it from
    the others of its text encoder. `listed`: its pictures come under this name and a number, from `first` on.
    `gives_negative`: it gives the negative prompt beside the positive one."""

    name: str
    module: str
    node: str
    most: int
    listed: str = ""
    first: int = 0
    gives_negative: bool = False

    def encode(self, clip: Any, caption: str, images: Sequence[torch.Tensor]) -> Any:
        """A CONDITIONING of a caption beside images (1,H,W,3) in [0, 1]; of the empty caption the one that the model's
        guidance samples with. CacheError for more images than the node takes."""
        if len(images) > self.most:
            raise CacheError(
                f"A photograph has {len(images)} control images, and this text encoder is shown {self.most} at most "
                f"({self.node}); take some out of control_directory{_other_way(self)}."
            )
        node: Any = getattr(importlib.import_module(f"comfy_extras.{self.module}"), self.node)
        named = {f"{self.listed}{number}": image for number, image in enumerate(images, self.first)}
        given = (named,) if self.listed else images
        with torch.inference_mode():
            if not self.gives_negative:
                return node.execute(clip, caption, None, *given).result[0]
            positive, negative, *_ = node.execute(clip, caption, "", None, *given).result
            return positive if caption else negative


_PLUS = Showing("plus", "nodes_qwen", "TextEncodeQwenImageEditPlus", 3)
_EDIT = Showing("edit", "nodes_qwen", "TextEncodeQwenImageEdit", 1)
_QWEN = "QwenImageTEModel"
# By ComfyUI's class of text encoder.
_SHOWINGS: Mapping[str, Showing] = {
    _QWEN: _PLUS,
    "LongCatImageTEModel": _EDIT,
    "BooguTEModel": Showing("edit", "nodes_boogu", "TextEncodeBooguEdit", 16, "image_", 1, True),
    "MageFlowTEModel": Showing("edit", "nodes_mage", "TextEncodeMageFlowEdit", 16, "image_", 1, True),
    "JoyImageTEModel": Showing("edit", "nodes_joyimage", "TextEncodeJoyImageEdit", 6, "image"),
}


def find_showing(text_encoder: Any, edit_model: EditModel) -> Showing | None:
    """How a CLIP's `cond_stage_model` is shown pictures; None where it sees text alone. CacheError where it is not the
    text encoder of `edit_model`."""
    kinds = [kind.__name__ for kind in type(text_encoder).__mro__]
    if edit_model is EditModel.QWEN_IMAGE_EDIT:
        if _QWEN not in kinds:
            raise CacheError(
                f"edit_model is {edit_model.value}, but the CLIP is a {kinds[0]}; set edit_model to auto, or load the "
                "CLIP with the type qwen_image."
            )
        return _EDIT
    return next((_SHOWINGS[kind] for kind in kinds if kind in _SHOWINGS), None)


def _other_way(showing: Showing) -> str:
    return ", or set edit_model to auto for a later Qwen-Image-Edit" if showing is _EDIT else ""
