"""Dataset Items, Set Masks, Set Captions, Export (Dataset): photographs for others, and what comes back."""

from __future__ import annotations

from typing import Any

import torch

from ..core.dataset.items import Dataset
from ..core.dataset.set_captions import CaptionRules, set_captions
from ..core.host import current_host
from ..core.masks.exchange import hand_out, set_masks
from ..core.masks.trainer_files import Trainer
from ..core.masks.trainer_folders import export_folders
from .node import Node
from .output_folders import new_directory, output_directory_for
from .results import as_json, with_report
from .sockets import (
    BOOLEAN,
    COMBO,
    DATASET,
    INT,
    MASK,
    SOCKET,
    STRING,
    image_from_pictures,
    mask_from_masks,
    masks_from_mask,
    only,
)
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
        lines = _lines(names)
        weights = [mask_HW for mask in masks for mask_HW in masks_from_mask(mask, "masks")]
        output = output_directory_for(only(output_directory, "output_directory"), "set_masks", given)
        changed, report = set_masks(given, lines, weights, output, current_host().progress())
        OUTPUTS.note(output)
        return with_report((changed, as_json(report)))


class MaskLossDatasetSetCaptions(Node):
    TITLE = "Set Captions (Dataset)"
    CATEGORY = "MaskLoss/Dataset"
    DESCRIPTION = "Captions from any node become those of the items named; a trigger word is put into every caption."
    SEARCH_ALIASES = ("caption", "tagger", "trigger word", "class token")
    RETURN_TYPES = (DATASET, "STRING")
    RETURN_NAMES = ("dataset", "report")
    OUTPUT_NODE = True
    INPUT_IS_LIST = True

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "dataset": SOCKET(DATASET, "The one that the names are from."),
                "names": STRING("", "From Dataset Items, one for each caption; or one per line.", multiline=True),
                "captions": STRING("", "One for each name; typed, one per line.", multiline=True),
            },
            "optional": {
                "write_sidecars": BOOLEAN(False, "Write them into text files beside the photographs too."),
                "trigger": STRING("", "Put into every caption that lacks it; empty = none."),
                "class_noun": STRING("", "What the trigger is, such as woman: it goes before that word."),
            },
        }

    def run(
        self,
        dataset: list[Dataset],
        names: list[str],
        captions: list[str],
        write_sidecars: list[bool] | bool = False,
        trigger: list[str] | str = "",
        class_noun: list[str] | str = "",
    ) -> dict[str, Any]:
        named = _lines(names)
        # Typed into one widget they are lines; from nodes each is a text of its own, whatever lines it has.
        texts = captions[0].splitlines() if len(captions) == 1 and len(named) != 1 else captions
        if not named and not any(text.strip() for text in texts):
            texts = []
        rules = CaptionRules(
            only(trigger, "trigger"), only(class_noun, "class_noun"), only(write_sidecars, "write_sidecars")
        )
        changed, report = set_captions(only(dataset, "dataset"), named, texts, rules)
        return with_report((changed, as_json(report)))


class MaskLossDatasetExport(Node):
    TITLE = "Export (Dataset)"
    CATEGORY = "MaskLoss/Dataset"
    DESCRIPTION = (
        "A folder of pictures, masks and captions that another trainer trains from, with its own dataset file."
    )
    SEARCH_ALIASES = ("save dataset", "kohya", "sd-scripts", "onetrainer", "ai-toolkit", "simpletuner", "musubi")
    RETURN_TYPES = ("STRING", "STRING")
    RETURN_NAMES = ("file", "report")
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "dataset": SOCKET(DATASET, "Any dataset."),
                "trainer": COMBO(Trainer, "Who it is for."),
            },
            "optional": {
                "output_directory": STRING(
                    "", "A new folder under output; empty = maskloss/export/<the photographs' folder>."
                ),
            },
        }

    @classmethod
    def IS_CHANGED(cls, **_: object) -> str:
        return OUTPUTS.is_changed()

    def run(self, dataset: Dataset, trainer: str, output_directory: str = "") -> dict[str, Any]:
        output = new_directory(output_directory_for(output_directory, "export", dataset, trainer))
        file, report = export_folders(dataset, output, Trainer(trainer), current_host().progress())
        OUTPUTS.note(output)
        return with_report((str(file), as_json(report)), report["messages"])


def _lines(texts: list[str]) -> list[str]:
    return [line.strip() for text in texts for line in text.splitlines() if line.strip()]


NODES = (MaskLossDatasetItems, MaskLossDatasetSetMasks, MaskLossDatasetSetCaptions, MaskLossDatasetExport)
