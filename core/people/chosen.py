"""The face that somebody pointed at in a picture, found again among those that a recogniser finds in it."""

from __future__ import annotations

from collections.abc import Sequence

from .decide import score_faces
from .decision import MatchRules, OnNoMatch, Outcome, PersonDecision, decided, without_match
from .faces import Face, FaceRecognizer
from .identity import Identity

Box = tuple[float, float, float, float]
# Recognisers frame a face differently; of two that are side by side, boxes share less.
_SAME_FACE = 0.2


def face_at(box: Box, boxes: Sequence[Box]) -> int | None:
    """Which of `boxes` is the face in `box`: the one that overlaps it most, if enough. All in one unit."""
    shares = [(_overlap(box, other), -index) for index, other in enumerate(boxes)]
    share, index = max(shares, default=(0.0, 0))
    return -index if share >= _SAME_FACE else None


def decide_by_hand(
    faces: Sequence[Face], recognizer: FaceRecognizer, identity: Identity | None, rules: MatchRules, box: Box
) -> PersonDecision:
    """The decision that the face in `box` (pixels) is the person's, whoever it looks like.

    Where no face is found there, nobody can be chosen, not the largest either: as `without_match`. Errors as `decide`.
    """
    scores = score_faces(faces, recognizer, identity)
    chosen = face_at(box, [face.box for face in faces])
    if chosen is not None:
        return decided(scores, Outcome.INDEX, chosen, f"face {chosen} was chosen by hand")
    on_no_match = OnNoMatch.ERROR if rules.on_no_match is OnNoMatch.LARGEST else rules.on_no_match
    return without_match(faces, scores, on_no_match, "the face that was chosen by hand is not found any more")


def _overlap(one: Box, other: Box) -> float:
    """Intersection over union."""
    across = min(one[2], other[2]) - max(one[0], other[0])
    down = min(one[3], other[3]) - max(one[1], other[1])
    shared = max(0.0, across) * max(0.0, down)
    return shared / (_area(one) + _area(other) - shared) if shared else 0.0


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])
