"""Crops (Dataset): crops around the person beside the photographs, or in their place."""

from __future__ import annotations

from typing import Any

from ..core.dataset.items import Dataset
from ..core.host import current_host
from ..core.masks.crop_dataset import CropRules, crop_dataset
from ..core.report.crops_sheet import crops_sheet
from .dataset_masks import SHEET_COLUMNS, SHEET_LIMIT
from .node import Node
from .results import as_json, with_report
from .sockets import DATASET, FLOAT, INT, SOCKET, STRING

MAX_REPEATS = 10_000
_BEFORE = "Put before the caption; [caption] in it stands for the caption."


class MaskLossDatasetCrops(Node):
    TITLE = "Crops (Dataset)"
    CATEGORY = "MaskLoss/Dataset"
    DESCRIPTION = "Crops around the person as further items: more of the face in each step. No file is written."
    SEARCH_ALIASES = ("crop face", "close-up", "head crop", "portrait crop", "face crop")
    RETURN_TYPES = (DATASET, "STRING")
    RETURN_NAMES = ("dataset", "report")
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {"dataset": SOCKET(DATASET, "With masks: after Build Masks and Keep Person.")},
            "optional": {
                "whole": INT(1, 0, MAX_REPEATS, "How often whole photographs come, times their own repeats; 0 = not."),
                "bust": INT(0, 0, MAX_REPEATS, "How often head and shoulders come; 0 = not."),
                "face": INT(0, 0, MAX_REPEATS, "How often face and hair come; 0 = not."),
                "margin": FLOAT(0.3, 0, 10, 0.05, "Room around, in parts of the head's longer side."),
                "min_face_px": INT(0, 0, 16384, "No crop where the face's shorter side has fewer pixels."),
                "caption_bust": STRING("", f"Busts, such as: upper body of. {_BEFORE}"),
                "caption_face": STRING("", f"Faces, such as: close-up portrait of. {_BEFORE}"),
                "caption_whole": STRING("", f"Whole photographs. {_BEFORE}"),
            },
        }

    def run(
        self,
        dataset: Dataset,
        whole: int = 1,
        bust: int = 0,
        face: int = 0,
        margin: float = 0.3,
        min_face_px: int = 0,
        caption_bust: str = "",
        caption_face: str = "",
        caption_whole: str = "",
    ) -> dict[str, Any]:
        rules = CropRules(whole, bust, face, margin, min_face_px, caption_whole, caption_bust, caption_face)
        host = current_host()
        cropped, report = crop_dataset(dataset, rules, host.progress())
        sheet_HWC = crops_sheet(dataset, report, SHEET_COLUMNS, SHEET_LIMIT)
        return with_report((cropped, as_json(report)), report["messages"], [sheet_HWC], "crops")


NODES = (MaskLossDatasetCrops,)
