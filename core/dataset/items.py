"""What a dataset is made of: photographs and videos with their captions and masks, described by paths only.

Nothing here holds pixels; `load.py` reads them. Sizes are (width, height).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path, PurePosixPath

from ..errors import DatasetError, SettingError
from ..mask_meaning import MaskMeaning
from ..people.decision import PersonDecision
from ..video.clips import Clip, VideoSettings
from ..video.mask_drift import USUAL_TIERS
from ..video.reader import VIDEO_SUFFIXES
from .crop import Crop, CropKind, Rectangle


class MaskOrigin(str, Enum):
    """Where an item's weights came from."""

    ALPHA = "alpha"
    FILE = "file"
    NONE = "none"


@dataclass(frozen=True)
class LoadSettings:
    """How a photograph or a video becomes training pictures. `resolution` is (width, height) in px; 0 = no bound for
    buckets. `mask_meaning` is what of the user's own mask files is the weight."""

    resolution: tuple[int, int] = (1024, 1024)
    enable_bucket: bool = True
    bucket_no_upscale: bool = False
    bucket_step: int = 16
    min_bucket: int = 0
    max_bucket: int = 0
    alpha_mask: bool = False
    require_mask: bool = False
    video: VideoSettings = field(default_factory=VideoSettings)
    mask_meaning: MaskMeaning = MaskMeaning.AUTO

    def __post_init__(self) -> None:
        if self.bucket_step < 1:
            raise SettingError(f"bucket_step is {self.bucket_step}; it must be at least 1 px.")
        if min(self.resolution) < self.bucket_step:
            raise SettingError(
                f"The resolution {self.resolution[0]}x{self.resolution[1]} is smaller than one bucket step of "
                f"{self.bucket_step} px; give a larger resolution."
            )
        if self.min_bucket < 0 or self.max_bucket < 0:
            raise SettingError(
                f"min_bucket is {self.min_bucket} and max_bucket is {self.max_bucket}; both must be 0 (no bound) "
                "or more."
            )
        if 0 < self.max_bucket < self.min_bucket:
            raise SettingError(
                f"min_bucket ({self.min_bucket}) is larger than max_bucket ({self.max_bucket}); swap the two."
            )


@dataclass(frozen=True)
class PersonByHand:
    """What was decided by hand about the item of one person of a photograph or video that may show several.
    `correction_path` is what was painted over that item's mask; `chosen_face` as an item's."""

    person: str
    correction_path: Path | None = None
    left_out: bool = False
    chosen_face: tuple[float, float, float, float] | None = None


@dataclass(frozen=True)
class DatasetItem:
    """One photograph or video. `name` is its "/"-separated path below the dataset's directory, without suffix.

    A video's `mask_path` may be a picture for all of it, a mask video, or a folder of numbered pictures.
    `tiers_path` is the mask of everyone in the picture, from before one person was kept; `person` says who was kept.
    `mask_meaning` and `tiers_meaning` are how these two files are read: brightness where a step of ours wrote them.
    `tier_values` are those that the dataset's masks are known to have; a lossy mask video is brought back to them.
    `regularisation` above 0 makes it a regularisation image: it keeps what the model knows instead of being learnt, and
    all such images together come for that fraction of an epoch.
    With `crop` it is a part of its files, and its name ends in what that shows: "anna~face". `correction_path` is what
    somebody painted over its mask, of all of its photograph; the weights that are trained with have it in them.
    `chosen_face` is where somebody pointed at the person: (left, top, right, bottom) in fractions of the photograph.
    With `subject` it is one person's item of a photograph that may have several, and its name ends in theirs:
    "party@anna". `people_by_hand` is what was decided about the items that people will have of it.
    `control_path` and `more_controls` are its control images, which an edit model is shown; `wants_control` where its
    dataset has a folder of them.
    """

    name: str
    media_path: Path
    settings: LoadSettings
    mask_path: Path | None = None
    caption: str = ""
    control_path: Path | None = None
    repeats: int = 1
    tiers_path: Path | None = None
    person: PersonDecision | None = None
    caption_path: Path | None = None
    mask_meaning: MaskMeaning = MaskMeaning.AUTO
    tiers_meaning: MaskMeaning = MaskMeaning.AUTO
    tier_values: tuple[int, ...] = USUAL_TIERS
    crop: Crop | None = None
    correction_path: Path | None = None
    regularisation: float = 0.0
    chosen_face: tuple[float, float, float, float] | None = None
    subject: str = ""
    more_controls: tuple[Path, ...] = ()
    wants_control: bool = False
    people_by_hand: tuple[PersonByHand, ...] = ()

    def __post_init__(self) -> None:
        parts = PurePosixPath(self.name).parts
        if not parts or self.name.startswith("/") or "\\" in self.name or ".." in parts:
            raise DatasetError(f"The item name {self.name!r} is not a relative path; names lie below the directory.")
        if self.repeats < 1:
            raise SettingError(f"{self.name} has {self.repeats} repeats; num_repeats must be at least 1.")
        if not 0 <= self.regularisation < 1:
            raise SettingError(
                f"{self.name} has regularisation {self.regularisation}; it must be a fraction of an epoch in [0, 1), 0 "
                "for what is learnt."
            )

    @property
    def is_video(self) -> bool:
        """Whether it is a video, by its suffix."""
        return self.media_path.suffix.lower() in VIDEO_SUFFIXES

    @property
    def controls(self) -> tuple[Path, ...]:
        """Its control images, in their order."""
        return () if self.control_path is None else (self.control_path, *self.more_controls)

    @property
    def is_cut(self) -> bool:
        """Whether its files show more than the item."""
        return self.crop is not None and self.crop.is_cut

    @property
    def whole_name(self) -> str:
        """The name of the photograph or video that it is a crop or one person's item of; its own where it is none."""
        name = self.name if self.crop is None else self.name.removesuffix(crop_name("", self.crop.kind))
        return name.removesuffix(person_item_name("", self.subject)) if self.subject else name

    def by_hand(self, person: str) -> PersonByHand:
        """What was decided about the item that a person will have of it."""
        return next((each for each in self.people_by_hand if each.person == person), PersonByHand(person))

    def rectangle(self, clip: Clip | None = None) -> Rectangle | None:
        """What of its photograph (or of that clip of its video) it is; None for all of it."""
        return None if self.crop is None else self.crop.of(clip)


def crop_name(name: str, kind: CropKind) -> str:
    """What an item's crop is called."""
    return f"{name}~{kind.value}"


def person_item_name(name: str, person: str) -> str:
    """What one person's item of a photograph is called."""
    return f"{name}@{person}"


@dataclass(frozen=True)
class LeftOut:
    """An item that a step took out of the dataset, and why."""

    item: DatasetItem
    reason: str


@dataclass(frozen=True)
class Found:
    """One count of a scan, in words, and the names behind it."""

    what: str
    count: int
    names: tuple[str, ...]


@dataclass(frozen=True)
class Dataset:
    """Items in a fixed order with unique names, what was left out on the way, and what the scan had found."""

    items: tuple[DatasetItem, ...]
    left_out: tuple[LeftOut, ...] = ()
    found: tuple[Found, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        twice = [name for name, count in Counter(item.name for item in self.items).items() if count > 1]
        if twice:
            raise DatasetError(f"The dataset holds {twice[0]} more than once; every item needs a name of its own.")

    def without(self, reasons: Mapping[str, str]) -> Dataset:
        """The dataset without the items of these names, which failed for these reasons. They are not in `left_out`,
        whose pictures are shown: theirs cannot be read."""
        return Dataset(tuple(item for item in self.items if item.name not in reasons), self.left_out, self.found)

    @property
    def photographs(self) -> tuple[int, int]:
        """How many photographs and videos are kept, whole or as crops, and how many are left out altogether."""
        kept = {item.whole_name for item in self.items if not item.regularisation}
        left_out = {left.item.whole_name for left in self.left_out if not left.item.regularisation}
        return len(kept), len(left_out - kept)

    @property
    def regularisation(self) -> int:
        """How many photographs and videos are regularisation images, which `photographs` does not count."""
        return len({item.whole_name for item in self.items if item.regularisation})

    @property
    def counted_apart(self) -> tuple[tuple[str, str], ...]:
        """What there is beside the photographs, whose items, crops and regularisation images: what, and how many."""
        counts = {"people": self.people, "crops": self.crops, "regularisation images": str(self.regularisation or "")}
        return tuple((what, count) for what, count in counts.items() if count)

    @property
    def people(self) -> str:
        """How many items each person has, and how often these come in an epoch, in words; empty where nobody has."""
        own = [item for item in self.items if item.subject and not item.regularisation]
        counts = Counter(item.subject for item in own)
        times = {name: sum(item.repeats for item in own if item.subject == name) for name in counts}
        return ", ".join(f"{name} {count} ({times[name]} per epoch)" for name, count in counts.items())

    @property
    def crops(self) -> str:
        """How many crops there are of each kind, in words; empty where there are none."""
        kinds = Counter(item.crop.kind.value for item in self.items if item.crop is not None)
        return ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
