"""Files of a dataset's folder that are not read, in words; and all that cannot be used, refused in one sentence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path, PurePosixPath

from ..errors import DatasetError, ImageError, PathError, UserError
from ..first_names import NAMED, first_names
from ..photo.formats import IMAGE_SUFFIXES, why_not_readable
from ..video.reader import VIDEO_SUFFIXES
from .beside import MASK_LABEL, SHOWN
from .files import FoundFile

_PAIR = 2


class Unusable:
    """Collects what is wrong with single files of a folder, so that all of them are named at once."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._errors: dict[str, UserError] = {}

    @contextmanager
    def of(self, name: str) -> Generator[None]:
        """Keep what is raised about the item `name`; of one item the first is kept."""
        try:
            yield
        except (ImageError, DatasetError, PathError) as error:
            self._errors.setdefault(name, error)

    def has(self, name: str) -> bool:
        """Whether something is wrong with the item."""
        return name in self._errors

    def refuse(self) -> None:
        """Raise what was kept: one error as it is, several as one of the first one's kind, with the first five."""
        errors = sorted(self._errors.items())
        if not errors:
            return
        if len(errors) == 1:
            raise errors[0][1]
        told = "; ".join(str(error).rstrip(".") for _, error in errors[:NAMED])
        more = f"; and {len(errors) - NAMED} more: {first_names([name for name, _ in errors[NAMED:]])}"
        raise type(errors[0][1])(
            f"{len(errors)} items of {self._directory} cannot be used, and none is left out in silence: {told}"
            + (more if len(errors) > NAMED else "")
        ) from errors[0][1]


def unread_lines(names: Sequence[str]) -> list[str]:
    """A sentence for each reason for which these files are not read."""
    reasons: dict[str, list[str]] = {}
    for name in names:
        reasons.setdefault(_reason(name), []).append(name)
    return [f"{len(some)} files were not read ({reason}): {first_names(some)}" for reason, some in reasons.items()]


def refuse_equal_names(files: Sequence[FoundFile]) -> None:
    """DatasetError where photographs or videos, sorted by name, share one: with how many do, by their suffixes."""
    shared = [list(some) for _, some in groupby(files, key=lambda file: file.name)]
    shared = [some for some in shared if len(some) > 1]
    if not shared:
        return
    one, other = shared[0][:2]
    if len(shared) == 1:
        found = f"Two files share the name {one.name}: {one.path} and {other.path}"
    else:
        kinds = Counter(" and ".join(sorted({file.path.suffix for file in some})) for some in shared)
        told = ", ".join(f"{count} of {kind}" for kind, count in kinds.most_common(NAMED))
        found = (
            f"{len(shared)} names are shared by several files ({told}), the first of them {one.name}: {one.path} and "
            f"{other.path}"
        )
    raise DatasetError(f"{found}; {_way_out(shared)}.")


def _way_out(shared: Sequence[Sequence[FoundFile]]) -> str:
    films = [[file for file in some if file.path.suffix.lower() in VIDEO_SUFFIXES] for some in shared]
    if all(len(some) == _PAIR and len(film) == 1 for some, film in zip(shared, films, strict=True)):
        # Beside its photograph a telephone lays a film of three seconds.
        return (
            "photographs with a short film each are Live Photos, as telephones write them. To train on the photographs "
            'alone, use Load Dataset (Config File) with image_directory = "…" for this folder, which passes videos by; '
            'with video_directory = "…" the films alone are read; or rename or remove one of each'
        )
    if all(len(film) < len(some) for some, film in zip(shared, films, strict=True)) and len(shared) > 1:
        return "one name is one picture: move the files of one suffix to another folder, or rename them"
    return "rename or remove one"


def _reason(name: str) -> str:
    path = PurePosixPath(name)
    if path.stem.lower().endswith(SHOWN):
        return "OneTrainer's pictures for inpainting models, which are not used here"
    if path.stem.lower().endswith(MASK_LABEL):
        return "masks by their name, whose photograph is not there"
    if path.suffix.lower() in VIDEO_SUFFIXES:
        return "videos, and this dataset is one of images"
    if path.suffix.lower() in IMAGE_SUFFIXES and not why_not_readable(Path(name)):
        return "images, and this dataset is one of videos"
    return "no supported image"
