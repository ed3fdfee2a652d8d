"""The entries of a cache's index, and their source files. Sizes are (width, height)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from ..dataset.crop import Rectangle
from ..dataset.items import MaskOrigin
from ..errors import ImageError
from ..video.reader import VIDEO_SUFFIXES

WHOLE = "whole"
_CLIP = re.compile(r"_\d{5}-\d{3,}$")


def control_role(number: int) -> str:
    """The role of a photograph's control image by its number."""
    return f"control_{number}" if number else "control"


@dataclass(frozen=True)
class Source:
    """A file that an entry was made from, as it was then; a mask may be a folder. `role` is image (or video), mask,
    correction, caption, or control, control_1, control_2 …"""

    role: str
    path: Path
    size: int
    mtime_ns: int
    sha256: str


@dataclass(frozen=True)
class CacheEntry:
    """One cached picture, or one clip of a video.

    `file` is its path below the cache's directory, `latent_shape` (C,T,h,w). `coverage` is the mean weight on the
    latent grid (1 without a mask), in one-frame training of the target frame. There, frame `target_index` is the one to
    learn and `control_indices` are those given; the latent's frames are in ascending order of index. `image_channels`
    are those of what the file holds for an image-to-video or an inpainting model, or 0. `crop` is empty
    for a whole picture, else the kind of crop and its rectangle: "face 120,80,300x420". `regularisation` and `subject`
    are those of the item (see `DatasetItem`). `references` is the number of control images whose latents the file
    holds, for edit models.
    """

    name: str
    file: str
    origin: MaskOrigin
    coverage: float
    repeats: int
    image_size: tuple[int, int]
    bucket: tuple[int, int]
    latent_shape: tuple[int, int, int, int]
    caption: str
    latent_fingerprint: str
    mask_fingerprint: str
    file_bytes: int
    sources: tuple[Source, ...] = ()
    target_index: int | None = None
    control_indices: tuple[int, ...] = ()
    image_channels: int = 0
    crop: str = ""
    regularisation: float = 0.0
    subject: str = ""
    references: int = 0

    @property
    def control_sources(self) -> tuple[Source, ...]:
        """The control images that it was made from, in their order."""
        by_role = {source.role: source for source in self.sources}
        roles = [control_role(number) for number in range(len(self.sources))]
        return tuple(by_role[role] for role in roles if role in by_role)

    @property
    def source_path(self) -> Path:
        """The photograph that the latent was made from. ImageError where another trainer cached it."""
        for source in self.sources:
            if source.role == "image":
                return source.path
        raise ImageError(f"The photograph of {self.name} is not known, because another trainer cached it.")

    @property
    def kind(self) -> str:
        """What it shows: bust, face, or whole."""
        return self.crop.partition(" ")[0] or WHOLE

    @property
    def rectangle(self) -> Rectangle | None:
        """What of its photograph it is, in the photograph's pixels; None for all of it."""
        return Rectangle.parse(self.crop.partition(" ")[2])

    @property
    def item_name(self) -> str:
        """The name of the photograph or video in the dataset: a clip's own ends in its position and length."""
        files = (source.path for source in self.sources if source.role == "image")
        is_clip = any(path.suffix.lower() in VIDEO_SUFFIXES for path in files)
        return _CLIP.sub("", self.name) if is_clip else self.name


@dataclass(frozen=True)
class StaleEntry:
    """An entry whose source changed after it was cached."""

    name: str
    reason: str
