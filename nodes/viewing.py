"""Datasets that nodes give out are opened for the viewer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from ..core.dataset.items import Dataset
from ..core.host import current_host
from ..core.paths import resolve_write
from ..core.viewer.viewed import VIEWED, view_dataset
from .corrections import correction_store

THUMBNAILS = "maskloss/thumbnails"


def viewed(dataset: Dataset, title: str, rows: Sequence[Mapping[str, Any]] = ()) -> list[str]:
    """`ui` value of a node whose result can be looked at: the dataset's id; none where no graph editor watches.
    `rows` are the items of the node's report."""
    host = current_host()
    if host.running_node() is None:
        return []
    pictures = resolve_write(host.folders(), THUMBNAILS, "output_directory")
    return [VIEWED.keep(view_dataset(dataset, title, rows, correction_store(), pictures))]
