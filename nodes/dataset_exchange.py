"""Dataset Items, Set Masks (Dataset): photographs for other packs' nodes, and the masks that come back from them."""

from __future__ import annotations

from typing import Any

import torch

from ..core.dataset.items import Dataset
from ..core.host import current_host
from ..core.masks.exchange import hand_out, set_masks
from .node import Node
from .output_folders import output_directory_for
from .results import as_json, with_report
from .sockets import DATASET, INT, MASK, SOCKET, STRING, image_from_pictures, mask_from_masks, masks_from_mask, only
from .written import OUTPUTS


class MaskLossDatasetItems(Node):
    TITLE = "Dataset Items"
    CATEGORY = "MaskLoss/Dataset"
    DESCRIPTION = "Photographs, or frames of videos, and weights one by one, for any node; full weight without a mask."
    SEARCH_ALIASES = ("load images", "image list", "batch")
    RETURN_TYPES = ("IMAGE", "MASK", "STRING")
    RETURN_NAMES = ("images", "masks", "names")
    OUTPUT_IS_LIST = (True, True, True)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {"dataset": SOCKET(DATASET, "Any dataset.")},
            "optional": {
                "offset": INT(0, 0, 1_000_000, "The first one."),
                "limit": INT(8, 1, 100_000, "Photographs and videos at most; they are all in memory at once."),
            },
        }

    def run(
        self, dataset: Dataset, offset: int = 0, limit: int = 8
    ) -> tuple[list[torch.Tensor], list[torch.Tensor], list[str]]:
        given = list(hand_out(dataset, offset, limit, current_host().progress()))
        images = [image_from_pictures(item.pictures) for item in given]
        masks = [mask_from_masks(item.masks) for item in given]
        return images, masks, [item.name for item in given]


class MaskLossDatasetSetMasks(Node):
    TITLE = "Set Masks (Dataset)"
    CATEGORY = "MaskLoss/Dataset"
    DESCRIPTION = "Masks from any node become the weights of the photographs named."
    SEARCH_ALIASES = ("custom mask", "save masks")
    RETURN_TYPES = (DATASET, "STRING")
    RETURN_NAMES = ("dataset", "report")
    OUTPUT_NODE = True
    INPUT_IS_LIST = True

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "dataset": SOCKET(DATASET, "The one that the names are from."),
                "names": STRING("", "From Dataset Items, one for each mask; or one per line.", multiline=True),
                "masks": MASK("White is full weight; the photographs' sizes or their aspects."),
            },
            "optional": {
                "output_directory": STRING("", "Under output; empty = maskloss/set_masks/<the photographs' folder>."),
            },
        }

    @classmethod
    def IS_CHANGED(cls, **_: object) -> str:
        return OUTPUTS.is_changed()

    def run(
        self,
        dataset: list[Dataset],
        names: list[str],
        masks: list[torch.Tensor],
        output_directory: list[str] | str = "",
    ) -> dict[str, Any]:
        given = only(dataset, "dataset")
        lines = [line.strip() for text in names for line in text.splitlines() if line.strip()]
        weights = [mask_HW for mask in masks for mask_HW in masks_from_mask(mask, "masks")]
        output = output_directory_for(only(output_directory, "output_directory"), "set_masks", given)
        changed, report = set_masks(given, lines, weights, output, current_host().progress())
        OUTPUTS.note(output)
        return with_report((changed, as_json(report)))


NODES = (MaskLossDatasetItems, MaskLossDatasetSetMasks)
