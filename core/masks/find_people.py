"""The people of a dataset, found without references: the faces of all photographs sorted by person, a row for each, and
identities for the rows that somebody gave names."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from ..dataset.crops import refuse_crops
from ..dataset.items import Dataset
from ..errors import SettingError
from ..files import read_text, write_json
from ..fingerprints import fingerprint_of
from ..people.clusters import FaceGroup, group_faces, similarity_matrix
from ..people.faces import FaceRecognizer
from ..people.identity import Identity
from ..people.people import Person, add_person
from ..people.references import MIN_REFERENCE_FACE_PX
from ..warning import warn
from .dataset_faces import DatasetFace, FaceFile, dataset_faces
from .each_item import DEFAULT_WORK, ItemWork

STEP = "Find People"
# The most central faces of a person are what they are known by afterwards; more would let strangers in.
MOST_REFERENCES = 12
_NOBODY = "-"


@dataclass(frozen=True, eq=False)
class PersonRow:
    """One person: surely their faces, the most central first, and faces that could be somebody else's. A row whose
    photographs are gone has no faces. `number` is its place on the sheet, from 1."""

    number: int
    sure: tuple[DatasetFace, ...]
    doubtful: tuple[DatasetFace, ...]
    name: str = ""

    @property
    def photographs(self) -> int:
        """In how many photographs and videos the person surely is."""
        return len({face.item.name for face in self.sure})


@dataclass(frozen=True)
class NamedRow:
    """What a line of names says of a row: a name (empty: nobody is to be learnt there), a trigger and a class noun."""

    name: str
    trigger: str = ""
    class_noun: str = "person"


def parse_names(text: str) -> list[NamedRow]:
    """A line for each row of the sheet: "anna", "anna, ohwx" or "anna, ohwx, woman"; a blank line or "-" passes a row
    by. SettingError for more commas, and for names that cannot be."""
    rows: list[NamedRow] = []
    for line in text.rstrip().splitlines():
        pieces = [piece.strip() for piece in line.split(",")]
        if len(pieces) > 3:
            raise SettingError(
                f"names holds the line {line!r}; write a name, or a name, a trigger and a class noun with commas "
                "between, such as anna, ohwx, woman."
            )
        name = "" if pieces[0] in ("", _NOBODY) else pieces[0]
        row = NamedRow(name, *(piece for piece in pieces[1:2]), *(piece or "person" for piece in pieces[2:3]))
        rows.append(row)
    return rows


def find_people(
    dataset: Dataset,
    recognizer: FaceRecognizer,
    names: Sequence[NamedRow],
    directory: Path,
    min_photographs: int = 2,
    work: ItemWork = DEFAULT_WORK,
) -> tuple[tuple[Person, ...], list[PersonRow], dict[str, Any]]:
    """Sort all faces of a dataset by person. Returns the people that `names` name, every row, and the report
    {"people": [{"row", "name", "photographs", "faces": [{"photograph", "frame", "face_index", "box"}], "doubtful":
    [same]}], "counts", "text", "warnings"}.

    A row is a person who surely is in `min_photographs`. In `directory` the faces are kept, so that they are found
    once, and the order of the rows: while there are names, rows keep their places whatever is added to the dataset.
    SettingError where there are more names than rows, or two are alike.
    """
    refuse_crops(dataset, STEP)
    if min_photographs < 1:
        raise SettingError(f"min_photographs is {min_photographs}; it must be 1 or more.")
    items = [item for item in dataset.items if not item.regularisation]
    known = FaceFile(directory / f"faces-{fingerprint_of(recognizer.identity)[:8]}.jsonl")
    faces = dataset_faces(items, recognizer, known, work)
    large = [face for face in faces if face.side_px >= MIN_REFERENCE_FACE_PX]
    alike_FF = similarity_matrix([face.embedding for face in large], recognizer.similarity)
    pictures = [*{(face.item.name, face.frame): None for face in large}]
    places = [pictures.index((face.item.name, face.frame)) for face in large]
    groups = group_faces(alike_FF, places, recognizer.default_min_similarity)
    rows = [_row(group, large) for group in groups]
    rows = [row for row in rows if row.photographs >= min_photographs]
    rows.sort(key=lambda row: -row.photographs)
    rows = _in_order(rows, directory / "rows.json", keep=any(each.name for each in names))
    if len(names) > len(rows):
        raise SettingError(
            f"names has {len(names)} lines, but {len(rows)} people were found; look at the sheet and give one line for "
            "each of its rows at most."
        )
    given = [*names, *[NamedRow("")] * (len(rows) - len(names))]
    rows = [replace(row, name=each.name) for row, each in zip(rows, given, strict=True)]
    people: tuple[Person, ...] = ()
    for row, each in zip(rows, given, strict=True):
        if each.name and row.sure:
            people = add_person(people, Person(_identity(row, recognizer), each.trigger, each.class_noun))
    return people, rows, _report(rows, faces, large)


def _row(group: FaceGroup, faces: Sequence[DatasetFace]) -> PersonRow:
    return PersonRow(0, tuple(faces[n] for n in group.sure), tuple(faces[n] for n in group.doubtful))


def _identity(row: PersonRow, recognizer: FaceRecognizer) -> Identity:
    used = row.sure[:MOST_REFERENCES]
    embeddings_NK = np.stack([face.embedding for face in used]).astype(np.float32)
    return Identity(embeddings_NK, recognizer.identity, tuple(face.item.name for face in used), row.name)


def _in_order(rows: Sequence[PersonRow], path: Path, keep: bool) -> list[PersonRow]:
    """The rows with their numbers, those that were there before in their old places where that is to be kept; and note
    the order for the next time."""
    ordered: list[PersonRow] = []
    left = list(rows)
    for keys in _noted(path) if keep else ():
        same = max(left, key=lambda row: _shared(row, keys), default=None)
        if same is not None and _shared(same, keys):
            left.remove(same)
            ordered.append(same)
        else:
            ordered.append(PersonRow(0, (), ()))
    ordered += left
    noted = [sorted(face.key for face in row.sure) for row in ordered]
    for place, keys in enumerate(_noted(path) if keep else ()):
        noted[place] = noted[place] or sorted(keys)
    write_json(path, {"step": STEP, "rows": noted})
    return [replace(row, number=number) for number, row in enumerate(ordered, start=1)]


def _shared(row: PersonRow, keys: frozenset[str]) -> int:
    return sum(face.key in keys for face in row.sure)


def _noted(path: Path) -> list[frozenset[str]]:
    try:
        stored = json.loads(read_text(path))
        return [frozenset(map(str, keys)) for keys in stored["rows"]]
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return []  # none yet, or damaged: the order of the sheet counts


def _report(rows: Sequence[PersonRow], faces: Sequence[DatasetFace], large: Sequence[DatasetFace]) -> dict[str, Any]:
    warnings: list[str] = []
    for row in rows:
        if row.name and not row.sure:
            warnings.append(
                warn(f"Row {row.number} is {row.name}, and their photographs are gone, so nobody is learnt there.")
            )
    if not rows:
        warnings.append(
            warn(
                f"Nobody was found in enough photographs: {len(faces)} faces were found, {len(large)} of them large "
                "enough. Lower min_photographs, or give reference faces."
            )
        )
    sorted_in = sum(len(row.sure) for row in rows)
    doubtful = sum(len(row.doubtful) for row in rows)
    return {
        "people": [
            {
                "row": row.number, "name": row.name, "photographs": row.photographs,
                "faces": [_place(face) for face in row.sure], "doubtful": [_place(face) for face in row.doubtful],
            }
            for row in rows
        ],
        "counts": {
            "faces": len(faces), "too_small": len(faces) - len(large), "people": len(rows), "sorted": sorted_in,
            "doubtful": doubtful, "others": len(large) - sorted_in - doubtful,
        },
        "text": "\n".join(_line(row) for row in rows),
        "warnings": warnings,
    }  # fmt: skip


def _place(face: DatasetFace) -> Mapping[str, object]:
    box = [round(edge, 2) for edge in face.box]
    return {"photograph": face.item.name, "frame": face.frame, "face_index": face.index, "box": box}


def _line(row: PersonRow) -> str:
    doubtful = f", {len(row.doubtful)} doubtful" if row.doubtful else ""
    where = ", ".join(dict.fromkeys(face.item.name for face in row.sure))
    return f"{row.number}  {row.name or '(no name)'}  {row.photographs} photographs{doubtful}: {where}"
