"""Captions of one person's items among several: from a template, or a text file of that person's own."""

from __future__ import annotations

import string
from collections.abc import Sequence
from pathlib import Path

from ..errors import SettingError
from .captions import read_caption
from .items import DatasetItem
from .set_captions import TEXT_SUFFIXES
from .trigger import has_word

FIELDS = ("trigger", "class_noun", "name", "caption")
_LOOSE = " \t\n,;"


class CaptionTemplate:
    """A text with {trigger}, {class_noun}, {name} and {caption} in it, such as "{trigger}, {caption}"."""

    def __init__(self, text: str) -> None:
        """SettingError where something else stands in braces."""
        try:
            fields = [field for field in string.Formatter().parse(text) if field[1] is not None]
        except ValueError as error:
            raise SettingError(f"caption_template {text!r} has a brace without its other one ({error}).") from error
        for _, name, form, conversion in fields:
            if name not in FIELDS or form or conversion:
                known = ", ".join(f"{{{each}}}" for each in FIELDS)
                raise SettingError(f"caption_template {text!r} has {{{name}}}; it takes {known}.")
        self._text = text

    def fill(self, caption: str, triggers: Sequence[str], class_nouns: Sequence[str], names: Sequence[str]) -> str:
        """The caption of one person's item, or of several together, whose words are joined by "and". A caption that has
        every trigger already stays as it is; what an empty word leaves of commas and spaces at the ends goes."""
        if caption and all(has_word(caption, trigger) for trigger in triggers):
            return caption
        filled = self._text.format(
            trigger=" and ".join(triggers), class_noun=" and ".join(class_nouns), name=" and ".join(names),
            caption=caption,
        )  # fmt: skip
        return filled.strip(_LOOSE)


def own_caption(item: DatasetItem, name: str) -> tuple[str, Path] | None:
    """The text file of one person in a photograph, "group.anna.txt" where that of all is "group.txt", and what it says;
    None where there is none. It lies beside the other one, or else beside the photograph. Errors as `read_caption`."""
    paths = [own_caption_path(item.media_path, name)]
    if item.caption_path is not None and item.caption_path.suffix.lower() in TEXT_SUFFIXES:
        beside = item.caption_path
        paths.insert(0, beside.with_name(f"{beside.stem}.{name}{beside.suffix}"))
    return next(((read_caption(path), path) for path in paths if path.is_file()), None)


def own_caption_path(photograph: Path, name: str) -> Path:
    """Where the text file of one person lies beside the photograph."""
    return photograph.with_name(f"{photograph.stem}.{name}.txt")
