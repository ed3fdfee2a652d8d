"""What was decided about a photograph by hand, beside its mask: seen, left out, and whose face is the person's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from ..errors import SettingError

Box = tuple[float, float, float, float]


@dataclass(frozen=True)
class ChosenFace:
    """A face that somebody pointed at as the person's. `box`: (left, top, right, bottom) in fractions of the upright
    photograph. `photograph`: its file's SHA-256."""

    box: Box
    photograph: str

    def __post_init__(self) -> None:
        left, top, right, bottom = self.box
        if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
            raise SettingError(
                f"The face at {self.box} does not lie in its photograph, which is from 0 to 1 across and down; choose "
                "one that does."
            )


@dataclass(frozen=True)
class Marks:
    """What was decided about one photograph. `done`: somebody has looked at it. `left_out`: it is not to be trained on.
    `face`: who the person is in it, where that was told."""

    done: bool = False
    left_out: bool = False
    face: ChosenFace | None = None

    def to_json(self) -> dict[str, Any]:
        """{"done", "left_out"}, and "face": {"box", "photograph"} where one was chosen."""
        stored: dict[str, Any] = {"done": self.done, "left_out": self.left_out}
        if self.face is not None:
            stored["face"] = {"box": list(self.face.box), "photograph": self.face.photograph}
        return stored

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Marks:
        """What `to_json` gave. KeyError, TypeError, ValueError, AttributeError or SettingError for anything else."""
        face = stored.get("face")
        chosen = None
        if face is not None:
            left, top, right, bottom = (float(number) for number in face["box"])
            chosen = ChosenFace((left, top, right, bottom), str(face["photograph"]))
        return cls(bool(stored["done"]), bool(stored["left_out"]), chosen)
