"""Report: the page about a whole run."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..core.cache.store import LatentCache
from ..core.dataset.items import Dataset
from ..core.host import current_host
from ..core.host.reports import KEPT_REPORTS
from ..core.paths import PathKind, resolve_read, resolve_write
from ..core.report.page import last_pictures
from ..core.report.report import write_report
from .node import Node, title_of
from .sockets import CACHE, DATASET, SOCKET, STRING
from .written import OUTPUTS

MOST_PICTURES = 4


class MaskLossReport(Node):
    TITLE = "Report"
    CATEGORY = "MaskLoss/Train"
    DESCRIPTION = "A page with every photograph, its tiers, faces, weights as trained, and the loss curves."
    SEARCH_ALIASES = ("html report", "summary", "loss curve")
    RETURN_TYPES = ("STRING",)
    RETURN_NAMES = ("index_html",)
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "optional": {
                "dataset": SOCKET(DATASET, "The dataset that was cached."),
                "cache": SOCKET(CACHE, "The cache that was trained on."),
                "loss": SOCKET("LOSS_MAP", "From Train LoRA."),
                "lora_path": STRING("", "The LoRA file; connect it, or name one under output."),
                "output_directory": STRING("maskloss/report", "Under output."),
            }
        }

    @classmethod
    def IS_CHANGED(cls, **_: object) -> str:
        return OUTPUTS.is_changed()

    def run(
        self,
        dataset: Dataset | None = None,
        cache: LatentCache | None = None,
        loss: Mapping[str, Sequence[Any]] | None = None,
        lora_path: str = "",
        output_directory: str = "maskloss/report",
    ) -> dict[str, Any]:
        host = current_host()
        lora = resolve_read(host.folders(), lora_path, "lora_path", PathKind.FILE) if lora_path.strip() else None
        directory = resolve_write(host.folders(), output_directory, "output_directory")
        given = [(f"{title_of(one.node_class)} ({one.node})", one.text) for one in host.warnings_before()]
        page, lines = write_report(directory, dataset, cache, loss, lora, progress=host.progress(), given=given)
        OUTPUTS.note(page)
        pictures = last_pictures(page.read_text(encoding="utf-8"), MOST_PICTURES)
        ui = {
            "text": ["\n".join(lines)],
            "summary": lines,
            # The last line is where the page lies, which a link says better.
            "said": lines[:-1],
            "report": [{"id": KEPT_REPORTS.keep(directory), "page": page.name, "pictures": pictures}],
        }
        return {"ui": ui, "result": (str(page),)}


NODES = (MaskLossReport,)
