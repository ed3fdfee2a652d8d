"""What was decided about each photograph when one person was kept, as JSON and as a table to read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..people.identity import FaceScore, Outcome, PersonDecision, doubt, list_scores

LEFT_OUT = "left out"
MOST_ROWS = 500


@dataclass(frozen=True)
class PersonRow:
    """One photograph. `state`: written, unchanged, kept or left out. `decision` is None where the mask was given by
    hand. `area` and `coverage`: fraction of the picture that is the person, and its mean weight after. `video`: how
    many frames it has, were looked at, matched by the face, carried by overlap, and are without the person."""

    name: str
    state: str
    decision: PersonDecision | None
    reason: str
    area: float
    coverage: float
    video: Mapping[str, int] | None = None

    def to_json(self) -> dict[str, object]:
        """{"name", "state", "faces", "needed", "decision", "reason", "area", "coverage"}, and "video" of one."""
        decided: Mapping[str, object] = (
            {"faces": [], "needed": None, "decision": "given"} if self.decision is None else self.decision.to_json()
        )
        return {
            "name": self.name, "state": self.state, **decided,
            "reason": self.reason, "area": round(self.area, 6), "coverage": round(self.coverage, 6),
            **({} if self.video is None else {"video": dict(self.video)}),
        }  # fmt: skip


def person_report(rows: Sequence[PersonRow]) -> dict[str, object]:
    """{"items", the doubtful ones first, "counts", "text"}."""
    ordered = sorted(rows, key=lambda row: doubt(row.decision))
    states = Counter(row.state for row in rows)
    outcomes = Counter("given" if row.decision is None else row.decision.outcome.value for row in rows)
    return {
        "items": [row.to_json() for row in ordered],
        "counts": {
            "items": len(rows),
            "left_out": states[LEFT_OUT],
            **{state: states[state] for state in ("written", "unchanged", "kept")},
            **{f"decided_{outcome}": count for outcome, count in sorted(outcomes.items())},
        },
        "text": _table(ordered),
    }


def person_table(report: Mapping[str, Any], most: int = MOST_ROWS) -> list[dict[str, object]]:
    """`person_report`'s items, the first `most` of them, as a table on a node shows them: {"name", "state", "faces":
    how many, "similarity": the chosen face's or the best one, null where there is none, "area", "reason"}."""
    rows: list[dict[str, object]] = []
    for item in report["items"][:most]:
        faces: Sequence[Mapping[str, Any]] = item["faces"]
        chosen = [face for face in faces if face["chosen"]] or faces
        known = [float(face["similarity"]) for face in chosen if face["similarity"] is not None]
        shown = {name: item[name] for name in ("name", "state", "area", "reason")}
        rows.append({**shown, "faces": len(faces), "similarity": max(known, default=None)})
    return rows


def decision_from_json(stored: Mapping[str, Any]) -> PersonDecision:
    """The decision that `PersonDecision.to_json` wrote."""
    faces = tuple(
        FaceScore(face["index"], tuple(face["box"]), face["similarity"], face["chosen"]) for face in stored["faces"]
    )
    chosen = next((face.index for face in faces if face.chosen), None)
    return PersonDecision(
        faces, Outcome(stored["decision"]), chosen, stored["reason"], stored["area"], stored.get("needed")
    )


def _table(rows: Sequence[PersonRow]) -> str:
    cells = [(row.state, row.name, _scores(row), f"{row.area:.1%}", row.reason) for row in rows]
    widths = [max((len(line[column]) for line in cells), default=0) for column in range(4)]
    return "\n".join(
        "  ".join((*(cell.ljust(width) for cell, width in zip(line, widths, strict=False)), line[-1])) for line in cells
    )


def _scores(row: PersonRow) -> str:
    if row.decision is None:
        return "given by hand"
    return f"{len(row.decision.faces)} faces [{list_scores(row.decision)}]"
