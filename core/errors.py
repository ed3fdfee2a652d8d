"""Every error this project raises on purpose.

`UserError` and its children are the user's to mend: their text says what was found, what was expected and what to do,
and the command line ends with exit code 2. `InternalError` is ours (exit code 1).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NoReturn

_MOST_REASONS = 20


class MaskLossError(Exception):
    """Root of the tree; catch this to catch everything raised on purpose."""


class UserError(MaskLossError):
    """Something the user gave cannot be used."""


class SettingError(UserError, ValueError):
    """A setting is outside its range or contradicts another."""


class PathError(UserError):
    """A path is missing, ambiguous, of the wrong kind, or outside the folders that are open."""


class DiskError(UserError):
    """A file cannot be written: the disk is full, or writing is not allowed there."""


class ImageError(UserError):
    """An image or video cannot be read, or its size does not fit its mask."""


class VideoError(ImageError):
    """A video or its masks cannot be read: missing, damaged, or of another number of frames."""


class DatasetError(UserError):
    """A dataset's files do not fit together: empty, duplicate stems, unreadable captions."""


class ItemsFailedError(DatasetError):
    """Work on some items failed in other processes, and is done for all others. `reasons`: by the items' names."""

    def __init__(self, reasons: Mapping[str, str]) -> None:
        self.reasons = dict(reasons)
        lines = [f"{name}: {reason}" for name, reason in list(self.reasons.items())[:_MOST_REASONS]]
        more = len(self.reasons) - len(lines)
        super().__init__(
            f"{len(self.reasons)} items could not be worked on; mend these files or take them away, and run again:\n"
            + "\n".join([*lines, *([f"and {more} more"] if more else [])])
        )


class MaskMissingError(DatasetError):
    """A mask is required and there is none."""


class ModelMissingError(UserError):
    """Model weights are not installed. The text names file, folder, source, licence and the alternative."""


class ModelRunError(UserError):
    """A network failed while it ran on a picture of `size` (width, height); `picture` is its name where it is known."""

    def __init__(self, model: str, size: tuple[int, int], why: str, picture: str = "") -> None:
        self.model, self.size, self.why, self.picture = model, size, why, picture
        shown = f"the picture {picture}, {size[0]}x{size[1]} pixels" if picture else f"a picture of {size[0]}x{size[1]}"
        super().__init__(
            f"The model {model} failed while it ran on {shown} ({why}). Leave this picture out, or crop it to a more "
            "usual shape; if it fails on every picture, its files do not fit the installed library: update that, or "
            "choose another model."
        )


class PersonError(UserError):
    """The person asked for could not be told apart in a picture."""


class CacheError(UserError):
    """A cache is empty, stale, damaged, or does not fit what is asked of it."""


class PromptError(UserError):
    """An API-format prompt names an unknown node, input or value."""


class ServerError(UserError):
    """A ComfyUI server cannot be reached, or what ran on it failed."""


class TrainingError(UserError):
    """Training cannot start or go on with these settings and data."""


class PlanError(TrainingError):
    """The memory of a training run cannot be planned, which does not mean that it cannot run."""


class NonFiniteLossError(TrainingError):
    """A loss became NaN or infinite; raised before the optimizer step."""


class InternalError(MaskLossError):
    """A bug of this project."""


def unhandled_choice(choice: NoReturn) -> InternalError:
    """What to raise where nothing was written for a choice: the type checker lets no known one come here."""
    return InternalError(f"{choice!r} is a choice that this function does not handle; please report it.")
