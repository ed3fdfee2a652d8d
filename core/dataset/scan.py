"""A folder of photographs and videos becomes a dataset: masks, captions and control images are found by name.

Sizes are (width, height). Of photographs only headers are read here, and of videos where their frames lie;
masks are read whole, so that what they mean is known before anything is made from them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from ..errors import DatasetError, PathError, SettingError
from ..first_names import first_names
from ..images import IMAGE_SUFFIXES, PictureFacts, is_picture, picture_facts
from ..photo.formats import why_not_readable
from ..video.masks import numbered_pictures
from ..video.reader import VIDEO_SUFFIXES, probe
from ..warning import warn
from .beside import split_masks
from .buckets import bucket_for
from .caption_rule import CaptionRule
from .captions import Captions
from .controls import Controls
from .files import FoundFile, NameIndex, list_files, need_directory
from .folder_repeats import hinted_repeats, repeats_in, told_repeats
from .found_files import FileKind, Root, sort_files
from .found_video import FoundVideo, look_at_video
from .items import Dataset, DatasetItem, LeftOut, LoadSettings
from .load import checked_size, expected_origin, has_unused_alpha
from .mask_facts import look_at_masks
from .not_read import Unusable, refuse_equal_names
from .scan_report import ScanReport
from .turned import undecided_turns


@dataclass(frozen=True)
class DatasetConfig:
    """Where a dataset's files lie. Directories that are None are not used; captions then lie beside the images. Without
    `images` or `videos`, files of that kind are passed by. `folder_repeats`: what lies in a folder named
    `<number>_<name>` comes that many times `num_repeats`. `caption_file` has many captions (see
    `core.dataset.caption_file`); what it has none for has a text file's. `regularisation`: see `DatasetItem`. With
    `listed`, only these files are taken. `caption_rule`: what becomes of captions."""

    directory: Path
    mask_directory: Path | None = None
    caption_directory: Path | None = None
    caption_extension: str = ".txt"
    control_directory: Path | None = None
    recursive: bool = False
    num_repeats: int = 1
    settings: LoadSettings = field(default_factory=LoadSettings)
    images: bool = True
    videos: bool = True
    folder_repeats: bool = False
    caption_file: Path | None = None
    regularisation: float = 0.0
    listed: frozenset[Path] = frozenset()
    caption_rule: CaptionRule = field(default_factory=CaptionRule)

    def __post_init__(self) -> None:
        if self.num_repeats < 1:
            raise SettingError(f"num_repeats is {self.num_repeats}; it must be at least 1.")
        if not 0 <= self.regularisation < 1:
            raise SettingError(f"regularisation is {self.regularisation}; it must be in [0, 1), 0 = what is learnt.")
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


def scan_dataset(
    config: DatasetConfig, masks_follow: bool = False, named_in_warnings: str = ""
) -> tuple[Dataset, ScanReport]:
    """Find the photographs and videos below a directory and what belongs to each.

    `masks_follow`: masks are built by a later step, so that `require_mask` without a source is no error yet. Warnings
    begin with `named_in_warnings`.
    PathError, DatasetError and ImageError in one sentence each; nothing is written.
    """
    need_directory(config.directory, "image directory")
    settings = config.settings
    media, not_read, beside = _media(config)
    if settings.require_mask and not (settings.alpha_mask or config.mask_directory or masks_follow or beside):
        raise DatasetError(
            "require_mask=true but no mask source configured; set mask_directory or alpha_mask, or turn it off."
        )
    names = [file.name for file in media]
    masks, video_masks = _mask_indexes(config, media, names)
    controls = None if config.control_directory is None else Controls(config.control_directory, names)
    captions = Captions(
        names, config.directory, config.recursive, config.caption_suffix, config.caption_directory, config.caption_file
    )
    unusable = Unusable(config.directory)
    items: list[DatasetItem] = []
    for file in media:
        with unusable.of(file.name):
            items.append(_item(config, file, masks, video_masks, controls, captions, beside))
    videos: dict[str, FoundVideo] = {}
    # Each header is read once: of many small files that is most of the work.
    pictures: dict[str, PictureFacts] = {}
    for item in items:
        with unusable.of(item.name):
            if item.is_video:
                videos[item.name] = look_at_video(probe(item.media_path), settings.video)
            else:
                pictures[item.name] = picture_facts(item.media_path)
    reasons = {name: video.why_none for name, video in videos.items()}
    kept = tuple(item for item in items if not reasons.get(item.name) and not unusable.has(item.name))
    left_out = tuple(LeftOut(item, reason) for item in items if (reason := reasons.get(item.name)))
    if not kept:
        unusable.refuse()
        raise DatasetError(
            f"No video of {config.directory} gives a clip ({left_out[0].item.name}: {left_out[0].reason}); lower "
            "target_frames."
        )
    buckets: Counter[tuple[int, int]] = Counter()
    for item in kept:
        clips = videos[item.name].clips if item.is_video else (1,)
        size = None if item.is_video else pictures[item.name].size
        with unusable.of(item.name):
            buckets[bucket_for(checked_size(item, size), item.settings)] += len(clips)
    kept, masks_read = look_at_masks(
        [item for item in kept if not unusable.has(item.name)], config.mask_directory, unusable
    )
    unused_alpha: list[str] = []
    undecided: list[str] = []
    for item in kept:
        with unusable.of(item.name):
            if item.name in pictures and pictures[item.name].has_alpha and has_unused_alpha(item):
                unused_alpha.append(item.name)
            undecided += undecided_turns([item], pictures, masks_read)
    unusable.refuse()
    used = {item.mask_path for item in items if item.mask_path is not None}
    claims: dict[FileKind, Iterable[Path]] = {
        FileKind.PHOTOGRAPHS: (item.media_path for item in items if not item.is_video),
        FileKind.VIDEOS: (item.media_path for item in kept if item.is_video),
        FileKind.VIDEOS_LEFT_OUT: (left.item.media_path for left in left_out),
        FileKind.MASKS: (file for path in used for file in (numbered_pictures(path) if path.is_dir() else (path,))),
        FileKind.MASKS_BESIDE_UNUSED: {file.path for file in beside.values()} - used,
        FileKind.CAPTIONS: (item.caption_path for item in items if item.caption_path and item.caption),
        FileKind.CAPTIONS_BLANK: (item.caption_path for item in items if item.caption_path and not item.caption),
        FileKind.CONTROLS: (path for item in items for path in item.controls),
        FileKind.NOT_READ: not_read,
    }
    report = ScanReport(
        masks={item.name: expected_origin(item) for item in kept},
        buckets=dict(buckets),
        without_caption=tuple(item.name for item in kept if not item.caption),
        files=sort_files(_roots(config), claims),
        mask_directory=config.mask_directory,
        alpha_mask=settings.alpha_mask,
        videos=videos,
        target_fps=settings.video.target_fps,
        masks_read=masks_read,
        unused_alpha=tuple(unused_alpha),
        undecided_turns=tuple(undecided),
        beside=tuple(item.name for item in kept if item.name in beside and item.mask_path == beside[item.name].path),
        pictures=pictures,
        without_control=tuple(item.name for item in kept if config.control_directory and not item.control_path),
        repeats=_repeats(config, names),
        captions_from=captions.message(),
        captions_unknown=captions.warning(),
        regularisation=config.regularisation,
        repeats_hint="" if config.folder_repeats else hinted_repeats(config.directory, names, config.num_repeats),
    )
    for text in report.warnings():
        warn(named_in_warnings + text)
    return Dataset(kept, left_out, report.found()), report


def _roots(config: DatasetConfig) -> list[Root]:
    """The folders that are looked into, and what files in them are that belong to nothing."""
    captions = {config.caption_suffix.lower(): FileKind.CAPTIONS_UNUSED}
    roots = [Root(config.directory, config.recursive, {} if config.caption_directory else captions, main=True)]
    pictures: list[str] = [*IMAGE_SUFFIXES, *VIDEO_SUFFIXES]
    companions: list[tuple[Path | None, dict[str, FileKind]]] = [
        (config.mask_directory, dict.fromkeys(pictures, FileKind.MASKS_UNUSED)),
        (config.caption_directory, captions),
        (config.control_directory, dict.fromkeys(pictures, FileKind.CONTROLS_UNUSED)),
    ]
    roots += [Root(directory, True, unused) for directory, unused in companions if directory is not None]
    return roots


def _repeats(config: DatasetConfig, names: Sequence[str]) -> tuple[str, ...]:
    return tuple(told_repeats(config.directory, names, config.num_repeats)) if config.folder_repeats else ()


def _media(config: DatasetConfig) -> tuple[list[FoundFile], tuple[Path, ...], dict[str, FoundFile]]:
    """The photographs and videos, the files that are not read, and the masks beside photographs by their names."""
    closed = [path for path in (config.mask_directory, config.control_directory) if path is not None]
    media: list[FoundFile] = []
    not_read: list[Path] = []
    missing: list[str] = []
    wanted = (*(IMAGE_SUFFIXES if config.images else ()), *(VIDEO_SUFFIXES if config.videos else ()))
    for file in list_files(config.directory, config.recursive, closed):
        if config.listed and file.path not in config.listed:
            continue
        suffix = file.path.suffix.lower()
        why_not = why_not_readable(file.path) if suffix in wanted else ""
        missing += [why_not] if why_not and why_not not in missing else []
        if (suffix in wanted and not why_not) or (not suffix and config.images and is_picture(file.path)):
            media.append(file)
        elif suffix in IMAGE_SUFFIXES or suffix in VIDEO_SUFFIXES:
            not_read.append(file.path)
    media, beside, alone = split_masks(media)
    not_read += [file.path for file in alone]
    for text in missing:
        warn(f"Files of {config.directory} are not read: {text}")
    refuse_equal_names(media)
    if not media:
        kinds = " or ".join(kind for kind, read in (("images", config.images), ("videos", config.videos)) if read)
        unread_names = [path.relative_to(config.directory).as_posix() for path in not_read]
        unread = f" ({len(not_read)} files there are not read: {first_names(unread_names)})" if not_read else ""
        below = "" if config.recursive or missing else "; set recursive for those in subfolders"
        why = "".join(f"; {text}" for text in missing)
        raise DatasetError(f"The image directory {config.directory} holds no {kinds}{unread}{why}{below}.")
    return media, tuple(not_read), beside


def _mask_indexes(
    config: DatasetConfig, media: Sequence[FoundFile], names: Sequence[str]
) -> tuple[NameIndex | None, NameIndex | None]:
    """Where photographs' masks are found, and videos', which may be videos or folders too."""
    directory = config.mask_directory
    masks = _index(directory, "mask_directory", "mask", names)
    if directory is None or all(file.path.suffix.lower() not in VIDEO_SUFFIXES for file in media):
        return masks, None
    return masks, NameIndex(directory, (*IMAGE_SUFFIXES, *VIDEO_SUFFIXES), "mask", names, folders_of=IMAGE_SUFFIXES)


def _index(directory: Path | None, setting: str, kind: str, names: Sequence[str]) -> NameIndex | None:
    if directory is None:
        return None
    need_directory(directory, setting)
    return NameIndex(directory, IMAGE_SUFFIXES, kind, names)


def _item(
    config: DatasetConfig,
    file: FoundFile,
    masks: NameIndex | None,
    video_masks: NameIndex | None,
    controls: Controls | None,
    captions: Captions,
    beside: Mapping[str, FoundFile],
) -> DatasetItem:
    caption, caption_path = captions.find(file.name)
    lies_beside = beside.get(file.name)
    masks = video_masks if file.path.suffix.lower() in VIDEO_SUFFIXES else masks
    control = controls.find(file.name) if controls else ()
    return DatasetItem(
        name=file.name,
        media_path=file.path,
        settings=config.settings,
        mask_path=(masks.find(file.name) if masks else None) or (lies_beside.path if lies_beside else None),
        caption=config.caption_rule.apply(caption, file.name),
        control_path=control[0] if control else None,
        more_controls=control[1:],
        wants_control=controls is not None,
        repeats=config.num_repeats * (repeats_in(config.directory, file.name) if config.folder_repeats else 1),
        caption_path=caption_path,
        mask_meaning=config.settings.mask_meaning,
        regularisation=config.regularisation,
    )
