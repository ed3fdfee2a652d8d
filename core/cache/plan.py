"""Plans what is to be done for each item to have its latent and mask cached, without decoding a pixel.

Sizes are (width, height).
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from ..dataset.buckets import bucket_for
from ..dataset.crop import Rectangle
from ..dataset.items import DatasetItem, MaskOrigin
from ..dataset.load import checked_size
from ..dataset.mask_facts import file_facts
from ..dataset.video_corrections import RULE
from ..errors import SettingError
from ..fingerprints import fingerprint_of
from ..images import image_size
from ..resample import Size
from ..video.clips import Clip, clips_of
from ..video.reader import probe
from .clip_lengths import check_clip_length
from .encoders import LatentEncoder
from .entries import Source, control_role
from .entry_file import (
    COVERAGE,
    MASK_FINGERPRINT,
    MASK_READ,
    ORIGIN,
    EntryHeader,
    MaskStorage,
    entry_file_name,
    read_kept_header,
    trim_header,
)
from .image_conditioning import FIRST_AND_LAST, MASK_CHANNELS
from .inpainting import HOLE_CHANNELS, STRIDE_PX, VACE_ARCHITECTURE
from .item_sources import conversions, describe_hole, source_paths
from .references import Reference, check_references, plan_references
from .sources import read_sources

FORMAT_VERSION = "1"


class Action(Enum):
    """What an item needs."""

    ENCODE = "encoded"
    WEIGHTS = "weights rewritten"
    NOTHING = "unchanged"


@dataclass(frozen=True)
class OneFrame:
    """One-frame training: the model is given control frames at `control_indices` and learns the one at
    `target_index`. The frames of the latent are in ascending order of index."""

    target_index: int = 1
    control_indices: tuple[int, ...] = (0,)

    def __post_init__(self) -> None:
        indices = (self.target_index, *self.control_indices)
        if min(indices) < 0 or len(set(indices)) != len(indices) or not self.control_indices:
            raise SettingError(
                f"target_index is {self.target_index} and control_indices are {list(self.control_indices)}; give at "
                "least one control index, all of them 0 or more and each once."
            )

    @property
    def frames(self) -> tuple[int, ...]:
        """Every frame index, ascending."""
        return tuple(sorted((self.target_index, *self.control_indices)))

    @property
    def target_position(self) -> int:
        """Where the target stands among the latent's frames."""
        return self.frames.index(self.target_index)


@dataclass(frozen=True)
class CacheSettings:
    """What is cached: weights in the dtype of `storage`; `one_frame`, None for plain images; and with
    `image_conditioning` what an image-to-video model is given beside noise and text."""

    storage: MaskStorage = MaskStorage.FLOAT16
    one_frame: OneFrame | None = None
    image_conditioning: bool = False


DEFAULT_SETTINGS = CacheSettings()


@dataclass(frozen=True)
class CachingRules:
    """What is cached, by which encoder and where. SettingError for `image_conditioning` where the encoder is
    none of a model that takes some."""

    encoder: LatentEncoder
    directory: Path
    settings: CacheSettings

    def __post_init__(self) -> None:
        if self.fills_holes and (self.settings.one_frame is not None or self.encoder.spatial_stride != STRIDE_PX):
            raise SettingError(
                f"image_conditioning is for image-to-video and for inpainting models, but this VAE "
                f"({self.encoder.architecture}) is none of theirs; turn it off, or connect a video model's VAE."
            )

    @property
    def fills_holes(self) -> bool:
        """Whether what is given beside noise and text is an inpainting model's."""
        return self.settings.image_conditioning and (self.encoder.temporal_stride == 0 or self.is_vace)

    @property
    def is_vace(self) -> bool:
        """Whether the cache is for WAN VACE, which fills holes in videos."""
        return self.encoder.architecture == VACE_ARCHITECTURE

    @property
    def shows_last(self) -> bool:
        """Whether an image-to-video model is given the last frame of a clip beside the first."""
        return self.settings.image_conditioning and self.encoder.architecture == FIRST_AND_LAST

    def image_channels(self, channels: int) -> int:
        """Those of what is given beside noise and text, of latents with so many; 0 where nothing is."""
        if not self.settings.image_conditioning:
            return 0
        if self.fills_holes:
            return HOLE_CHANNELS + channels * (2 if self.is_vace else 1)
        return MASK_CHANNELS + channels


@dataclass(frozen=True)
class ItemPlan:
    """The work for one entry: a photograph, or a clip of a video. `name` is the entry's. `seen` saves the next plan
    from hashing the sources, `mask_read` from reading the mask. `cut` is what of the picture is cached, None for all of
    it. `header` is that of an up-to-date file, cut to what the index needs; `references` are an edit model's."""

    item: DatasetItem
    clip: Clip | None
    cut: Rectangle | None
    name: str
    image_size: tuple[int, int]
    bucket: tuple[int, int]
    path: Path
    file: str
    latent_fingerprint: str
    mask_fingerprint: str
    mask_read: str
    sources: tuple[Source, ...]
    seen: str
    action: Action
    header: EntryHeader | None
    references: tuple[Reference, ...] = ()

    @property
    def frames(self) -> int:
        """How many frames are encoded together."""
        return 1 if self.clip is None else len(self.clip.frames)

    @property
    def crop(self) -> str:
        """What the index says of a crop; empty where it is none."""
        if self.item.crop is None:
            return ""
        return self.item.crop.kind.value + ("" if self.cut is None else f" {self.cut}")


def plan_item(item: DatasetItem, rules: CachingRules) -> tuple[ItemPlan, ...]:
    """Compare the item's files with what is cached: one plan, or one for each clip of a video. Files are hashed, each
    once, except those that are in size and times as they were when an entry that is there was made.

    SettingError when the encoder cannot take the bucket or the clips; ImageError when mask and item do not fit.
    """
    whole = checked_size(item) if item.is_video else image_size(item.media_path)
    clips: tuple[Clip | None, ...] = (None,)
    if item.is_video:
        clips = clips_of(probe(item.media_path).times, item.settings.video)
        if item.is_cut:
            clips = tuple(clip for clip in clips if item.rectangle(clip) is not None)
    check_references(item, rules.settings.one_frame is not None)
    for clip in clips:
        if clip is not None:
            _check_clip(item, len(clip.frames), rules)
    places = [_place(item, clip, whole, rules) for clip in clips]
    known = rules.directory / places[0].file if places else rules.directory
    sources, seen = (
        read_sources(source_paths(item, rules.settings.one_frame is not None), known) if places else ((), "")
    )
    return tuple(_plan_entry(item, place, sources, seen, rules) for place in places)


@dataclass(frozen=True)
class _Place:
    """What is cached of an item: a clip (None: the photograph), all of it or the `cut`; at which size and where."""

    clip: Clip | None
    cut: Rectangle | None
    size: Size
    bucket: Size
    file: str
    references: tuple[Reference, ...]


def _place(item: DatasetItem, clip: Clip | None, whole: Size, rules: CachingRules) -> _Place:
    cut = item.rectangle(clip)
    if cut is not None:
        cut.check_inside(item.name, whole)
    size = whole if cut is None else cut.size
    bucket = bucket_for(size, item.settings)
    stride = rules.encoder.spatial_stride
    if bucket[0] % stride or bucket[1] % stride:
        raise SettingError(
            f"{item.name} is to be trained at {bucket[0]}x{bucket[1]}, but the sides must be multiples of {stride} px; "
            f"use a resolution and a bucket_step that are."
        )
    file = entry_file_name(_entry_name(item, clip), size, rules.encoder.architecture)
    references = () if rules.settings.one_frame else plan_references(item, cut, whole, bucket, stride)
    return _Place(clip, cut, size, bucket, file, references)


def _check_clip(item: DatasetItem, frames: int, rules: CachingRules) -> None:
    if rules.settings.one_frame is not None:
        raise SettingError(
            f"{item.name} is a video, and one_frame is for photographs; turn it off or leave videos out."
        )
    check_clip_length(item.name, frames, rules.encoder)


def _plan_entry(
    item: DatasetItem, place: _Place, sources: tuple[Source, ...], seen: str, rules: CachingRules
) -> ItemPlan:
    clip, size, bucket, file, settings = place.clip, place.size, place.bucket, place.file, rules.settings
    hashes = {source.role: source.sha256 for source in sources}
    clip_frames = () if clip is None else (clip.frames,)
    crop = () if place.cut is None else (f"crop {place.cut}",)
    corrected = (f"correction {hashes['correction']}{'' if clip is None else RULE}",) if "correction" in hashes else ()
    given = ("image_conditioning", *(["last frame"] if rules.shows_last else [])) if settings.image_conditioning else ()
    given += (describe_hole(item, hashes), *(corrected if rules.is_vace else ())) if rules.fills_holes else ()
    references = [f"{own.described} {hashes[control_role(n)]}" for n, own in enumerate(place.references)]
    latent_fingerprint = fingerprint_of(
        FORMAT_VERSION, hashes["image"], bucket, rules.encoder.identity, settings.one_frame, hashes.get("control", ""),
        *clip_frames, *given, *conversions(item, sources), *crop, *references,
    )  # fmt: skip
    path = rules.directory / file
    header = read_kept_header(path, latent_fingerprint)
    alpha = hashes["image"] if item.settings.alpha_mask and clip is None else ""
    mask_read = _describe_mask_read(item, hashes.get("mask", ""), header)
    read_key = mask_read.rpartition(" ")[2]
    mask_fingerprint = fingerprint_of(
        FORMAT_VERSION, alpha, hashes.get("mask", ""), settings.storage.value, size, bucket, settings.one_frame,
        *clip_frames, *((read_key,) if read_key else ()), *crop, *corrected,
    )  # fmt: skip
    action, kept = Action.ENCODE, None
    if header is not None:
        same = header.metadata.get(MASK_FINGERPRINT) == mask_fingerprint and has_mask_facts(header.metadata)
        action = Action.NOTHING if same else Action.WEIGHTS
        kept = trim_header(header) if same else None
    return ItemPlan(
        item, clip, place.cut, _entry_name(item, clip), size, bucket, path, file, latent_fingerprint, mask_fingerprint,
        mask_read, sources, "" if action is Action.NOTHING else seen, action, kept, place.references,
    )  # fmt: skip


def _describe_mask_read(item: DatasetItem, digest: str, header: EntryHeader | None) -> str:
    """How the mask file is read: its hash, the setting, and the key of `MaskFacts`, which follows from these two. The
    file is looked into only where the entry that is there does not say it; those of earlier versions say nothing."""
    if item.mask_path is None:
        return ""
    known = f"{digest} {item.mask_meaning.value} "
    noted = "" if header is None else header.metadata.get(MASK_READ, "")
    return noted if noted.startswith(known) else known + file_facts(item, item.mask_path, item.mask_meaning).key


def _entry_name(item: DatasetItem, clip: Clip | None) -> str:
    return item.name if clip is None else f"{item.name}_{clip.suffix}"


def has_mask_facts(metadata: Mapping[str, str]) -> bool:
    """Whether an entry's metadata has the facts about its mask that the index needs; else its weights are rewritten."""
    try:
        MaskOrigin(metadata.get(ORIGIN))
        return math.isfinite(float(metadata.get(COVERAGE, "")))
    except ValueError:
        return False
