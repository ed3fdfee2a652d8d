"""The captions of a dataset: text files by the photographs' names, or one file for many of them."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from pathlib import Path

from ..errors import DatasetError
from ..files import read_bytes
from ..first_names import first_names
from .caption_file import CaptionFile
from .files import NameIndex, need_directory


class Captions:
    """Where the captions of a dataset are found. What `file` says of a photograph counts before a text file."""

    def __init__(
        self,
        names: Sequence[str],
        directory: Path,
        recursive: bool,
        suffix: str,
        caption_directory: Path | None = None,
        file: Path | None = None,
    ) -> None:
        """Text files with `suffix` lie in `caption_directory` where there is one, else beside the photographs in
        `directory`. PathError, DatasetError where one of them is missing or damaged."""
        if caption_directory is not None:
            need_directory(caption_directory, "caption_directory")
            self._texts = NameIndex(caption_directory, (suffix,), "caption", names)
        else:
            self._texts = NameIndex(directory, (suffix,), "caption", names, recursive)
        self._file = None if file is None else CaptionFile.read(file, names)
        self._count = len(names)

    def find(self, name: str) -> tuple[str, Path | None]:
        """The caption of the item `name`, empty where there is none, and the file that has it."""
        if self._file is not None:
            caption = self._file.find(name)
            if caption is not None:
                return caption, self._file.path
        path = self._texts.find(name)
        return (read_caption(path), path) if path else ("", None)

    def message(self) -> str:
        """How many items have their captions from the one file; empty without one."""
        if self._file is None:
            return ""
        return f"{self._file.path.name} has the captions of {self._file.used} of {self._count} items"

    def warning(self) -> str:
        """The entries of the one file that belong to nothing; empty where there are none."""
        unused = [] if self._file is None else list(self._file.unused)
        if self._file is None or not unused:
            return ""
        return (
            f"{len(unused)} entries of {self._file.path.name} have the name of no photograph or video: "
            f"{first_names(unused)}"
        )


def read_caption(path: Path) -> str:
    """A caption file's text, without the space around it, its lines ended as on Unix; empty where nothing in it is
    seen. DatasetError when it cannot be read, is not UTF-8 or holds bytes of 0, as UTF-16 does and what a computer lost
    when its power failed."""
    try:
        content = read_bytes(path)
        if b"\0" in content:
            raise DatasetError(
                f"The caption {path} holds {content.count(0)} bytes of 0, so it is damaged or UTF-16; write it again, "
                "as UTF-8."
            )
        text = content.decode("utf-8-sig").replace("\r\n", "\n").strip()
        # Of spaces without width, or a second byte order mark, nobody sees that the file is not blank.
        return text if any(unicodedata.category(letter)[0] not in "ZC" for letter in text) else ""
    except OSError as error:
        raise DatasetError(
            f"The caption {path} cannot be read ({error.strerror}); see that it may be read, or take it away."
        ) from error
    except UnicodeDecodeError as error:
        raise DatasetError(
            f"The caption {path} is not UTF-8 (byte {error.start} is 0x{error.object[error.start]:02x}); "
            "save it again as UTF-8."
        ) from error
