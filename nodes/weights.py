"""Segment Parts, Parts from Class Map, Parts to Mask, Weighted Mask, Merge Alpha, Preview Weights: for one picture."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..core.alpha import merge_alpha
from ..core.draw.overlay import PARTS_OPACITY, WEIGHTS_OPACITY, parts_overlay, weights_overlay
from ..core.errors import ImageError, SettingError
from ..core.files import write_text
from ..core.host import current_host
from ..core.images import save_image
from ..core.mask_weights import MaskLossSettings
from ..core.parts.part_map import SCHEMES, PartMap, PartSegmenter
from ..core.parts.tiers import TierWeights, parse_class_weights, weigh_parts
from ..core.paths import numbered_path, resolve_write
from ..core.report.previews import HEAT_OPACITY, preview_weights
from ..core.segmenters.class_map import ClassMapEncoding, parts_from_class_map
from .checks import verdict
from .node import Node
from .results import as_json, list_saved, one_or_all, with_pictures
from .sockets import (
    COMBO,
    FLOAT,
    IMAGE,
    INT,
    LOSS_SETTINGS,
    MASK,
    PART_SEGMENTER,
    PARTS,
    SOCKET,
    STRING,
    broadcast,
    check_same_size,
    image_from_pictures,
    mask_from_masks,
    masks_from_mask,
    pictures_from_image,
    tier_inputs,
)


class MaskLossSegmentParts(Node):
    TITLE = "Segment Parts"
    CATEGORY = "MaskLoss/Picture"
    DESCRIPTION = "Tells face, hair and body from the background."
    SEARCH_ALIASES = ("human parsing", "face parsing", "face mask", "hair mask")
    RETURN_TYPES = (PARTS, "IMAGE")
    RETURN_NAMES = ("parts", "preview")

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "image": IMAGE("The picture."),
                "segmenter": SOCKET(PART_SEGMENTER, "From Load Part Segmenter."),
            },
            "optional": {"overlay_opacity": _opacity(PARTS_OPACITY)},
        }

    def run(
        self, image: torch.Tensor, segmenter: PartSegmenter, overlay_opacity: float = PARTS_OPACITY
    ) -> dict[str, Any]:
        pictures = pictures_from_image(image)
        parts = tuple(segmenter.segment(rgb_HWC) for rgb_HWC in pictures)
        overlays = [parts_overlay(*pair, overlay_opacity) for pair in zip(pictures, parts, strict=True)]
        return with_pictures((parts, image_from_pictures(overlays)), overlays, "parts")


class MaskLossPartsFromClassMap(Node):
    TITLE = "Parts from Class Map"
    CATEGORY = "MaskLoss/Picture"
    DESCRIPTION = "Parts that another pack found, handed over as a mask of class numbers."
    SEARCH_ALIASES = ("class id mask", "sapiens2", "segmentation map")
    RETURN_TYPES = (PARTS,)
    RETURN_NAMES = ("parts",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "class_map": MASK("Class numbers as grey values; neither resized nor blurred."),
                "scheme": COMBO(
                    SCHEMES, "The class table of the model that made it; the number is that of its classes."
                ),
            },
            "optional": {"encoding": COMBO(ClassMapEncoding, "How a class number became a grey value.")},
        }

    def run(
        self, class_map: torch.Tensor, scheme: str, encoding: str = ClassMapEncoding.OVER_LAST.value
    ) -> tuple[tuple[PartMap, ...]]:
        if class_map.numel() == 0:
            raise ImageError("class_map holds no picture; connect a MASK with at least one")
        low, high = float(class_map.min()), float(class_map.max())
        # Outside [0, 1] a mask is cut off, and whole class numbers would all become the last class.
        if low < 0 or high > 1:
            raise SettingError(
                f"class_map holds values from {low:g} to {high:g}, expected {encoding}, which is in [0, 1]"
            )
        maps = masks_from_mask(class_map, "class_map")
        return (tuple(parts_from_class_map(map_HW, scheme, encoding) for map_HW in maps),)


class MaskLossPartsToMask(Node):
    TITLE = "Parts to Mask"
    CATEGORY = "MaskLoss/Picture"
    DESCRIPTION = "A mask of the named classes or tiers."
    SEARCH_ALIASES = ("class mask", "human parsing")
    RETURN_TYPES = ("MASK",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "parts": SOCKET(PARTS, "From Segment Parts."),
                "classes": STRING("face,hair,body", "Class names, or face, hair, body; commas between."),
            }
        }

    def run(self, parts: tuple[PartMap, ...], classes: str) -> tuple[torch.Tensor]:
        names = [name for name in classes.split(",") if name.strip()]
        if not names:
            raise SettingError("classes is empty; name at least one class, or face, hair or body")
        return (mask_from_masks([part_map.mask(part_map.scheme.ids(names)) for part_map in parts]),)


class MaskLossWeightedMask(Node):
    TITLE = "Weighted Mask"
    CATEGORY = "MaskLoss/Picture"
    DESCRIPTION = "Face over hair over body over background, each with its own training weight."
    SEARCH_ALIASES = ("tiered mask", "training weights", "face weight", "face mask")
    RETURN_TYPES = ("MASK", "IMAGE")
    RETURN_NAMES = ("weights", "overlay")

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "optional": {
                "parts": SOCKET(PARTS, "From Segment Parts."),
                "image": IMAGE("Only for the overlay."),
                **{tier: MASK(f"Replaces the {tier} of parts; counts from 0.5.") for tier in ("face", "hair", "body")},
                **tier_inputs(),
                "overlay_opacity": _opacity(WEIGHTS_OPACITY),
            }
        }

    @classmethod
    def VALIDATE_INPUTS(cls, class_weights: str | None = None) -> bool | str:
        return verdict(lambda: parse_class_weights(class_weights or ""))

    def run(
        self,
        parts: tuple[PartMap, ...] | None = None,
        image: torch.Tensor | None = None,
        face: torch.Tensor | None = None,
        hair: torch.Tensor | None = None,
        body: torch.Tensor | None = None,
        face_weight: int = 255,
        hair_weight: int = 80,
        body_weight: int = 128,
        background_weight: int = 0,
        class_weights: str = "",
        overlay_opacity: float = WEIGHTS_OPACITY,
    ) -> dict[str, Any]:
        classes = parse_class_weights(class_weights)
        tiers = TierWeights(face_weight, hair_weight, body_weight, background_weight, classes)
        weights = [weigh_parts(tiers, *source) for source in _tier_sources(parts, face, hair, body)]
        pictures = [np.zeros((*weights[0].shape, 3), np.uint8)] if image is None else pictures_from_image(image)
        check_same_size("weights", weights[0], "image", pictures[0])
        both = broadcast({"weights": weights, "image": pictures})
        # Without a picture there is nothing that the colours should let through.
        opacity = 1.0 if image is None else overlay_opacity
        overlays = [weights_overlay(*pair, opacity) for pair in zip(both["image"], both["weights"], strict=True)]
        return with_pictures((mask_from_masks(both["weights"]), image_from_pictures(overlays)), overlays, "weights")


class MaskLossMergeAlpha(Node):
    TITLE = "Merge Alpha"
    CATEGORY = "MaskLoss/Picture"
    DESCRIPTION = "Saves PNG files whose alpha is the training weight. The colours under alpha 0 stay as they are."
    SEARCH_ALIASES = ("rgba", "alpha mask", "save mask")
    RETURN_TYPES = ("IMAGE", "STRING")
    RETURN_NAMES = ("rgba", "paths")
    OUTPUT_IS_LIST = (False, True)
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "image": IMAGE("The picture."),
                "weights": MASK("Becomes alpha: 1 is full weight, not 1 - x."),
            },
            "optional": {
                "filename_prefix": STRING("maskloss/rgba", "Under the output folder; a number follows."),
                "caption": STRING("", "Saved beside each picture as .txt when not empty.", multiline=True),
            },
        }

    def run(
        self, image: torch.Tensor, weights: torch.Tensor, filename_prefix: str = "maskloss/rgba", caption: str = ""
    ) -> dict[str, Any]:
        both = broadcast({"image": pictures_from_image(image), "weights": masks_from_mask(weights, "weights")})
        merged = [merge_alpha(rgb, one_HW) for rgb, one_HW in zip(both["image"], both["weights"], strict=True)]
        paths = [_save_rgba(rgba_HWC, filename_prefix, caption) for rgba_HWC in merged]
        result = (image_from_pictures(merged), [str(path) for path in paths])
        return {"ui": {"images": list_saved(paths)}, "result": result}


class MaskLossPreviewWeights(Node):
    TITLE = "Preview Weights"
    CATEGORY = "MaskLoss/Picture"
    DESCRIPTION = "The weights on the latent grid, as training would use them."
    SEARCH_ALIASES = ("heat map", "mask preview", "latent mask")
    RETURN_TYPES = ("IMAGE", "STRING")
    RETURN_NAMES = ("heat_map", "statistics")
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {"weights": MASK("The weights of a picture.")},
            "optional": {
                "image": IMAGE("Shown under the heat map."),
                "mask_loss": SOCKET(LOSS_SETTINGS, "Applied as in training; unconnected = the weights as they are."),
                "stride": INT(8, 1, 64, "Pixels per latent cell."),
                "overlay_opacity": _opacity(HEAT_OPACITY),
            },
        }

    def run(
        self,
        weights: torch.Tensor,
        image: torch.Tensor | None = None,
        mask_loss: MaskLossSettings | None = None,
        stride: int = 8,
        overlay_opacity: float = HEAT_OPACITY,
    ) -> dict[str, Any]:
        masks = masks_from_mask(weights, "weights")
        both = broadcast({"weights": masks, "image": [None] if image is None else pictures_from_image(image)})
        previews = [
            preview_weights(mask_HW, mask_loss, stride, rgb, overlay_opacity)
            for mask_HW, rgb in zip(both["weights"], both["image"], strict=True)
        ]
        statistics = as_json(one_or_all([preview.statistics for preview in previews]))
        pictures = [preview.picture_HWC for preview in previews]
        return with_pictures((image_from_pictures(pictures), statistics), pictures, "weights", text=[statistics])


def _opacity(default: float) -> tuple[str, dict[str, Any]]:
    return FLOAT(default, 0, 1, 0.05, "How much the colours cover the picture; 0 = not at all.")


def _tier_sources(
    parts: tuple[PartMap, ...] | None,
    face: torch.Tensor | None,
    hair: torch.Tensor | None,
    body: torch.Tensor | None,
) -> list[tuple[Any, ...]]:
    """(part map, face, hair, body) per picture; what is not connected is None everywhere."""
    masks = {"face": face, "hair": hair, "body": body}
    lists = {name: [None] if mask is None else masks_from_mask(mask, name) for name, mask in masks.items()}
    all_lists = broadcast({"parts": [None] if parts is None else list(parts), **lists})
    return list(zip(*all_lists.values(), strict=True))


def _save_rgba(rgba_HWC: np.ndarray, filename_prefix: str, caption: str) -> Path:
    prefix = resolve_write(current_host().folders(), filename_prefix, "filename_prefix")
    path = numbered_path(prefix.parent, prefix.name, ".png")
    save_image(path, rgba_HWC)
    if caption.strip():
        write_text(path.with_suffix(".txt"), caption)
    return path


NODES = (
    MaskLossSegmentParts,
    MaskLossPartsFromClassMap,
    MaskLossPartsToMask,
    MaskLossWeightedMask,
    MaskLossMergeAlpha,
    MaskLossPreviewWeights,
)
