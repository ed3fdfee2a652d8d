"""The trigger word of a person or thing in captions: put in by rule, and taken out again for its class noun.

A class noun is what the model already knows of its kind, such as "woman". Words are found whole and in any case.
"""

from __future__ import annotations

import re


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


def has_word(caption: str, word: str) -> bool:
    """Whether a word, or several, stand in a caption whole."""
    return _whole(word).search(caption) is not None


def _whole(word: str) -> re.Pattern[str]:
    return re.compile(rf"(?<!\w){re.escape(word)}(?!\w)", re.IGNORECASE)
