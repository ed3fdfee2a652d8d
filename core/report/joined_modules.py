"""Joins ES modules into one classic script: a page that is opened from disk may load that, but no module of another
file.

It reads the modules that this project writes: `import { a, b as c } from "./x.js";` at the beginning, `export` before
a class, a function or a constant.
"""

from __future__ import annotations

import re
from pathlib import Path

from ..errors import InternalError
from ..files import read_text

_IMPORT = re.compile(r'^import \{([^}]*)\} from "(\./[^"]+)";\n', re.MULTILINE)
_EXPORT = re.compile(r"^export ((?:async )?(?:class|function\*?|const|let) (\w+))", re.MULTILINE)


def join_modules(entry: Path) -> str:
    """One script that does what the module `entry` and those that it imports do. Each is a function of its own, so that
    equal names in two of them do not meet. InternalError for what is written otherwise, or goes round."""
    written: dict[Path, str] = {}
    _write(entry.resolve(), written, ())
    return "(() => {\n" + "".join(written.values()) + "})();\n"


def _write(path: Path, written: dict[Path, str], above: tuple[Path, ...]) -> None:
    if path in written:
        return
    if path in above:
        raise InternalError(f"{path} imports itself, through {', '.join(each.name for each in above)}")
    source = read_text(path)
    imported: list[str] = []
    for names, other in _IMPORT.findall(source):
        target = (path.parent / other).resolve()
        _write(target, written, (*above, path))
        bound = ", ".join(name.strip().replace(" as ", ": ") for name in names.split(",") if name.strip())
        imported.append(f"const {{ {bound} }} = {_name(target, written)};\n")
    body = _IMPORT.sub("", source)
    exported = [name for _, name in _EXPORT.findall(body)]
    body = _EXPORT.sub(r"\1", body)
    if left := re.search(r"^(import|export)\b.*", body, re.MULTILINE):
        raise InternalError(f"{path} has {left[0]!r}, which is not joined")
    number = len(written)
    written[path] = (
        f"const module{number} = (() => {{\n{''.join(imported)}{body}return {{ {', '.join(exported)} }};\n}})();\n"
    )


def _name(path: Path, written: dict[Path, str]) -> str:
    return f"module{list(written).index(path)}"
