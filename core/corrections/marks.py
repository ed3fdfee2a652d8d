"""What was decided about a photograph by hand, beside its mask: seen, left out, and whose face is the person's."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
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
    `face`: who the person is in it, where that was told. `people`: the same of each person's item of it, by the names,
    ascending; of no person but those of whom something was decided."""

    done: bool = False
    left_out: bool = False
    face: ChosenFace | None = None
    people: tuple[tuple[str, Marks], ...] = ()

    def of(self, person: str) -> Marks:
        """What was decided about one person's item; empty: about the photograph."""
        return dict(self.people).get(person, Marks()) if person else self

    def noting(self, person: str, marks: Marks) -> Marks:
        """The same with `marks` for one person's item; empty: these, of the photograph and all people."""
        if not person:
            return marks
        people = {**dict(self.people), person: marks}
        return replace(self, people=tuple((name, each) for name, each in sorted(people.items()) if each != Marks()))

    @property
    def faces(self) -> tuple[ChosenFace, ...]:
        """Those that were chosen, of the photograph's one person and of each of several."""
        return tuple(each.face for each in (self, *dict(self.people).values()) if each.face is not None)

    def to_json(self) -> dict[str, Any]:
        """{"done", "left_out"}, "face": {"box", "photograph"} where one was chosen, and "people": {name: the same} of
        those about whose items something was decided."""
        stored: dict[str, Any] = {"done": self.done, "left_out": self.left_out}
        if self.face is not None:
            stored["face"] = {"box": list(self.face.box), "photograph": self.face.photograph}
        if self.people:
            stored["people"] = {name: marks.to_json() for name, marks in self.people}
        return stored

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Marks:
        """What `to_json` gave. KeyError, TypeError, ValueError, AttributeError or SettingError for anything else."""
        face = stored.get("face")
        chosen = None
        if face is not None:
            left, top, right, bottom = (float(number) for number in face["box"])
            chosen = ChosenFace((left, top, right, bottom), str(face["photograph"]))
        people = tuple((str(name), cls.from_json(each)) for name, each in sorted(stored.get("people", {}).items()))
        return cls(bool(stored["done"]), bool(stored["left_out"]), chosen, people)
