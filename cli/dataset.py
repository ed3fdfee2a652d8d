"""`maskloss dataset`: a folder of photographs with their masks, on its way to other trainers."""

from __future__ import annotations

from pathlib import Path

from ..core.dataset.config_file import scan_config
from ..core.dataset.items import Dataset, LoadSettings
from ..core.dataset.scan import DatasetConfig, scan_dataset
from ..core.dataset.trainer_config import read_any_config
from ..core.host import LocalHost
from ..core.masks.trainer_files import Trainer
from ..core.masks.trainer_folders import export_folders


def export(
    source: Path, output: Path, trainer: str, masks: Path | None, alpha_mask: bool, recursive: bool, resolution: int
) -> None:
    """Write the dataset at `source`, a folder or any trainer's dataset file, for a trainer, and say what came out."""
    host = LocalHost()
    host.label = "export"
    dataset = _scan(host, source, masks, alpha_mask, recursive, resolution)
    _, report = export_folders(dataset, output, Trainer(trainer), host.progress())
    messages = report["messages"]
    print("\n".join(messages if isinstance(messages, list) else []))


def _scan(
    host: LocalHost, source: Path, masks: Path | None, alpha_mask: bool, recursive: bool, resolution: int
) -> Dataset:
    if source.is_file():
        return scan_config(read_any_config(source, host.folders()))[0]
    settings = LoadSettings(resolution=(resolution, resolution), alpha_mask=alpha_mask)
    return scan_dataset(DatasetConfig(source, masks, recursive=recursive, settings=settings))[0]
