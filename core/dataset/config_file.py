"""The reference system's dataset file (TOML): `[general]` defaults and several `[[datasets]]` that become one dataset.

Settings that are left out are the reference system's too, so that a file means the same in both. Sizes are
(width, height).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import DatasetError
from ..mask_meaning import MaskMeaning
from ..paths import Folders, PathKind, resolve_beside
from ..video.clips import FrameExtraction, VideoSettings
from ..warning import warn
from .config_values import Kind, fits
from .foreign_keys import about_unknown_key
from .items import Dataset, LoadSettings
from .listed_files import read_listing
from .merge import join_datasets
from .read_toml import read_toml
from .scan import DatasetConfig, ScanReport, scan_dataset

REFERENCE_RESOLUTION = (960, 544)


_DIRECTORIES = ("image_directory", "video_directory")
_BESIDE = ("mask_directory", "caption_directory", "control_directory", "caption_file")
_VIDEO = {
    "target_frames": Kind.COUNTS,
    "frame_extraction": Kind.EXTRACTION,
    **dict.fromkeys(("frame_stride", "frame_sample", "max_frames"), Kind.COUNT),
    **dict.fromkeys(("source_fps", "target_fps"), Kind.RATE),
}
_ACTING = {
    **dict.fromkeys((*_DIRECTORIES, *_BESIDE, "image_jsonl_file", "video_jsonl_file"), Kind.TEXT),
    "caption_extension": Kind.TEXT,
    **_VIDEO,
    **dict.fromkeys(
        ("alpha_mask", "require_mask", "enable_bucket", "bucket_no_upscale", "recursive", "folder_repeats"),
        Kind.SWITCH,
    ),
    **dict.fromkeys(("min_bucket_reso", "max_bucket_reso"), Kind.BOUND),
    **dict.fromkeys(("bucket_reso_steps", "num_repeats"), Kind.COUNT),
    "resolution": Kind.SIZE,
    "regularisation": Kind.FRACTION,
    "mask_meaning": Kind.MEANING,
}
# What stands in such files but is decided elsewhere here, or can have no effect.
_ELSEWHERE = {
    "batch_size": "the trainer's batch_size decides",
    "cache_directory": "Cache Latents' cache_directory decides",
    "shuffle_caption": "it has no effect, because captions are cached as they are",
    "keep_tokens": "it has no effect, because captions are cached as they are",
}
# What the report tells of each dataset.
_OF_EACH = (
    "counts", "names", "files", "near", "unmatched", "unused_masks", "without_caption", "buckets", "not_read",
    "left_out",
)  # fmt: skip
# Lists of files, and how their entries name these.
_JSONL = {"image_jsonl_file": "image_path", "video_jsonl_file": "video_path"}
_KINDS = dict.fromkeys(_JSONL, PathKind.FILE)
_SOURCES = (*_DIRECTORIES, *_JSONL)


@dataclass(frozen=True)
class ConfigFile:
    """A dataset file that was read: its datasets in order, and what it says that is not done here."""

    path: Path
    datasets: tuple[DatasetConfig, ...]
    messages: tuple[str, ...]

    @property
    def sources(self) -> tuple[Path, ...]:
        """The file itself, and every folder and file that is read because of it."""
        folders = [
            folder
            for one in self.datasets
            for folder in (one.directory, *(getattr(one, name) for name in _BESIDE))
            if folder is not None
        ]
        return (self.path, *dict.fromkeys(folders))


def read_config(path: Path, folders: Folders) -> ConfigFile:
    """Read and check a dataset file; relative paths in it count from its folder.

    DatasetError in one sentence for a damaged file (with its line), unknown and unsuitable keys and values; PathError
    for folders that are missing or not open.
    """
    content = read_toml(path)
    for name in content:
        if name not in ("general", "datasets"):
            raise DatasetError(f"{path} has {about_unknown_key(name, ('general', 'datasets'))}")
    general = _table(content.get("general", {}), path, "[general]")
    tables = content.get("datasets", [])
    if not isinstance(tables, list) or not tables:
        raise DatasetError(f"{path} has no [[datasets]]; add one with an image_directory or a video_directory.")
    for name in _SOURCES:
        if name in general:
            raise DatasetError(f"{path} has {name} in [general]; it belongs into a [[datasets]] of its own.")
    datasets: list[DatasetConfig] = []
    for number, table in enumerate(tables, 1):
        own = _table(table, path, f"[[datasets]] number {number}")
        _check_kind(own, path, number)
        datasets.append(_dataset({**general, **own}, path, number, folders))
    return ConfigFile(path, tuple(datasets), _messages(general, tables, path))


def scan_config(config: ConfigFile, masks_follow: bool = False) -> tuple[Dataset, dict[str, object]]:
    """Scan every dataset of the file and join them; names that clash are prefixed by their folders.

    Returns the dataset and the report {"items": [{"name", "mask", "caption", "frames", "clips"}], "counts",
    "datasets": [{"directory", and of its own scan "counts", "names", "files", "near", "unmatched", …}], "messages"}.
    Errors as `scan_dataset`, which `masks_follow` is passed to.
    """
    for text in config.messages:
        warn(text)
    scanned = [scan_dataset(one, masks_follow, _name_of(one, config)) for one in config.datasets]
    dataset = join_datasets([part for part, _ in scanned])
    parts = [report.to_json() for _, report in scanned]
    rows = [row for part in parts for row in _rows(part)]
    counts: Counter[str] = Counter()
    for part in parts:
        counts.update(_counts(part))
    return dataset, {
        "items": [{**row, "name": item.name} for item, row in zip(dataset.items, rows, strict=True)],
        "counts": dict(counts),
        "datasets": [
            {"directory": str(one.directory), **{key: part[key] for key in _OF_EACH}}
            for one, part in zip(config.datasets, parts, strict=True)
        ],
        "messages": [*config.messages, *_scan_messages(config, [report for _, report in scanned])],
    }


def _table(table: object, path: Path, where: str) -> Mapping[str, Any]:
    """The table, when it holds nothing but keys that are known, with values of their kind."""
    if not isinstance(table, dict):
        raise DatasetError(f"{where} of {path} is no table of settings; write it as a heading with settings below.")
    for name, value in table.items():
        if name in _ELSEWHERE:
            continue
        if name not in _ACTING:
            raise DatasetError(f"{where} of {path} has {about_unknown_key(name, (*_ACTING, *_ELSEWHERE))}")
        if not fits(value, _ACTING[name]):
            raise DatasetError(f"{where} of {path} has {name} = {value!r}; it must be {_ACTING[name].value}.")
    return table


def _check_kind(own: Mapping[str, Any], path: Path, number: int) -> None:
    """DatasetError unless the dataset is one of images or of videos, and sets what acts on these."""
    where = f"[[datasets]] number {number} of {path}"
    given = [name for name in _SOURCES if name in own]
    if not given:
        raise DatasetError(f"{where} has no image_directory and no video_directory; name its photographs or videos.")
    if len(given) > 1:
        raise DatasetError(f"{where} has {' and '.join(given)}; give each a [[datasets]] of its own.")
    if given[0] in _JSONL and (extra := [name for name in ("caption_file", "control_directory") if name in own]):
        raise DatasetError(f"{where} has {extra[0]} beside {given[0]}, whose entries have these; leave it out.")
    for name in own:
        if name in _VIDEO and given[0].startswith("image_"):
            raise DatasetError(f"{where} has {name} beside an {given[0]}; it acts on a video_directory only.")


def _dataset(values: Mapping[str, Any], path: Path, number: int, folders: Folders) -> DatasetConfig:
    (kind,) = (name for name in _SOURCES if name in values)
    where = f"{kind} of [[datasets]] number {number}"

    def read(key: str, what: PathKind = PathKind.DIRECTORY) -> Path | None:
        text, name = values.get(key, ""), f"{key} of [[datasets]] number {number}"
        return resolve_beside(folders, path.parent, text, name, what) if text.strip() else None

    directory = resolve_beside(folders, path.parent, values[kind], where, _KINDS.get(kind, PathKind.DIRECTORY))
    control, captions, listed = read("control_directory"), read("caption_file", PathKind.FILE), frozenset[Path]()
    if kind in _JSONL:
        captions, listing = directory, read_listing(directory, _JSONL[kind])
        # The same rules for where files may lie as for a folder that is named.
        directory = resolve_beside(folders, path.parent, str(listing.directory), where, PathKind.DIRECTORY)
        control, listed = listing.control_directory, listing.files
    size = values.get("resolution", REFERENCE_RESOLUTION)
    settings = LoadSettings(
        resolution=(size, size) if isinstance(size, int) else (size[0], size[1]),
        enable_bucket=values.get("enable_bucket", False),
        bucket_no_upscale=values.get("bucket_no_upscale", False),
        bucket_step=values.get("bucket_reso_steps", LoadSettings.bucket_step),
        min_bucket=values.get("min_bucket_reso", 0),
        max_bucket=values.get("max_bucket_reso", 0),
        alpha_mask=values.get("alpha_mask", False),
        require_mask=values.get("require_mask", False),
        video=_video(values),
        mask_meaning=MaskMeaning(values.get("mask_meaning", MaskMeaning.AUTO)),
    )
    return DatasetConfig(
        directory=directory,
        mask_directory=read("mask_directory"),
        caption_directory=read("caption_directory"),
        caption_extension=values.get("caption_extension", DatasetConfig.caption_extension),
        control_directory=control,
        recursive=values.get("recursive", kind in _JSONL),
        num_repeats=values.get("num_repeats", 1),
        settings=settings,
        images=kind.startswith("image_"),
        videos=kind.startswith("video_"),
        folder_repeats=values.get("folder_repeats", False),
        caption_file=captions,
        regularisation=values.get("regularisation", 0.0),
        listed=listed,
    )


def _video(values: Mapping[str, Any]) -> VideoSettings:
    # Without source_fps the reference system takes every frame; with it, the model's rate, which is WAN's most often.
    rated = "source_fps" in values
    return VideoSettings(
        target_frames=tuple(values.get("target_frames", VideoSettings.target_frames)),
        extraction=FrameExtraction(values.get("frame_extraction", VideoSettings.extraction)),
        frame_stride=values.get("frame_stride", VideoSettings.frame_stride),
        frame_sample=values.get("frame_sample", VideoSettings.frame_sample),
        max_frames=values.get("max_frames", VideoSettings.max_frames),
        target_fps=values.get("target_fps", VideoSettings.target_fps if rated else 0.0),
        source_fps=values.get("source_fps", 0.0),
    )


def _messages(general: Mapping[str, Any], tables: list[Mapping[str, Any]], path: Path) -> tuple[str, ...]:
    given = {name for table in (general, *tables) for name in table}
    lines = [f"{path.name} sets {name}: {why}." for name, why in _ELSEWHERE.items() if name in given]
    for name, used in (
        ("resolution", "{}x{}".format(*REFERENCE_RESOLUTION)),
        ("enable_bucket", "false: every picture is cropped to the resolution"),
    ):
        bare = sum(name not in general and name not in table for table in tables)
        if bare:
            lines.append(f"{path.name} leaves {name} out for {bare} of {len(tables)} datasets; it is {used}.")
    rates = [{**general, **table} for table in tables if "video_directory" in table]
    if any("source_fps" in rate and "target_fps" not in rate for rate in rates):
        lines.append(
            f"{path.name} sets source_fps without target_fps; {VideoSettings.target_fps:g} frames per second are "
            "taken, as WAN wants (HunyuanVideo: target_fps = 24)."
        )
    return tuple(lines)


def _scan_messages(config: ConfigFile, reports: list[ScanReport]) -> list[str]:
    return [
        _name_of(one, config) + line
        for one, report in zip(config.datasets, reports, strict=True)
        for line in report.messages()
    ]


def _name_of(one: DatasetConfig, config: ConfigFile) -> str:
    """What a message about a dataset begins with; nothing where it is the only one."""
    return f"{one.directory.name}: " if len(config.datasets) > 1 else ""


def _rows(part: Mapping[str, Any]) -> list[dict[str, object]]:
    return part["items"]


def _counts(part: Mapping[str, Any]) -> dict[str, int]:
    return part["counts"]
