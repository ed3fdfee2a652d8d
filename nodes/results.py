"""What a node gives back: reports as JSON, and `ui` values that reach the front end and `/history`."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from ..core.errors import PathError
from ..core.host import current_host
from ..core.masks.edits_digest import edits_digest
from ..core.paths import listing_digest, resolve_read, resolve_read_or_write
from ..core.warning import given_warnings

# The history keeps every `ui` value in memory; the whole report is on the wire.
MAX_TEXT = 65_536


def as_json(report: object) -> str:
    """A report as a JSON string: readable, finite numbers only."""
    return json.dumps(report, ensure_ascii=False, allow_nan=False, indent=1)


def with_pictures(
    result: tuple[Any, ...], pictures: Sequence[np.ndarray] = (), name: str = "preview", **more: Sequence[object]
) -> dict[str, Any]:
    """A node's result with its `ui`: previews of `pictures` under "images", and lists of texts or JSON by name.

    A node passes the same names on every call, because ComfyUI merges by the first call's keys.
    """
    ui: dict[str, list[Any]] = {key: list(values) for key, values in more.items()}
    return {"ui": {"images": current_host().show(pictures, name), **ui}, "result": result}


def with_report(
    result: tuple[Any, ...],
    messages: Sequence[str] = (),
    pictures: Sequence[np.ndarray] = (),
    name: str = "preview",
    **more: Sequence[object],
) -> dict[str, Any]:
    """A result whose last value is a report, as text; `messages` are said to the user, unless they are warnings, and
    stay on the node under "said".

    With `pictures` their previews are there too, and `more` as in `with_pictures`, on every call of that node or on
    none; a "said" among them stands on the node in place of the messages.
    """
    said = say(messages)
    report = str(result[-1])
    short = report if len(report) <= MAX_TEXT else report[:MAX_TEXT] + " …"
    ui = {"text": [short], "said": said, **more}
    if pictures:
        return with_pictures(result, pictures, name, **ui)
    return {"ui": {key: list(values) for key, values in ui.items()}, "result": result}


def say(messages: Sequence[str]) -> list[str]:
    """Say what is not known as a warning already. Returns it."""
    warnings = given_warnings()
    said = [message for message in messages if message not in warnings]
    if said:
        current_host().say("\n".join(said))
    return said


def with_warnings(result: Any, texts: Sequence[str], watched: bool) -> Any:
    """A node's result with its warnings as `ui` values under "warnings".

    They are there on every call, empty where there were none, if the node is `watched` by a graph editor, which else
    would go on showing older ones.
    """
    if isinstance(result, dict):
        return {**result, "ui": {**result.get("ui", {}), "warnings": list(texts)}}
    return {"ui": {"warnings": list(texts)}, "result": result} if texts or watched else result


def list_saved(paths: Sequence[Path]) -> list[dict[str, str]]:
    """`ui` entries of files under the output folder; a file elsewhere has none, since no front end can reach it."""
    output = current_host().folders().output.resolve()  # as the paths are, which may lead through a link
    return [
        {"filename": path.name, "subfolder": path.parent.relative_to(output).as_posix(), "type": "output"}
        for path in paths
        if path.is_relative_to(output)
    ]


def one_or_all(values: list[Any]) -> Any:
    """One picture gives its value, a batch the list of all."""
    return values[0] if len(values) == 1 else values


def digest_folders(directories: Sequence[str | None], recursive: bool = True) -> str:
    """IS_CHANGED of what lies in `directories` (empty ones count as not given), without opening a file."""
    folders = current_host().folders()
    try:
        return listing_digest([resolve_read(folders, text) for text in directories if text], recursive)
    except PathError as error:
        # The run will say so; here it only has to differ from a folder that is there.
        return str(error)


def digest_edits(directory: str) -> str:
    """IS_CHANGED of masks that people put or edited in a directory that a step writes to. Without it ComfyUI would give
    back what was there before."""
    if not directory.strip():
        return ""
    try:
        return edits_digest(resolve_read_or_write(current_host().folders(), directory)[0])
    except PathError as error:
        # The run will say so; here it only has to differ from a directory that is right.
        return str(error)
