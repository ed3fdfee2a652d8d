"""Cut Out Person (Dataset): control images for edit models, made from the dataset itself."""

from __future__ import annotations

from typing import Any

from ..core.dataset.items import Dataset
from ..core.host import current_host
from ..core.masks.cut_out import CutOutRules, cut_out_person
from ..core.report.controls_sheet import controls_sheet
from .dataset_masks import SHEET_COLUMNS, SHEET_LIMIT
from .node import Node
from .output_folders import output_directory_for
from .results import as_json, digest_edits, with_report
from .sockets import BOOLEAN, DATASET, FLOAT, SOCKET, STRING
from .written import OUTPUTS


class MaskLossDatasetCutOut(Node):
    TITLE = "Cut Out Person (Dataset)"
    CATEGORY = "MaskLoss/Dataset"
    DESCRIPTION = "Control images for edit models: each photograph with the person cut out of the scene."
    SEARCH_ALIASES = ("control image", "edit model", "kontext", "qwen image edit", "remove person")
    RETURN_TYPES = (DATASET, "STRING")
    RETURN_NAMES = ("dataset", "report")
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {"dataset": SOCKET(DATASET, "With masks: after Build Masks and Keep Person.")},
            "optional": {
                "grow_percent": FLOAT(
                    1.5, 0, 25, 0.1, "How far the hole reaches beyond the person, % of the longer side."
                ),
                "output_directory": STRING("", "Under output; empty = a folder of its own under maskloss."),
                "overwrite": BOOLEAN(False, "Also replace files that were edited, or that another step wrote."),
            },
        }

    @classmethod
    def IS_CHANGED(cls, output_directory: str = "", **_: object) -> str:
        return OUTPUTS.is_changed() + digest_edits(output_directory)

    def run(
        self, dataset: Dataset, grow_percent: float = 1.5, output_directory: str = "", overwrite: bool = False
    ) -> dict[str, Any]:
        host, rules = current_host(), CutOutRules(grow_percent)
        output = output_directory_for(output_directory, "cut_out", dataset, rules)
        dataset, report = cut_out_person(dataset, output, rules, overwrite, host.progress())
        OUTPUTS.note(output)
        sheet_HWC = controls_sheet(dataset, SHEET_COLUMNS, SHEET_LIMIT)
        return with_report((dataset, as_json(report)), report["messages"], [sheet_HWC], "controls")


NODES = (MaskLossDatasetCutOut,)
