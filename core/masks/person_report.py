"""What was decided about each photograph when one person was kept, as JSON and as a table to read."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ..dataset.items import DatasetItem
from ..people.decision import FaceScore, Outcome, PersonDecision, doubt, list_scores

LEFT_OUT = "left out"
ABSENT = "absent"
MOST_ROWS = 500


@dataclass(frozen=True)
class PersonRow:
    """One photograph, or one person's item of it. `state`: written, unchanged, kept, left out, or absent where one of
    several people is not in it. `decision` is None where the mask was given by
    hand. `area` and `coverage`: fraction of the picture that is the person, and its mean weight after. `video`: how
    many frames it has, were looked at, matched by the face, carried by overlap, and are without the person. `people`:
    who is in it, of several; `together`: it is the item of all of them."""

    name: str
    state: str
    decision: PersonDecision | None
    reason: str
    area: float
    coverage: float
    video: Mapping[str, int] | None = None
    people: tuple[str, ...] = ()
    together: bool = False

    def to_json(self) -> dict[str, object]:
        """{"name", "state", "faces", "needed", "decision", "reason", "area", "coverage"}, "video" of one, and "people"
        where they are several."""
        decided: Mapping[str, object] = (
            {"faces": [], "needed": None, "decision": "together" if self.together else "given"}
            if self.decision is None
            else self.decision.to_json()
        )
        return {
            "name": self.name, "state": self.state, **decided,
            "reason": self.reason, "area": round(self.area, 6), "coverage": round(self.coverage, 6),
            **({} if self.video is None else {"video": dict(self.video)}),
            **({"people": list(self.people)} if self.people else {}),
        }  # fmt: skip


def person_report(rows: Sequence[PersonRow]) -> dict[str, object]:
    """{"items", the doubtful ones first, "counts", "text"}."""
    ordered = sorted(rows, key=lambda row: doubt(row.decision))
    states = Counter(row.state for row in rows)
    outcomes = Counter(_outcome(row) for row in rows)
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
        # Nobody gave the mask of all together by hand: it has their faces.
        count = len(item["people"]) if item["decision"] == "together" else len(faces)
        rows.append({**shown, "faces": count, "similarity": max(known, default=None)})
    return rows


def people_counts(
    names: Sequence[str], rows: Sequence[PersonRow], items: Sequence[DatasetItem]
) -> list[dict[str, Any]]:
    """Of each person, {"name", "items", "per_epoch": how often their items come, "left_out": photographs in which they
    could not be told or were left out by hand, "absent": those without them}."""
    counts: list[dict[str, Any]] = []
    for name in names:
        states = Counter(row.state for row in rows if not row.together and row.people == (name,))
        own = [item.repeats for item in items if item.subject == name and not item.regularisation]
        counts.append(
            {
                "name": name, "items": states.total() - states[LEFT_OUT] - states[ABSENT], "per_epoch": sum(own),
                "left_out": states[LEFT_OUT], "absent": states[ABSENT],
            }
        )  # fmt: skip
    return counts


def people_words(report: Mapping[str, Any]) -> list[str]:
    """`people_counts` of a report in a few words each."""
    return [
        f"{each['name']}: {each['items']} photographs, {each['per_epoch']} per epoch; left out of {each['left_out']}, "
        f"not in {each['absent']}"
        for each in report["people"]
    ]


def _outcome(row: PersonRow) -> str:
    if row.decision is None:
        return "together" if row.together else "given"
    return row.decision.outcome.value


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
        return " ".join(row.people) if row.together else "given by hand"
    return f"{len(row.decision.faces)} faces [{list_scores(row.decision)}]"
