"""One picture, one person: decide which face, then cut that person out; nobody else is ever kept unasked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..errors import ImageError, PersonError
from .faces import Face, FaceRecognizer
from .identity import Identity, MatchRules, OnNoMatch, PersonDecision, decide, describe_scores, without_match
from .instances import PersonMask, isolate_person
from .own_hair import SeenHair, add_own_hair


def cut_out(
    size: tuple[int, int],
    faces: Sequence[Face],
    masks: Sequence[PersonMask],
    decision: PersonDecision,
    on_no_match: OnNoMatch,
    seen: SeenHair | None = None,
) -> tuple[np.ndarray, PersonDecision]:
    """mask_HW bool of the person decided on (all False when there is none) and the decision with its area.

    size: (width, height) of the picture. Hair that is `seen` and hangs on the chosen head alone belongs to the person,
    also where the person's mask ends before it. A chosen face without a mask counts as no match: EMPTY and SKIP are
    followed; with ERROR and LARGEST it raises PersonError listing every face's score: the largest face could be a
    bystander's.
    Raises ImageError when the masks are not of the picture's size.
    """
    for mask in masks:
        height, width = mask.probability_HW.shape
        if (width, height) != size:
            raise ImageError(
                f"A person mask is {width} x {height} pixels, but the picture is {size[0]} x {size[1]}: "
                "make the masks from this picture."
            )
    nobody_HW = np.zeros((size[1], size[0]), dtype=bool)
    if decision.chosen is None:
        return nobody_HW, replace(decision, area=0.0)
    try:
        mask_HW = isolate_person(faces, masks, decision.chosen)
    except PersonError as error:
        if on_no_match not in (OnNoMatch.EMPTY, OnNoMatch.SKIP):
            raise PersonError(f"{error} The faces of this picture: {describe_scores(decision.faces)}.") from error
        cause = f"{decision.reason}, but it has no person mask"
        return nobody_HW, replace(without_match(faces, decision.faces, on_no_match, cause), area=0.0)
    if seen is not None:
        mask_HW = add_own_hair(mask_HW, seen, faces, masks, decision.chosen)
    return mask_HW, replace(decision, area=float(mask_HW.mean()))


def pick_person(
    size: tuple[int, int],
    faces: Sequence[Face],
    masks: Sequence[PersonMask],
    recognizer: FaceRecognizer,
    identity: Identity | None,
    rules: MatchRules,
) -> tuple[np.ndarray, PersonDecision]:
    """`decide` and `cut_out` in one: mask_HW bool and the decision. Raises what they raise."""
    decision = decide(faces, recognizer, identity, rules)
    return cut_out(size, faces, masks, decision, rules.on_no_match)
