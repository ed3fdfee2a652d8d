"""The trigger word of a person or thing in captions: put in by rule, and taken out again for its class noun.

A class noun is what the model already knows of its kind, such as "woman". Words are found whole and in any case.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from ..errors import SettingError


def insert_trigger(caption: str, trigger: str, class_noun: str = "") -> str:
    """The caption with `trigger` in it: before the first `class_noun` that stands in it, else at its beginning, with
    the class noun behind it. A caption that has the trigger stays as it is, so that doing it twice is doing it once.

    "a woman at the sea" → "a ohwx woman at the sea"; "at the sea" → "ohwx woman, at the sea"; "" → "ohwx woman".
    """
    trigger, class_noun, caption = trigger.strip(), class_noun.strip(), caption.strip()
    if not trigger or has_word(caption, trigger):
        return caption
    if class_noun and (found := _whole(class_noun).search(caption)):
        return f"{caption[: found.start()]}{trigger} {caption[found.start() :]}"
    name = f"{trigger} {class_noun}".strip()
    return f"{name}, {caption}" if caption else name


def replace_trigger(caption: str, trigger: str, class_noun: str) -> str:
    """The caption with `class_noun` wherever `trigger` stood, once where the class noun stands behind it already:
    "ohwx woman, at the sea" → "woman, at the sea". What has no trigger stays as it is."""
    trigger, class_noun = trigger.strip(), class_noun.strip()
    if not trigger:
        return caption
    if class_noun:
        both = re.compile(rf"{_whole(trigger).pattern}\s+(?={_whole(class_noun).pattern})", re.IGNORECASE)
        caption = both.sub("", caption)
    return _whole(trigger).sub(class_noun.replace("\\", r"\\"), caption).strip()


def trigger_pairs(trigger: str, class_noun: str) -> tuple[tuple[str, str], ...]:
    """Triggers with their class nouns, of lists with commas: one noun for each trigger, or one for all of them.

    SettingError where their numbers differ, or a noun is missing.
    """
    triggers, nouns = ([part.strip() for part in text.split(",") if part.strip()] for text in (trigger, class_noun))
    if triggers and len(nouns) == 1:
        nouns = nouns * len(triggers)
    if len(triggers) != len(nouns):
        raise SettingError(
            f"trigger names {len(triggers)} words ({trigger!r}) and class_noun {len(nouns)} ({class_noun!r}); give "
            "each trigger its class noun, in the same order, with commas between them, or one noun for all"
        )
    return tuple(zip(triggers, nouns, strict=True))


def class_caption(caption: str, pairs: Sequence[tuple[str, str]]) -> str | None:
    """The caption with class nouns in place of all its triggers, as `replace_trigger`; None where it has none."""
    if not any(has_word(caption, trigger) for trigger, _ in pairs):
        return None
    for trigger, class_noun in pairs:
        caption = replace_trigger(caption, trigger, class_noun)
    return caption


def has_word(caption: str, word: str) -> bool:
    """Whether a word, or several, stand in a caption whole."""
    return _whole(word).search(caption) is not None


def _whole(word: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w){re.escape(word)}(?!\w)", re.IGNORECASE)
