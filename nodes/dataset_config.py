"""Load Dataset (Config File): a dataset by the file that describes it to a trainer."""

from __future__ import annotations

from typing import Any

from ..core.dataset.config_file import scan_config
from ..core.dataset.trainer_config import read_any_config
from ..core.errors import UserError
from ..core.host import current_host
from ..core.paths import PathKind, listing_digest, resolve_read
from .corrections import corrected, digest_corrections
from .dataset import masks_follow, take_shard
from .node import Node
from .results import as_json, with_report
from .sockets import DATASET, STRING


class MaskLossLoadDatasetConfig(Node):
    TITLE = "Load Dataset (Config File)"
    CATEGORY = "MaskLoss/Dataset"
    DESCRIPTION = (
        "The datasets that a file describes to musubi-tuner, blissful-tuner, sd-scripts, OneTrainer, AI Toolkit, "
        "SimpleTuner or diffusion-pipe."
    )
    SEARCH_ALIASES = (
        "toml",
        "musubi",
        "blissful",
        "dataset config",
        "kohya",
        "sd-scripts",
        "onetrainer",
        "ai-toolkit",
        "yaml",
    )
    RETURN_TYPES = (DATASET, "STRING")
    RETURN_NAMES = ("dataset", "report")

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"path": STRING("", "The TOML, JSON or YAML file, under input or output.")}}

    @classmethod
    def IS_CHANGED(cls, path: str | None = None, **_: object) -> str:
        folders = current_host().folders()
        try:
            config = read_any_config(resolve_read(folders, path or "", "path", PathKind.FILE), folders)
        except UserError as error:
            # The run will say so; here it only has to differ from a file that is right.
            return str(error)
        return listing_digest(list(config.sources)) + digest_corrections(None, None)

    def run(self, path: str) -> dict[str, Any]:
        folders = current_host().folders()
        config = read_any_config(resolve_read(folders, path, "path", PathKind.FILE), folders)
        dataset, report = scan_config(config, masks_follow())
        dataset, messages = corrected(dataset)
        return with_report((take_shard(dataset), as_json(report)), [*report["messages"], *messages])


NODES = (MaskLossLoadDatasetConfig,)
