"""A folder of photographs becomes a dataset: masks, captions and control images are found by name.

Sizes are (width, height). Only headers are read here; pixels are read by `load.py`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from ..errors import DatasetError, PathError, SettingError
from ..images import IMAGE_SUFFIXES, image_size
from ..resample import check_same_aspect
from .buckets import bucket_for
from .files import FoundFile, NameIndex, list_files, need_directory
from .items import Dataset, DatasetItem, LoadSettings, MaskOrigin
from .load import expected_origin

VIDEO_SUFFIXES = (".mp4", ".mov", ".mkv", ".webm", ".avi", ".m4v", ".mpg", ".mpeg", ".wmv", ".flv")
# Photographs of a kind that Pillow cannot open: named in the report, so that they are not missed in silence.
UNREAD_SUFFIXES = (".heic", ".heif", ".jxl", ".raw", ".dng", ".cr2", ".cr3", ".nef", ".arw", ".psd")


@dataclass(frozen=True)
class DatasetConfig:
    """Where a dataset's files lie. Directories that are None are not used; captions then lie beside the images."""

    directory: Path
    mask_directory: Path | None = None
    caption_directory: Path | None = None
    caption_extension: str = ".txt"
    control_directory: Path | None = None
    recursive: bool = False
    num_repeats: int = 1
    settings: LoadSettings = field(default_factory=LoadSettings)

    def __post_init__(self) -> None:
        if self.num_repeats < 1:
            raise SettingError(f"num_repeats is {self.num_repeats}; it must be at least 1.")
        if not self.caption_extension.strip(". "):
            raise SettingError(f"caption_extension is {self.caption_extension!r}; give one such as .txt.")
        for setting in ("mask_directory", "control_directory"):
            directory: Path | None = getattr(self, setting)
            if directory is not None and directory.resolve() == self.directory.resolve():
                raise PathError(
                    f"The {setting} is the image directory itself ({directory}); keep these files in a folder of "
                    "their own."
                )

    @property
    def caption_suffix(self) -> str:
        """The extension with its dot."""
        return "." + self.caption_extension.strip().lstrip(".")


@dataclass(frozen=True)
class ScanReport:
    """What a scan found. Names are items' names; `not_read` are file names; `buckets` counts items by their bucket."""

    masks: dict[str, MaskOrigin]
    buckets: dict[tuple[int, int], int]
    without_caption: tuple[str, ...]
    not_read: tuple[str, ...]
    mask_directory: Path | None

    @property
    def unmatched(self) -> tuple[str, ...]:
        """Items for which neither alpha nor a mask file was found."""
        return tuple(name for name, origin in self.masks.items() if origin is MaskOrigin.NONE)

    def messages(self) -> tuple[str, ...]:
        """What a person has to know, one sentence each."""
        lines: list[str] = []
        if self.mask_directory is not None and self.unmatched:
            lines.append(f"{len(self.unmatched)} images have no matching mask file")
        if self.without_caption:
            lines.append(f"{len(self.without_caption)} images have no caption: {_named(self.without_caption)}")
        if self.not_read:
            lines.append(f"{len(self.not_read)} files were not read (no supported image): {_named(self.not_read)}")
        return tuple(lines)

    def to_json(self) -> dict[str, object]:
        """{"items": [{"name", "mask", "caption"}], "counts", "buckets", "not_read", "messages"}."""
        bare = set(self.without_caption)
        origins = Counter(self.masks.values())
        return {
            "items": [
                {"name": name, "mask": origin.value, "caption": name not in bare} for name, origin in self.masks.items()
            ],
            "counts": {
                "images": len(self.masks),
                **{f"mask_{origin.value}": origins[origin] for origin in MaskOrigin},
                "without_caption": len(self.without_caption),
                "not_read": len(self.not_read),
            },
            "buckets": {f"{width}x{height}": count for (width, height), count in sorted(self.buckets.items())},
            "not_read": list(self.not_read),
            "messages": list(self.messages()),
        }


def scan_dataset(config: DatasetConfig, masks_follow: bool = False) -> tuple[Dataset, ScanReport]:
    """Find the photographs below a directory and what belongs to each.

    `masks_follow`: masks are built by a later step, so that `require_mask` without a source is no error yet.
    PathError, DatasetError and ImageError in one sentence each; nothing is written.
    """
    need_directory(config.directory, "image directory")
    settings = config.settings
    if settings.require_mask and not (settings.alpha_mask or config.mask_directory or masks_follow):
        raise DatasetError(
            "require_mask=true but no mask source configured; set mask_directory or alpha_mask, or turn it off."
        )
    photographs, not_read = _photographs(config)
    names = [file.name for file in photographs]
    masks = _index(config.mask_directory, "mask_directory", IMAGE_SUFFIXES, "mask", names)
    controls = _index(config.control_directory, "control_directory", IMAGE_SUFFIXES, "control", names)
    captions = _caption_index(config, names)
    items = tuple(_item(config, file, masks, controls, captions) for file in photographs)
    return Dataset(items), ScanReport(
        masks={item.name: expected_origin(item) for item in items},
        buckets=dict(Counter(_checked_bucket(item) for item in items)),
        without_caption=tuple(item.name for item in items if item.caption_path is None),
        not_read=not_read,
        mask_directory=config.mask_directory,
    )


def read_caption(path: Path) -> str:
    """A caption file's text, without the space around it. DatasetError when it is not UTF-8."""
    try:
        return path.read_bytes().decode("utf-8-sig").strip()
    except UnicodeDecodeError as error:
        raise DatasetError(
            f"The caption {path} is not UTF-8 (byte {error.start} is 0x{error.object[error.start]:02x}); "
            "save it again as UTF-8."
        ) from error


def _photographs(config: DatasetConfig) -> tuple[list[FoundFile], tuple[str, ...]]:
    closed = [path for path in (config.mask_directory, config.control_directory) if path is not None]
    photographs: list[FoundFile] = []
    not_read: list[str] = []
    for file in list_files(config.directory, config.recursive, closed):
        suffix = file.path.suffix.lower()
        if suffix in IMAGE_SUFFIXES:
            photographs.append(file)
        elif suffix in VIDEO_SUFFIXES + UNREAD_SUFFIXES:
            not_read.append(file.path.relative_to(config.directory).as_posix())
    for first, second in pairwise(photographs):
        if first.name == second.name:
            raise DatasetError(
                f"Two images share the name {first.name}: {first.path} and {second.path}; rename or remove one."
            )
    if not photographs:
        unread = f" ({len(not_read)} files there are not read: {_named(not_read)})" if not_read else ""
        below = "" if config.recursive else "; set recursive for those in subfolders"
        raise DatasetError(f"The image directory {config.directory} holds no images{unread}{below}.")
    return photographs, tuple(not_read)


def _index(
    directory: Path | None, setting: str, suffixes: Sequence[str], kind: str, names: Sequence[str]
) -> NameIndex | None:
    if directory is None:
        return None
    need_directory(directory, setting)
    return NameIndex(directory, suffixes, kind, names)


def _caption_index(config: DatasetConfig, names: Sequence[str]) -> NameIndex:
    if config.caption_directory is not None:
        need_directory(config.caption_directory, "caption_directory")
        return NameIndex(config.caption_directory, (config.caption_suffix,), "caption", names)
    return NameIndex(config.directory, (config.caption_suffix,), "caption", names, config.recursive)


def _item(
    config: DatasetConfig, file: FoundFile, masks: NameIndex | None, controls: NameIndex | None, captions: NameIndex
) -> DatasetItem:
    caption_path = captions.find(file.name)
    return DatasetItem(
        name=file.name,
        media_path=file.path,
        settings=config.settings,
        mask_path=masks.find(file.name) if masks else None,
        caption=read_caption(caption_path) if caption_path else "",
        control_path=controls.find(file.name) if controls else None,
        repeats=config.num_repeats,
        caption_path=caption_path,
    )


def _checked_bucket(item: DatasetItem) -> tuple[int, int]:
    size = image_size(item.media_path)
    if item.mask_path is not None:
        check_same_aspect(item.name, size, image_size(item.mask_path))
    return bucket_for(size, item.settings)


def _named(names: Sequence[str], limit: int = 5) -> str:
    more = f" and {len(names) - limit} more" if len(names) > limit else ""
    return ", ".join(names[:limit]) + more
