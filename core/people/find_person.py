"""People in one picture: find the faces, decide whose are looked for, segment, and cut each of these people out; nobody
else is ever kept unasked. `_HW`, `_HWC` pixel grid.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from ..errors import ImageError, PersonError
from ..progress import check_interrupted
from .chosen import Box, decide_by_hand, face_at
from .decide import decide_people
from .decision import MatchRules, OnNoMatch, PersonDecision, describe_scores, without_match
from .faces import Face, FaceRecognizer
from .identity import Identity
from .instances import PersonMask, PersonSegmenter, isolate_person
from .own_hair import SeenHair, add_own_hair


@dataclass(frozen=True, eq=False)
class FoundPerson:
    """`faces`: everyone's, in the picture's pixels. `decision`: whose was chosen and why, and the mask's area.
    `segmented_HW`: the person as segmented (bool; all False when nobody was chosen). `mask_HW`: with the hair that is
    theirs (bool)."""

    faces: Sequence[Face]
    decision: PersonDecision
    segmented_HW: np.ndarray
    mask_HW: np.ndarray


def find_person(
    rgb_HWC: np.ndarray,
    recognizer: FaceRecognizer,
    identity: Identity | None,
    people: PersonSegmenter | Sequence[PersonMask],
    rules: MatchRules,
    seen: SeenHair | None = None,
) -> FoundPerson:
    """The one person of an upright uint8 RGB picture: `find_people` with one."""
    return find_people(rgb_HWC, recognizer, (identity,), people, (rules,), seen)[0]


def find_people(
    rgb_HWC: np.ndarray,
    recognizer: FaceRecognizer,
    identities: Sequence[Identity | None],
    people: PersonSegmenter | Sequence[PersonMask],
    rules: Sequence[MatchRules],
    seen: SeenHair | None = None,
    by_hand: Sequence[Box | None] = (),
) -> list[FoundPerson]:
    """Each of the people looked for in an upright uint8 RGB picture, with masks that have no pixel in common: one that
    two would have is nobody's. `rules`: one for each, which differ in `face_index` alone. `by_hand` is where somebody
    pointed at each one's face, in fractions of the picture: they are looked for nowhere else.

    `people` segments them, which it is asked to only when a face was chosen, or is everyone's masks of this picture.
    Hair that is `seen` and hangs on the chosen head alone belongs to the person, also where the person's mask ends
    before it. A chosen face without a mask counts as no match: EMPTY and SKIP are followed; with ERROR and LARGEST it
    is a PersonError listing every face's score: the largest face could be a bystander's.
    Raises what `decide_people` raises, and ImageError when masks are not of the picture's size.
    """
    faces = recognizer.detect(rgb_HWC)
    height, width = rgb_HWC.shape[:2]
    boxes = [
        None if box is None else (box[0] * width, box[1] * height, box[2] * width, box[3] * height)
        for box in by_hand or [None] * len(identities)
    ]
    decisions = _decide(faces, recognizer, identities, rules, boxes)
    check_interrupted()
    masks = _masks(people, rgb_HWC, faces, decisions)
    found = [
        _cut_out(rgb_HWC, faces, masks, decision, each, seen) for decision, each in zip(decisions, rules, strict=True)
    ]
    return _apart(found) if len(found) > 1 else found


def _decide(
    faces: Sequence[Face],
    recognizer: FaceRecognizer,
    identities: Sequence[Identity | None],
    rules: Sequence[MatchRules],
    boxes: Sequence[Box | None],
) -> list[PersonDecision]:
    """As `decide_people`; whose face lies in their box of `boxes` has that one, which nobody else can have."""
    decisions: list[PersonDecision] = []
    if len(identities) > 1 or boxes[0] is None:
        places = [face.box for face in faces]
        numbers = [None if box is None else face_at(box, places) for box in boxes]
        known = [
            each if number is None else replace(each, face_index=number)
            for each, number in zip(rules, numbers, strict=True)
        ]
        decisions = decide_people(faces, recognizer, identities, known)
    return [
        decisions[person] if box is None else decide_by_hand(faces, recognizer, identities[person], rules[person], box)
        for person, box in enumerate(boxes)
    ]


def _cut_out(
    rgb_HWC: np.ndarray,
    faces: Sequence[Face],
    masks: Sequence[PersonMask],
    decision: PersonDecision,
    rules: MatchRules,
    seen: SeenHair | None,
) -> FoundPerson:
    check_interrupted()
    nobody_HW = np.zeros(rgb_HWC.shape[:2], dtype=bool)
    if decision.chosen is None:
        return FoundPerson(faces, replace(decision, area=0.0), nobody_HW, nobody_HW)
    try:
        segmented_HW = isolate_person(faces, masks, decision.chosen)
    except PersonError as error:
        if rules.on_no_match not in (OnNoMatch.EMPTY, OnNoMatch.SKIP):
            raise PersonError(f"{error} The faces of this picture: {describe_scores(decision.faces)}.") from error
        cause = f"{decision.reason}, but it has no person mask"
        without = without_match(faces, decision.faces, rules.on_no_match, cause)
        return FoundPerson(faces, replace(without, area=0.0), nobody_HW, nobody_HW)
    mask_HW = segmented_HW if seen is None else add_own_hair(segmented_HW, seen, faces, masks, decision.chosen)
    return FoundPerson(faces, replace(decision, area=float(mask_HW.mean())), segmented_HW, mask_HW)


def _apart(found: Sequence[FoundPerson]) -> list[FoundPerson]:
    """The same people without the pixels that two of them have."""
    once_HW = np.sum([each.mask_HW for each in found], axis=0) <= 1
    return [
        FoundPerson(
            each.faces,
            replace(each.decision, area=float((each.mask_HW & once_HW).mean())),
            each.segmented_HW & once_HW,
            each.mask_HW & once_HW,
        )
        for each in found
    ]


def _masks(
    people: PersonSegmenter | Sequence[PersonMask],
    rgb_HWC: np.ndarray,
    faces: Sequence[Face],
    decisions: Sequence[PersonDecision],
) -> Sequence[PersonMask]:
    """Everyone's masks; none are made when nobody was chosen."""
    if isinstance(people, Sequence):
        masks = people
    else:
        nobody = all(decision.chosen is None for decision in decisions)
        masks = [] if nobody else people.segment(rgb_HWC, faces)
    size = (rgb_HWC.shape[1], rgb_HWC.shape[0])
    for mask in masks:
        height, width = mask.probability_HW.shape
        if (width, height) != size:
            raise ImageError(
                f"A person mask is {width} x {height} pixels, but the picture is {size[0]} x {size[1]}: "
                "make the masks from this picture."
            )
    return masks
