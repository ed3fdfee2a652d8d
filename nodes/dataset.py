"""A folder of photographs: scanning, masks, the one person, alpha, contact sheet."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

from ..core.data.build_masks import build_masks
from ..core.data.items import Dataset, LoadSettings
from ..core.data.keep_person import keep_person
from ..core.data.merge_alpha import merge_dataset_alpha
from ..core.data.scan import DatasetConfig, scan_dataset
from ..core.errors import SettingError
from ..core.host import current_host
from ..core.parts.part_map import PartSegmenter
from ..core.parts.tiers import TierWeights, parse_class_weights
from ..core.paths import PathKind, resolve_read, resolve_write
from ..core.people.faces import FaceRecognizer
from ..core.people.identity import Identity, MatchRules, OnNoMatch
from ..core.people.instances import PersonSegmenter
from ..core.previews import dataset_sheet
from .checks import verdict
from .node import Node
from .results import as_json, changed, shown, told
from .sockets import (
    BOOLEAN,
    COMBO,
    DATASET,
    FACE_RECOGNIZER,
    FLOAT,
    IDENTITY,
    INT,
    PART_SEGMENTER,
    PERSON_SEGMENTER,
    SOCKET,
    STRING,
    image_from_pictures,
    tier_inputs,
)

# Classes after which items have masks that LoadDataset cannot see yet.
MASK_BUILDERS = frozenset({"MaskLossDatasetBuildMasks", "MaskLossDatasetSetMasks"})
MAX_PX = 16384


class MaskLossLoadDataset(Node):
    TITLE = "Load Dataset"
    CATEGORY = "MaskLoss/Dataset"
    DESCRIPTION = "Photographs with their masks and captions, found by name."
    SEARCH_ALIASES = ("training images", "image folder", "captions", "buckets")
    RETURN_TYPES = (DATASET, "STRING")
    RETURN_NAMES = ("dataset", "report")

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {"directory": STRING("", "Folder of photographs, under input or output.")},
            "optional": {
                "mask_directory": STRING("", "Folder of masks with the photographs' names; white is full weight."),
                "alpha_mask": BOOLEAN(False, "Take alpha as the mask."),
                "require_mask": BOOLEAN(False, "A photograph without a mask is an error."),
                "caption_directory": STRING("", "Folder of captions; empty = beside the photographs."),
                "caption_extension": STRING(".txt", "Suffix of caption files."),
                "control_directory": STRING("", "Folder of control images with the photographs' names."),
                "recursive": BOOLEAN(False, "Subfolders too."),
                "num_repeats": INT(1, 1, 10_000, "How often each photograph comes per epoch."),
                "resolution_width": INT(1024, 16, MAX_PX, "Width × height is the area of every bucket.", 8),
                "resolution_height": INT(1024, 16, MAX_PX, "Width × height is the area of every bucket.", 8),
                "enable_bucket": BOOLEAN(True, "Keep the aspect by buckets; off = crop to the resolution."),
                "bucket_no_upscale": BOOLEAN(False, "Small photographs get smaller buckets instead of being enlarged."),
                "bucket_step": INT(16, 8, 256, "Bucket sides are multiples of this.", 8),
                "min_bucket": INT(0, 0, MAX_PX, "Least bucket side; 0 = no bound.", 8),
                "max_bucket": INT(0, 0, MAX_PX, "Greatest bucket side; 0 = no bound.", 8),
            },
        }

    @classmethod
    def IS_CHANGED(
        cls,
        directory: str | None = None,
        mask_directory: str | None = None,
        caption_directory: str | None = None,
        control_directory: str | None = None,
        recursive: bool | None = None,
        **_: object,
    ) -> str:
        return changed((directory, mask_directory, caption_directory, control_directory), recursive is not False)

    def run(
        self,
        directory: str,
        mask_directory: str = "",
        alpha_mask: bool = False,
        require_mask: bool = False,
        caption_directory: str = "",
        caption_extension: str = ".txt",
        control_directory: str = "",
        recursive: bool = False,
        num_repeats: int = 1,
        resolution_width: int = 1024,
        resolution_height: int = 1024,
        enable_bucket: bool = True,
        bucket_no_upscale: bool = False,
        bucket_step: int = 16,
        min_bucket: int = 0,
        max_bucket: int = 0,
    ) -> dict[str, Any]:
        resolution = (resolution_width, resolution_height)
        buckets = (enable_bucket, bucket_no_upscale, bucket_step, min_bucket, max_bucket)
        config = DatasetConfig(
            directory=_read_directory(directory, "directory"),
            mask_directory=_optional_directory(mask_directory, "mask_directory"),
            caption_directory=_optional_directory(caption_directory, "caption_directory"),
            caption_extension=caption_extension,
            control_directory=_optional_directory(control_directory, "control_directory"),
            recursive=recursive,
            num_repeats=num_repeats,
            settings=LoadSettings(resolution, *buckets, alpha_mask, require_mask),
        )
        running = current_host().running_classes()
        dataset, report = scan_dataset(config, masks_follow=running is None or bool(running & MASK_BUILDERS))
        return told((dataset, as_json(report.to_json())), report.messages())


class MaskLossDatasetBuildMasks(Node):
    TITLE = "Build Masks (Dataset)"
    CATEGORY = "MaskLoss/Dataset"
    DESCRIPTION = "A tiered weight mask for every photograph that has none."
    SEARCH_ALIASES = ("batch mask", "tiered mask", "human parsing")
    RETURN_TYPES = (DATASET, "STRING")
    RETURN_NAMES = ("dataset", "report")
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "dataset": SOCKET(DATASET, "From Load Dataset."),
                "segmenter": SOCKET(PART_SEGMENTER, "From Load Part Segmenter."),
            },
            "optional": {
                **tier_inputs(),
                "output_directory": STRING("", "Under output; empty = maskloss/masks/<the photographs' folder>."),
                "overwrite": BOOLEAN(False, "Replace masks that are there already."),
            },
        }

    @classmethod
    def VALIDATE_INPUTS(cls, class_weights: str | None = None) -> bool | str:
        return verdict(lambda: parse_class_weights(class_weights or ""))

    def run(
        self,
        dataset: Dataset,
        segmenter: PartSegmenter,
        face_weight: int = 255,
        hair_weight: int = 80,
        body_weight: int = 128,
        background_weight: int = 0,
        class_weights: str = "",
        output_directory: str = "",
        overwrite: bool = False,
    ) -> dict[str, Any]:
        classes = parse_class_weights(class_weights)
        tiers = TierWeights(face_weight, hair_weight, body_weight, background_weight, classes)
        output = _output_directory(output_directory, "masks", dataset)
        dataset, report = build_masks(dataset, segmenter, tiers, output, overwrite, current_host().progress())
        return told((dataset, as_json(report)))


class MaskLossDatasetKeepPerson(Node):
    TITLE = "Keep Person (Dataset)"
    CATEGORY = "MaskLoss/Dataset"
    DESCRIPTION = "Only the one person keeps weight. Photographs in which they cannot be told apart are left out."
    SEARCH_ALIASES = ("face match", "isolate person", "bystanders")
    RETURN_TYPES = (DATASET, "STRING")
    RETURN_NAMES = ("dataset", "report")
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "dataset": SOCKET(DATASET, "From Build Masks, or any dataset with masks."),
                "recognizer": SOCKET(FACE_RECOGNIZER, "The one that read the reference faces."),
                "identity": SOCKET(IDENTITY, "From Reference Faces."),
                "person_segmenter": SOCKET(PERSON_SEGMENTER, "From Load Person Segmenter."),
            },
            "optional": {
                "min_similarity": FLOAT(0.0, 0, 1, 0.01, "How alike a face must be; 0 = the recogniser's own value."),
                "margin": FLOAT(0.05, 0, 1, 0.01, "How far the best face must be ahead of the second."),
                "on_no_match": COMBO(
                    ("skip", "error", "empty", "largest"), "What to do where the person cannot be told apart."
                ),
                "dilate_px": INT(0, 0, 512, "The person's mask grows by so many pixels."),
                "feather_px": INT(0, 0, 512, "Outside it the weights fall off over so many pixels."),
                "instance_directory": STRING("", "The person's own masks: written here, and used where they lie."),
                "output_directory": STRING("", "Under output; empty = maskloss/person/<the photographs' folder>."),
                "overwrite": BOOLEAN(False, "Replace files that were edited by hand."),
                "choices": STRING("", "name=face_index per line, for photographs where you choose.", multiline=True),
            },
        }

    @classmethod
    def VALIDATE_INPUTS(cls, choices: str | None = None) -> bool | str:
        return verdict(lambda: parse_choices(choices or ""))

    def run(
        self,
        dataset: Dataset,
        recognizer: FaceRecognizer,
        identity: Identity,
        person_segmenter: PersonSegmenter,
        min_similarity: float = 0.0,
        margin: float = 0.05,
        on_no_match: str = "skip",
        dilate_px: int = 0,
        feather_px: int = 0,
        instance_directory: str = "",
        output_directory: str = "",
        overwrite: bool = False,
        choices: str = "",
    ) -> dict[str, Any]:
        host = current_host()
        written = instance_directory.strip()
        dataset, report = keep_person(
            dataset,
            recognizer,
            identity,
            person_segmenter,
            MatchRules(min_similarity, margin, on_no_match=OnNoMatch(on_no_match)),
            _output_directory(output_directory, "person", dataset),
            dilate_px,
            feather_px,
            resolve_write(host.folders(), written, "instance_directory") if written else None,
            overwrite,
            parse_choices(choices),
            host.progress(),
        )
        return told((dataset, as_json(report)), [str(report["text"])])


class MaskLossDatasetMergeAlpha(Node):
    TITLE = "Merge Alpha (Dataset)"
    CATEGORY = "MaskLoss/Dataset"
    DESCRIPTION = "One PNG per photograph whose alpha is its weights, for any trainer that reads alpha."
    SEARCH_ALIASES = ("rgba", "alpha mask")
    RETURN_TYPES = (DATASET, "STRING")
    RETURN_NAMES = ("dataset", "report")
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "dataset": SOCKET(DATASET, "A dataset with masks."),
                "output_directory": STRING("maskloss/rgba", "Under output."),
            },
            "optional": {
                "dry_run": BOOLEAN(False, "Only say what would be written."),
                "skip_existing": BOOLEAN(False, "Leave files alone that are there already."),
            },
        }

    def run(
        self, dataset: Dataset, output_directory: str, dry_run: bool = False, skip_existing: bool = False
    ) -> dict[str, Any]:
        host = current_host()
        output = resolve_write(host.folders(), output_directory, "output_directory")
        dataset, report = merge_dataset_alpha(dataset, output, dry_run, skip_existing, host.progress())
        return told((dataset, as_json(report)))


class MaskLossPreviewDataset(Node):
    TITLE = "Preview Dataset"
    CATEGORY = "MaskLoss/Dataset"
    DESCRIPTION = "A contact sheet: every photograph under its weights."
    SEARCH_ALIASES = ("contact sheet", "mask preview")
    RETURN_TYPES = ("IMAGE",)
    RETURN_NAMES = ("sheet",)
    OUTPUT_NODE = True

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {"dataset": SOCKET(DATASET, "Any dataset.")},
            "optional": {
                "columns": INT(4, 1, 16, "Photographs in a row."),
                "limit": INT(32, 1, 256, "Photographs at most."),
                "offset": INT(0, 0, 1_000_000, "The first one shown."),
            },
        }

    def run(self, dataset: Dataset, columns: int = 4, limit: int = 32, offset: int = 0) -> dict[str, Any]:
        sheet_HWC = dataset_sheet(dataset, columns, offset, limit, current_host().progress())
        return shown((image_from_pictures([sheet_HWC]),), [sheet_HWC], "dataset")


def parse_choices(text: str) -> dict[str, int]:
    """ "name=face_index" per line to a mapping. SettingError for a line of another form or a name given twice."""
    choices: dict[str, int] = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        name, _, number = (piece.strip() for piece in line.rpartition("="))
        if not name or not number.isdecimal():
            raise SettingError(f"choices holds {line!r}; write name=face_index, such as holiday/beach=2")
        if name in choices:
            raise SettingError(f"choices names {name!r} twice; choose one face")
        choices[name] = int(number)
    return choices


def _read_directory(text: str, name: str) -> Path:
    return resolve_read(current_host().folders(), text, name, PathKind.DIRECTORY)


def _optional_directory(text: str, name: str) -> Path | None:
    return _read_directory(text, name) if text.strip() else None


def _output_directory(text: str, step: str, dataset: Dataset) -> Path:
    """Where a step writes: as told, else a folder named after the photographs', so that no two datasets meet."""
    if not text.strip() and dataset.items:
        folder = dataset.items[0].media_path.parent
        text = f"maskloss/{step}/{folder.name}-{hashlib.sha256(str(folder).encode()).hexdigest()[:8]}"
    return resolve_write(current_host().folders(), text or f"maskloss/{step}", "output_directory")


NODES = (
    MaskLossLoadDataset,
    MaskLossDatasetBuildMasks,
    MaskLossDatasetKeepPerson,
    MaskLossDatasetMergeAlpha,
    MaskLossPreviewDataset,
)
