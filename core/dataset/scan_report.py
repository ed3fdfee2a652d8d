"""What a scan found: which items have masks and captions, which clips the videos give, and what was passed by."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from ..first_names import first_names
from ..images import PictureFacts
from ..photo.colour_profile import ProfileUse
from ..video.colour import Transfer
from .beside import mask_like, near_names
from .found_files import SAID, FileKind, FoundFiles
from .found_video import FoundVideo, about_videos, clips_line
from .items import Found, MaskOrigin
from .mask_facts import DARK_BELOW, MaskFacts, mask_counts
from .not_read import unread_lines
from .turned import TURN_THEM


@dataclass(frozen=True)
class ScanReport:
    """What a scan found. Names are items' names; `files` are all files of the folders, by kind; `buckets` counts items
    by their bucket, a video once for each clip. `videos` has those too that give no clip and were left out.
    `masks_read`: how mask files are read; `unused_alpha`: photographs whose alpha hides something while `alpha_mask` is
    off; `beside`: photographs whose mask lies beside them; `without_control`: items without a control image where a
    folder of them is given; `repeats`: sentences about folders that say how often their items come, and `repeats_hint`
    one about those that would; `undecided_turns`: photographs that EXIF turns, whose masks fit either way;
    `captions_from` says how many items have the caption of one file for many, `captions_unknown` which of its entries
    belong to none; `regularisation` is the fraction of an epoch of all items, where they are regularisation images."""

    masks: Mapping[str, MaskOrigin]
    buckets: Mapping[tuple[int, int], int]
    without_caption: tuple[str, ...]
    files: FoundFiles
    mask_directory: Path | None
    alpha_mask: bool = False
    videos: Mapping[str, FoundVideo] = field(default_factory=dict)
    target_fps: float = 0.0
    masks_read: Mapping[str, MaskFacts] = field(default_factory=dict)
    unused_alpha: tuple[str, ...] = ()
    beside: tuple[str, ...] = ()
    pictures: Mapping[str, PictureFacts] = field(default_factory=dict)
    without_control: tuple[str, ...] = ()
    repeats: tuple[str, ...] = ()
    repeats_hint: str = ""
    undecided_turns: tuple[str, ...] = ()
    captions_from: str = ""
    captions_unknown: str = ""
    regularisation: float = 0.0

    @property
    def not_read(self) -> tuple[str, ...]:
        """Pictures and videos that are not read."""
        return self.files.of(FileKind.NOT_READ)

    @property
    def unused_masks(self) -> tuple[str, ...]:
        """Files of the mask directory that belong to nothing."""
        return self.files.of(FileKind.MASKS_UNUSED)

    @property
    def unmatched(self) -> tuple[str, ...]:
        """Items for which neither alpha nor a mask file was found."""
        return tuple(name for name, origin in self.masks.items() if origin is MaskOrigin.NONE)

    @property
    def _named(self) -> Mapping[str, tuple[str, Sequence[str]]]:
        """The counts of items of which one has to know, by their keys: in words, and the items' names."""
        pictures = self.pictures.items()
        uses = {use: [name for name, each in pictures if each.profile_use is use] for use in ProfileUse}
        return {
            "mask_none": ("items without a mask", self.unmatched),
            "without_caption": ("items without a caption", self.without_caption),
            "without_control": ("items without a control image", self.without_control),
            "masks_beside": ("photographs with their mask beside them", self.beside),
            "unused_alpha": ("photographs with alpha that is not used", self.unused_alpha),
            "several_frames": (
                "photographs of several frames or pages, of which the first is used",
                [name for name, each in pictures if each.frames > 1],
            ),
            "converted_colours": ("photographs converted to sRGB by their colour profile", uses[ProfileUse.CONVERTED]),
            "ignored_profiles": ("photographs with a colour profile that cannot be used", uses[ProfileUse.BROKEN]),
            "untagged_colours": (
                "photographs with colours named by PNG's gAMA, cHRM or cICP, which is not applied",
                [name for name, each in pictures if each.untagged],
            ),
            "hdr_videos": (
                "HDR videos",
                [name for name, video in self.videos.items() if video.transfer is not Transfer.SDR],
            ),
        }

    def found(self) -> tuple[Found, ...]:
        """All files by kind, and the counts of items of which one has to know, with names; none that is 0."""
        files = [
            Found(SAID[kind], count, tuple(self._near_names(kind)))
            for kind, count in self.files.counts.items()
            if count
        ]
        items = [Found(what, len(names), tuple(names)) for what, names in self._named.values() if names]
        return (*files, *items)

    @property
    def left_out(self) -> Mapping[str, str]:
        """Videos that give no clip, and why."""
        return {name: video.why_none for name, video in self.videos.items() if not video.clips}

    def messages(self) -> tuple[str, ...]:
        """What a person has to know, one sentence each."""
        captions = [self.captions_from] if self.captions_from else []
        if self.regularisation:
            captions.append(f"{len(self.masks)} regularisation images, {self.regularisation:.0%} of an epoch together")
        read = (*clips_line(self.videos), *self._how_read(), *self.repeats, *captions)
        return (*self.warnings(), *read, self.files.line())

    def warnings(self) -> tuple[str, ...]:
        """Those of the messages that tell of something that is perhaps not meant so."""
        lines: list[str] = []
        for kind, names in self._by_kind(self.unmatched if self.mask_directory is not None else ()):
            lines.append(f"{len(names)} {kind} have no matching mask file: {first_names(names)}")
        lines += self._orphans(FileKind.MASKS_UNUSED, "mask files have")
        for kind, names in self._by_kind(self.without_caption):
            lines.append(f"{len(names)} {kind} have no caption: {first_names(names)}")
        if blank := self.files.of(FileKind.CAPTIONS_BLANK):
            lines.append(f"{len(blank)} caption files are blank and count as no caption: {first_names(blank)}")
        lines += self._orphans(FileKind.CAPTIONS_UNUSED, "caption files have")
        lines += [self.captions_unknown] if self.captions_unknown else []
        for kind, names in self._by_kind(self.without_control):
            lines.append(f"{len(names)} {kind} have no control image: {first_names(names)}")
        lines += self._orphans(FileKind.CONTROLS_UNUSED, "control images have")
        lines += [self.repeats_hint] if self.repeats_hint else []
        lines += unread_lines(self.not_read)
        if self.undecided_turns:
            lines.append(
                f"{len(self.undecided_turns)} images are turned by EXIF, and their masks have no orientation and fit "
                f"either way: they are taken as upright; if they were made of the unturned pixels, {TURN_THEM}: "
                f"{first_names(self.undecided_turns)}"
            )
        if self.unused_alpha:
            lines.append(
                f"{len(self.unused_alpha)} images have alpha, not used because alpha_mask is off; what it hides is "
                f"trained on: {first_names(self.unused_alpha)}"
            )
        return (
            *lines,
            *self._about_pictures(),
            *self._about_masks(),
            *about_videos(self.videos, self.target_fps, self.alpha_mask),
        )

    def to_json(self) -> dict[str, object]:
        """{"items": [{"name", "mask", "caption", "frames", "clips", "mask_read": `MaskFacts.to_json` where there is a
        mask file, "unused_alpha": true where that is so}], "counts", "names": those behind counts of items, "files":
        `FoundFiles.to_json`, "near": ["file that belongs to nothing: item that it may be meant for"], "buckets",
        "left_out", "messages", …}. A photograph has 1 frame and is 1 clip; `clip_frames` are those of all the videos'
        clips."""
        bare = set(self.without_caption)
        origins = Counter(self.masks.values())
        lengths = [length for video in self.videos.values() for length in video.clips]
        videos = sum(name in self.videos for name in self.masks)
        return {
            "items": [
                {
                    "name": name,
                    "mask": origin.value,
                    "caption": name not in bare,
                    **self._amounts(name),
                    **self._read(name),
                }
                for name, origin in self.masks.items()
            ],
            "counts": {
                "images": len(self.masks) - videos,
                "videos": videos,
                "clips": len(lengths),
                "clip_frames": sum(lengths),
                **{f"mask_{origin.value}": origins[origin] for origin in MaskOrigin},
                **mask_counts(self.masks_read.values()),
                **{key: len(names) for key, (_, names) in self._named.items()},
                "not_read": len(self.not_read),
                "unused_masks": len(self.unused_masks),
            },
            "names": {key: list(names) for key, (_, names) in self._named.items()},
            "files": self.files.to_json(),
            "near": [f"{name}: {item}" for kind in self._near_what for name, item in self._near(kind).items()],
            "unmatched": list(self.unmatched),
            "unused_masks": list(self.unused_masks),
            "without_caption": list(self.without_caption),
            "buckets": {f"{width}x{height}": count for (width, height), count in sorted(self.buckets.items())},
            "not_read": list(self.not_read),
            "left_out": [f"{name}: {reason}" for name, reason in self.left_out.items()],
            "messages": list(self.messages()),
        }

    @property
    def _near_what(self) -> Mapping[FileKind, Sequence[str]]:
        """Items that files of a kind may have been meant for."""
        return {
            FileKind.MASKS_UNUSED: self.unmatched,
            FileKind.CAPTIONS_UNUSED: self.without_caption,
            FileKind.CONTROLS_UNUSED: self.without_control,
        }

    def _near(self, kind: FileKind) -> Mapping[str, str]:
        stems = {name: PurePosixPath(name).stem for name in self.files.of(kind)}
        near = near_names(list(stems.values()), self._near_what[kind])
        return {name: near[stem] for name, stem in stems.items() if stem in near}

    def _near_names(self, kind: FileKind) -> list[str]:
        """The names of files of a kind, each with what it is near to."""
        near = self._near(kind) if kind in self._near_what else {}
        return [f"{name} (near {near[name]})" if name in near else name for name in self.files.of(kind)]

    def _orphans(self, kind: FileKind, which: str) -> list[str]:
        told = self._near_names(kind)
        return [f"{len(told)} {which} the name of no photograph or video: {first_names(told)}"] if told else []

    def _amounts(self, name: str) -> dict[str, int]:
        video = self.videos.get(name)
        return {"frames": 1, "clips": 1} if video is None else {"frames": video.frames, "clips": len(video.clips)}

    def _read(self, name: str) -> dict[str, object]:
        facts = self.masks_read.get(name)
        return {
            **({} if facts is None else {"mask_read": facts.to_json()}),
            **({"unused_alpha": True} if name in self.unused_alpha else {}),
        }

    def _how_read(self) -> list[str]:
        """Pictures that are converted, and masks that lie beside theirs; masks that are no plain grey ones, by what
        they hold; drifts that were undone; and videos that are HDR."""
        kinds: dict[tuple[str, str], list[str]] = {}
        for name, each in self.masks_read.items():
            if each.key:
                kinds.setdefault((each.layout, each.meaning.value), []).append(name)
        lines = [
            f"{len(names)} masks ({layout}) are read by {meaning}: {first_names(names)}"
            for (layout, meaning), names in sorted(kinds.items())
        ]
        lines += [
            f"the mask of {name}: {each.note}" for name, each in self.masks_read.items() if each.note and each.key
        ]
        _, converted = self._named["converted_colours"]
        if converted:
            lines.append(
                f"{len(converted)} images are converted to sRGB by their colour profile: {first_names(converted)}"
            )
        if self.beside:
            lines.append(f"{len(self.beside)} images have their mask beside them: {first_names(self.beside)}")
        for transfer in (Transfer.PQ, Transfer.HLG):
            if bright := [name for name, video in self.videos.items() if video.transfer is transfer]:
                lines.append(
                    f"{len(bright)} videos are HDR ({transfer.value}); their reference white of 203 cd/m² becomes "
                    f"white, and what is brighter is clipped: {first_names(bright)}"
                )
        return lines

    def _about_masks(self) -> list[str]:
        """Dark and empty masks, and lossy ones whose values fit no tiers."""
        lines: list[str] = []
        dark = [name for name, each in self.masks_read.items() if each.is_dark]
        if dark:
            lines.append(f"{len(dark)} masks have no weight above {DARK_BELOW} of 255: {first_names(dark)}")
        empty = [name for name, each in self.masks_read.items() if each.fraction == 0]
        if empty:
            lines.append(f"{len(empty)} masks are empty, nothing in them has weight: {first_names(empty)}")
        unknown = [(name, each) for name, each in self.masks_read.items() if each.note and not each.key]
        return [*lines, *(f"the mask of {name}: {each.note}" for name, each in unknown)]

    def _about_pictures(self) -> list[str]:
        """Pictures of which not all is used: further frames, and colours that cannot be converted."""
        said = {
            "several_frames": "hold several frames or pages, of which the first is used",
            "ignored_profiles": "have a colour profile that cannot be used and is ignored",
            "untagged_colours": "name their colours by PNG's gAMA, cHRM or cICP, which is not applied",
        }
        found = {text: self._named[key][1] for key, text in said.items()}
        like_masks = "look like masks of others and are trained on as photographs (masks belong into mask_directory)"
        found[like_masks] = mask_like(list(self.pictures))
        return [f"{len(names)} images {text}: {first_names(names)}" for text, names in found.items() if names]

    def _by_kind(self, names: Sequence[str]) -> list[tuple[str, list[str]]]:
        images = [name for name in names if name not in self.videos]
        videos = [name for name in names if name in self.videos]
        return [(kind, some) for kind, some in (("images", images), ("videos", videos)) if some]
