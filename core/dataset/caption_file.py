"""Captions of many photographs in one file, as other trainers keep them: a list in JSON or JSON Lines, or kohya's
metadata."""

from __future__ import annotations

import json
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

from ..errors import DatasetError
from ..files import read_bytes
from ..images import IMAGE_SUFFIXES
from ..video.reader import VIDEO_SUFFIXES

CAPTION_FILE_SUFFIXES = (".json", ".jsonl")
# What others call the file of an entry, and its caption; the first that is there counts.
FILE_KEYS = ("file_name", "image", "image_path", "video", "video_path", "path", "file", "filename")
CAPTION_KEYS = ("caption", "text", "prompt")

_SHAPE = (
    'give a list of {"file_name": …, "text": …} (image, image_path, video_path or path, and caption or prompt are read '
    'too), one of them per line in .jsonl, or {"name": {"caption": …}} as kohya\'s metadata has it'
)


class CaptionFile:
    """The captions of one file by what it calls their photographs: paths from wherever it was made, or bare names."""

    def __init__(self, path: Path, captions: Mapping[str, str], wanted: Iterable[str]) -> None:
        """`captions` by the names that the file has; `wanted` are the names of all items."""
        self.path = path
        self._captions = captions
        self._by_last: defaultdict[str, list[tuple[tuple[str, ...], str]]] = defaultdict(list)
        for key in captions:
            parts = _parts(key)
            self._by_last[parts[-1]].append((parts, key))
        self._wanted = Counter(_parts(name)[-1] for name in wanted)
        self._used: set[str] = set()

    @classmethod
    def read(cls, path: Path, wanted: Iterable[str]) -> CaptionFile:
        """Read a file. DatasetError in one sentence where it is damaged or something else."""
        return cls(path, read_captions(path), wanted)

    def find(self, name: str) -> str | None:
        """The caption of the item `name`; None where the file has none. What ends in the whole name belongs to it, or
        else what has its last part, where no other item and no other entry has. DatasetError when two could."""
        parts = _parts(name)
        same = self._by_last.get(parts[-1], [])
        whole = [entry for entry in same if entry[0][-len(parts) :] == parts]
        exact = [entry for entry in whole if entry[0] == parts]
        found = exact or whole or (same if self._wanted[parts[-1]] == 1 else [])
        if len(found) > 1:
            raise DatasetError(
                f"Two entries of {self.path} could belong to {name}: {found[0][1]} and {found[1][1]}; keep one of them."
            )
        if not found:
            return None
        self._used.add(found[0][1])
        return self._captions[found[0][1]]

    @property
    def used(self) -> int:
        """How many entries belong to an item that was looked for."""
        return len(self._used)

    @property
    def unused(self) -> tuple[str, ...]:
        """The entries that no item was found for."""
        return tuple(key for key in self._captions if key not in self._used)


def read_captions(path: Path) -> dict[str, str]:
    """Captions by what the file calls their photographs. DatasetError naming the line or the entry that is wrong."""
    text = _text_of(path)
    if path.suffix.lower() == ".jsonl":
        lines = [(number, line) for number, line in enumerate(text.splitlines(), 1) if line.strip()]
        entries = [(f"Line {number} of {path}", _parse(line, path, number)) for number, line in lines]
        return _joined(path, [_named(where, entry) for where, entry in entries])
    content = _parse(text, path)
    if isinstance(content, list):
        return _joined(path, [_named(f"Entry {number} of {path}", entry) for number, entry in enumerate(content, 1)])
    if isinstance(content, dict) and content:
        return _joined(path, [(str(key), _caption_of(f"{key} in {path}", entry)) for key, entry in content.items()])
    raise DatasetError(f"{path} holds no captions; {_SHAPE}.")


def _text_of(path: Path) -> str:
    if path.suffix.lower() not in CAPTION_FILE_SUFFIXES:
        raise DatasetError(f"The caption file {path} is none of {', '.join(CAPTION_FILE_SUFFIXES)}; {_SHAPE}.")
    try:
        return read_bytes(path).decode("utf-8-sig")
    except OSError as error:
        raise DatasetError(
            f"The caption file {path} cannot be read ({error.strerror}); see that it may be read."
        ) from error
    except UnicodeDecodeError as error:
        raise DatasetError(
            f"The caption file {path} is not UTF-8 (byte {error.start} is 0x{error.object[error.start]:02x}); save it "
            "again as UTF-8."
        ) from error


def _parse(text: str, path: Path, line: int = 1) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        number = line + error.lineno - 1
        raise DatasetError(f"Line {number} of {path} is damaged: {error.msg}; mend it as JSON.") from error
    except RecursionError as error:
        raise DatasetError(f"{path} is damaged: it is nested too deeply; {_SHAPE}.") from error


def _named(where: str, entry: object) -> tuple[str, str]:
    if not isinstance(entry, dict):
        raise DatasetError(f"{where} is no entry with a name and a caption; {_SHAPE}.")
    file = next((entry[key] for key in FILE_KEYS if key in entry), None)
    if not isinstance(file, str) or not file.strip():
        raise DatasetError(f"{where} does not name its photograph; {_SHAPE}.")
    return file, _caption_of(where, entry)


def _caption_of(where: str, entry: object) -> str:
    """An entry's caption, with its tags behind it as kohya's trainers join them; of several captions the first."""
    if isinstance(entry, list) and entry and all(isinstance(part, str) for part in entry):
        # diffusion-pipe's captions.json has several for each.
        return _clean(entry[0])
    if isinstance(entry, str):
        return _clean(entry)
    if not isinstance(entry, dict):
        raise DatasetError(f"{where} is no caption; {_SHAPE}.")
    found: list[str] = []
    for keys in (CAPTION_KEYS, ("tags",)):
        value = next((entry[key] for key in keys if key in entry), None)
        if isinstance(value, list) and all(isinstance(part, str) for part in value):
            value = ", ".join(value) if keys == ("tags",) else next(iter(value), None)
        if value is not None and not isinstance(value, str):
            raise DatasetError(f"{where} has a caption that is no text: {value!r}; {_SHAPE}.")
        found += [_clean(value)] if value and _clean(value) else []
    if not found and not any(key in entry for key in (*CAPTION_KEYS, "tags")):
        raise DatasetError(f"{where} has no caption; {_SHAPE}.")
    return ", ".join(found)


def _clean(caption: str) -> str:
    return caption.replace("\r\n", "\n").strip()


def _joined(path: Path, entries: Sequence[tuple[str, str]]) -> dict[str, str]:
    captions: dict[str, str] = {}
    for key, caption in entries:
        if not _parts(key):
            raise DatasetError(f"{path} has an entry of the name {key!r}, which is no file; {_SHAPE}.")
        if captions.setdefault(key, caption) != caption:
            raise DatasetError(f"{path} has two captions for {key}; keep one of them.")
    return captions


def _parts(key: str) -> tuple[str, ...]:
    """A path's parts, of whatever system, without the suffix of a picture or a video."""
    path = PurePosixPath(unicodedata.normalize("NFC", key.replace("\\", "/")))
    plain = path.with_suffix("") if path.suffix.lower() in (*IMAGE_SUFFIXES, *VIDEO_SUFFIXES) else path
    return tuple(part for part in plain.parts if part not in ("/", "..", "."))
