"""What becomes of captions on their way from their files to the items, where another trainer has a rule for that."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePosixPath

from .trigger import has_word


@dataclass(frozen=True)
class CaptionRule:
    """In this order: `always` takes the place of whatever there is; `first_line` takes the first line with something on
    it; `from_name` takes the file's name, with spaces for underscores; `default` is the caption where there is none;
    "[trigger]" becomes `trigger`, which comes to the front where it is missing; `prefix` and `suffix` go around it.
    """

    always: str = ""
    first_line: bool = False
    default: str = ""
    from_name: bool = False
    trigger: str = ""
    prefix: str = ""
    suffix: str = ""

    def apply(self, caption: str, name: str) -> str:
        """The caption of the item `name`, of what its file holds."""
        caption = self.always or caption
        if self.first_line:
            caption = next((line.strip() for line in caption.splitlines() if line.strip()), "")
        if self.from_name:
            caption = PurePosixPath(name).name.replace("_", " ")
        caption = caption or self.default
        if self.trigger:
            caption = caption.replace("[trigger]", self.trigger)
            if not has_word(caption, self.trigger):
                caption = f"{self.trigger} {caption}".strip()
        return f"{self.prefix}{caption}{self.suffix}".strip()
