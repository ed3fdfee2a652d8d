"""Corrections by hand, as the nodes that load datasets find them."""

from __future__ import annotations

from pathlib import Path

from ..core.corrections.store import CorrectionStore
from ..core.dataset.corrected import with_corrections
from ..core.dataset.items import Dataset
from ..core.errors import PathError
from ..core.host import current_host
from ..core.paths import listing_digest, resolve_read, resolve_write

DIRECTORY = "maskloss/corrections"


def correction_store() -> CorrectionStore:
    """The corrections of all datasets, in ComfyUI's output folder."""
    return CorrectionStore(resolve_write(current_host().folders(), DIRECTORY, "output_directory"))


def corrected(dataset: Dataset) -> tuple[Dataset, list[str]]:
    """The dataset with its corrections, and what is said of them."""
    return with_corrections(dataset, correction_store())


def digest_corrections(directory: str | None, recursive: bool | None) -> str:
    """IS_CHANGED of the corrections of photographs in `directory`; of all there are where subfolders belong to it or it
    is not known."""
    store = correction_store()
    folders: list[Path] = [store.directory]
    if directory and recursive is False:
        try:
            folders = [store.folder_of(resolve_read(current_host().folders(), directory))]
        except PathError as error:
            return str(error)
    return listing_digest([folder for folder in folders if folder.is_dir()])
