"""Load Dataset, Merge Datasets, Merge Alpha (Dataset), Preview Dataset."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..core.dataset.items import Dataset, LoadSettings
from ..core.dataset.merge import merge_datasets
from ..core.dataset.scan import DatasetConfig, scan_dataset
from ..core.host import current_host
from ..core.mask_meaning import MaskMeaning
from ..core.masks.merge_alpha import merge_dataset_alpha
from ..core.paths import PathKind, resolve_read, resolve_write
from ..core.report.previews import dataset_sheet
from ..core.video.clips import FrameExtraction, VideoSettings, parse_target_frames
from .checks import verdict
from .corrections import corrected, digest_corrections
from .node import Node
from .results import as_json, digest_folders, say, with_pictures, with_report
from .sockets import (
    BOOLEAN,
    COMBO,
    DATASET,
    FLOAT,
    INT,
    RARE,
    SOCKET,
    STRING,
    image_from_pictures,
)
from .viewing import viewed
from .written import OUTPUTS

# Classes after which items have masks that LoadDataset cannot see yet.
MASK_BUILDERS = frozenset({"MaskLossDatasetBuildMasks", "MaskLossDatasetSetMasks"})
MAX_PX = 16384
MAX_FRAMES = 100_000


class MaskLossLoadDataset(Node):
    TITLE = "Load Dataset"
    CATEGORY = "MaskLoss/Dataset"
    DESCRIPTION = "Photographs and videos with their masks and captions, found by name."
    SEARCH_ALIASES = ("training images", "image folder", "video folder", "captions", "buckets")
    RETURN_TYPES = (DATASET, "STRING")
    RETURN_NAMES = ("dataset", "report")

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {"directory": STRING("", "Folder of photographs and videos, under input or output.")},
            "optional": {
                "mask_directory": STRING("", "Folder of masks with their names; white is full weight."),
                "alpha_mask": BOOLEAN(False, "Take alpha as the mask."),
                "require_mask": RARE(BOOLEAN(False, "A photograph without a mask is an error.")),
                "caption_directory": RARE(STRING("", "Folder of captions; empty = beside the photographs.")),
                "caption_extension": RARE(STRING(".txt", "Suffix of caption files.")),
                "control_directory": RARE(
                    STRING("", "Control images for edit models by the photographs' names: name.png, or name_0.png…")
                ),
                "recursive": BOOLEAN(False, "Subfolders too."),
                "num_repeats": INT(1, 1, 10_000, "How often each photograph comes per epoch."),
                "resolution_width": INT(1024, 16, MAX_PX, "Width × height is the area of every bucket.", 8),
                "resolution_height": INT(1024, 16, MAX_PX, "Width × height is the area of every bucket.", 8),
                "enable_bucket": RARE(BOOLEAN(True, "Keep the aspect by buckets; off = crop to the resolution.")),
                "bucket_no_upscale": RARE(
                    BOOLEAN(False, "Small photographs get smaller buckets instead of being enlarged.")
                ),
                "bucket_step": RARE(INT(16, 8, 256, "Bucket sides are multiples of this.", 8)),
                "min_bucket": RARE(INT(0, 0, MAX_PX, "Least bucket side; 0 = no bound.", 8)),
                "max_bucket": RARE(INT(0, 0, MAX_PX, "Greatest bucket side; 0 = no bound.", 8)),
                "target_frames": RARE(
                    STRING("1", "Videos: clip lengths in frames, such as 1, 25, 45; 4k+1, rounded down.")
                ),
                "frame_extraction": RARE(COMBO(FrameExtraction, "Videos: where clips are taken from.")),
                "frame_stride": RARE(
                    INT(1, 1, MAX_FRAMES, "Videos, slide: frames from the start of a clip to the next's.")
                ),
                "frame_sample": RARE(INT(1, 1, MAX_FRAMES, "Videos, uniform: clips of each length.")),
                "max_frames": RARE(INT(129, 1, MAX_FRAMES, "Videos, full: frames at most.")),
                "target_fps": RARE(
                    FLOAT(16.0, 0, 240, 0.001, "Frames per second: WAN 16, HunyuanVideo 24; 0 = all frames.")
                ),
                "mask_meaning": RARE(
                    COMBO(MaskMeaning, "What of a mask file is the weight; auto chooses by what it holds.")
                ),
                "folder_repeats": RARE(
                    BOOLEAN(False, "A folder named 10_me gives its photographs 10 times num_repeats.")
                ),
                "caption_file": RARE(STRING("", "One .json or .jsonl with many captions; empty = text files alone.")),
                "regularisation": FLOAT(
                    0.0, 0, 0.9, 0.01, "Fraction of an epoch for regularisation images; 0 = learnt."
                ),
            },
        }

    @classmethod
    def VALIDATE_INPUTS(cls, target_frames: str | None = None) -> bool | str:
        return True if target_frames is None else verdict(lambda: parse_target_frames(target_frames))

    @classmethod
    def IS_CHANGED(
        cls,
        directory: str | None = None,
        mask_directory: str | None = None,
        caption_directory: str | None = None,
        control_directory: str | None = None,
        recursive: bool | None = None,
        caption_file: str | None = None,
        **_: object,
    ) -> str:
        # Subfolders of the other three are always read.
        beside = digest_folders((mask_directory, caption_directory, control_directory, caption_file))
        by_hand = digest_corrections(directory, recursive)
        return digest_folders((directory,), recursive is not False) + beside + by_hand

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
        target_frames: str = "1",
        frame_extraction: str = "head",
        frame_stride: int = 1,
        frame_sample: int = 1,
        max_frames: int = 129,
        target_fps: float = 16.0,
        mask_meaning: str = "auto",
        folder_repeats: bool = False,
        caption_file: str = "",
        regularisation: float = 0.0,
    ) -> dict[str, Any]:
        resolution = (resolution_width, resolution_height)
        buckets = (enable_bucket, bucket_no_upscale, bucket_step, min_bucket, max_bucket)
        lengths, extraction = parse_target_frames(target_frames), FrameExtraction(frame_extraction)
        video = VideoSettings(lengths, extraction, frame_stride, frame_sample, max_frames, target_fps)
        config = DatasetConfig(
            directory=_read_directory(directory, "directory"),
            mask_directory=_optional_directory(mask_directory, "mask_directory"),
            caption_directory=_optional_directory(caption_directory, "caption_directory"),
            caption_extension=caption_extension,
            control_directory=_optional_directory(control_directory, "control_directory"),
            recursive=recursive,
            num_repeats=num_repeats,
            settings=LoadSettings(resolution, *buckets, alpha_mask, require_mask, video, MaskMeaning(mask_meaning)),
            folder_repeats=folder_repeats,
            caption_file=_optional_file(caption_file, "caption_file"),
            regularisation=regularisation,
        )
        dataset, report = scan_dataset(config, masks_follow())
        dataset, messages = corrected(dataset)
        return with_report((take_shard(dataset), as_json(report.to_json())), [*report.messages(), *messages])


class MaskLossMergeDatasets(Node):
    TITLE = "Merge Datasets"
    CATEGORY = "MaskLoss/Dataset"
    DESCRIPTION = "Two datasets as one. The weights say how often each comes."
    SEARCH_ALIASES = ("join datasets", "regularization images", "repeats")
    RETURN_TYPES = (DATASET,)
    RETURN_NAMES = ("dataset",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "first": SOCKET(DATASET, "Any dataset."),
                "second": SOCKET(DATASET, "Another one."),
            },
            "optional": {
                "first_weight": FLOAT(1.0, 0.01, 1000, 0.01, "The first one's repeats are multiplied by this."),
                "second_weight": FLOAT(1.0, 0.01, 1000, 0.01, "The second one's repeats are multiplied by this."),
            },
        }

    def run(
        self, first: Dataset, second: Dataset, first_weight: float = 1.0, second_weight: float = 1.0
    ) -> dict[str, Any]:
        dataset, messages = merge_datasets(first, second, first_weight, second_weight)
        return {"ui": {"text": ["\n".join(messages)], "said": say(messages)}, "result": (dataset,)}


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

    @classmethod
    def IS_CHANGED(cls, **_: object) -> str:
        return OUTPUTS.is_changed()

    def run(
        self, dataset: Dataset, output_directory: str, dry_run: bool = False, skip_existing: bool = False
    ) -> dict[str, Any]:
        host = current_host()
        output = resolve_write(host.folders(), output_directory, "output_directory")
        dataset, report = merge_dataset_alpha(dataset, output, dry_run, skip_existing, host.progress(), host.spread())
        if not dry_run:
            OUTPUTS.note(output)
        return with_report((dataset, as_json(report)), report["messages"])


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
        return with_pictures(
            (image_from_pictures([sheet_HWC]),), [sheet_HWC], "dataset", viewer=viewed(dataset, self.TITLE)
        )


def take_shard(dataset: Dataset) -> Dataset:
    """This machine's shard, where several divide the work."""
    shard = current_host().shard()
    return dataset if shard is None else shard.take(dataset)


def masks_follow() -> bool:
    """Whether a later node may still give the items their masks."""
    running = current_host().running_classes()
    return running is None or bool(running & MASK_BUILDERS)


def _read_directory(text: str, name: str) -> Path:
    return resolve_read(current_host().folders(), text, name, PathKind.DIRECTORY)


def _optional_directory(text: str, name: str) -> Path | None:
    return _read_directory(text, name) if text.strip() else None


def _optional_file(text: str, name: str) -> Path | None:
    return resolve_read(current_host().folders(), text, name, PathKind.FILE) if text.strip() else None


NODES = (
    MaskLossLoadDataset,
    MaskLossMergeDatasets,
    MaskLossDatasetMergeAlpha,
    MaskLossPreviewDataset,
)
