"""The settings of another trainer's dataset file, taken one after the other: what is left over is refused by name."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ...errors import DatasetError
from ...paths import Folders, PathKind, resolve_beside
from ..config_values import Kind, fits


class Table:
    """One table of settings. Every getter takes its key out; `close` refuses those that act and nobody took."""

    def __init__(self, values: object, where: str, path: Path, folders: Folders) -> None:
        """`where` is what the table is called in messages. DatasetError where `values` is no table."""
        if not isinstance(values, Mapping):
            raise DatasetError(f"{where} of {path} is no table of settings, but {_shown(values)}; write it as one.")
        self.where = f"{where} of {path}"
        self._called = where
        self.path = path
        self._folders = folders
        self._left: dict[str, Any] = {str(key): value for key, value in values.items()}  # pyright: ignore[reportUnknownVariableType, reportUnknownArgumentType]

    def __contains__(self, name: str) -> bool:
        return name in self._left

    def take(self, name: str, kind: Kind, default: Any) -> Any:
        """The value of `name`; `default` where it is missing or null. DatasetError where it is of another kind."""
        value = self._left.pop(name, None)
        if value is None:
            return default
        if not fits(value, kind):
            raise DatasetError(f"{self.where} has {name} = {_shown(value)}; it must be {kind.value}.")
        return value

    def text(self, name: str, default: str = "") -> str:
        """A text."""
        return self.take(name, Kind.TEXT, default)

    def switch(self, name: str, default: bool = False) -> bool:
        """True or false."""
        return self.take(name, Kind.SWITCH, default)

    def count(self, name: str, default: int) -> int:
        """A whole number above 0; 4.0 is one."""
        value = self._left.get(name)
        if isinstance(value, float) and value.is_integer():
            self._left[name] = int(value)
        return self.take(name, Kind.COUNT, default)

    def number(self, name: str, default: float) -> float:
        """Any number."""
        value = self._left.pop(name, None)
        if value is None:
            return default
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise DatasetError(f"{self.where} has {name} = {_shown(value)}; it must be a number.")
        return value

    def raw(self, name: str) -> Any:
        """Whatever it is; None where it is missing."""
        return self._left.pop(name, None)

    def folder(self, name: str) -> Path | None:
        """A folder, whose relative path counts from the file's own; None where it is missing or empty."""
        text = self.text(name)
        return self.resolve(text, name, PathKind.DIRECTORY) if text.strip() else None

    def need_folder(self, name: str) -> Path:
        """As `folder`. DatasetError where there is none."""
        found = self.folder(name)
        if found is None:
            raise DatasetError(f"{self.where} has no {name}; name the folder of its photographs.")
        return found

    def resolve(self, text: str, name: str, kind: PathKind) -> Path:
        """The path that a setting names."""
        return resolve_beside(self._folders, self.path.parent, text, f"{name} of {self.where}", kind)

    def leave(self, reasons: Mapping[str, str]) -> list[str]:
        """Take out what has no effect here; a sentence for each that acts there."""
        acting = [name for name in reasons if _acts(self._left.pop(name, None))]
        return [f"{self.path.name} sets {name}: {reasons[name]}." for name in acting]

    def refuse(self, reasons: Mapping[str, str]) -> None:
        """DatasetError for the first of these that acts: what it is, and what to do instead."""
        for name, reason in reasons.items():
            value = self._left.pop(name, None)
            if _acts(value):
                raise DatasetError(f"{self.where} has {name} = {_shown(value)}, which is not done here: {reason}.")

    def below(self, name: str) -> Table:
        """The table that `name` is; an empty one where it is missing."""
        return Table(self._left.pop(name, None) or {}, f"{name} of {self._called}", self.path, self._folders)

    def rest(self) -> dict[str, Any]:
        """What nobody has taken yet."""
        return dict(self._left)

    def close(self) -> None:
        """DatasetError for the first key that nobody took and that acts."""
        self.refuse({name: "it is not known what it would mean; leave it out" for name in list(self._left)})


def _acts(value: object) -> bool:
    """Whether a setting does anything: empty ones, 0 and false are how trainers write that it does not."""
    return value not in (None, False, 0, "", "none", "None") and not (isinstance(value, (list, dict)) and not value)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "…"
