"""TOML files in, with messages that name the line that is wrong."""

from __future__ import annotations

import importlib
import re
import sys
from pathlib import Path
from typing import Any

from ..errors import DatasetError, PathError
from ..files import read_bytes


def read_toml(path: Path) -> dict[str, Any]:
    """The file's content. DatasetError for a damaged file, with its line; PathError where it cannot be read."""
    # The standard library has the reader from Python 3.11 on; before, its forerunner is a dependency.
    toml = importlib.import_module("tomllib" if sys.version_info >= (3, 11) else "tomli")
    try:
        text = read_bytes(path).decode("utf-8-sig")
    except OSError as error:
        raise PathError(f"The dataset file {path} cannot be read ({error.strerror}); check the path.") from error
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise DatasetError(f"Line {line} of {path} is damaged: it is not UTF-8; save the file as UTF-8.") from error
    try:
        return toml.loads(text)
    except toml.TOMLDecodeError as error:
        raise _syntax_error(path, text, str(error)) from error


def _syntax_error(path: Path, text: str, message: str) -> DatasetError:
    # The message is "Invalid value (at line 3, column 7)" or "Invalid value (at end of document)".
    what, _, where = message.rstrip(")").rpartition(" (at ")
    lines = text.splitlines()
    found = re.match(r"line (\d+)", where)
    number = int(found[1]) if found else len(lines)
    backslash = '"' in lines[number - 1] and "\\" in lines[number - 1]
    hint = "write Windows paths in single quotes" if backslash else "mend it as TOML"
    return DatasetError(f"Line {number} of {path} is damaged: {what[:1].lower()}{what[1:]}; {hint}.")
