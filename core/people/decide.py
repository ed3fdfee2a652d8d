"""Which faces of a picture are the people looked for. It fails closed: in doubt a face is nobody's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..errors import InternalError, PersonError, SettingError
from .assignment import assign_faces, nearest_rival
from .decision import (
    FaceScore,
    MatchRules,
    Outcome,
    PersonDecision,
    decided,
    describe_scores,
    without_match,
)
from .faces import Face, FaceRecognizer
from .identity import Identity, face_similarity


def decide(
    faces: Sequence[Face], recognizer: FaceRecognizer, identity: Identity | None, rules: MatchRules
) -> PersonDecision:
    """Which of `faces` is the person.

    Raises PersonError listing every face's score when nobody can be chosen and the rules say ERROR (or LARGEST and
    there is no face), or when face_index names a face that is not there; SettingError when there is neither an identity
    nor a face_index, or the identity was made by another recogniser.
    """
    return decide_people(faces, recognizer, (identity,), (rules,))[0]


def decide_people(
    faces: Sequence[Face],
    recognizer: FaceRecognizer,
    identities: Sequence[Identity | None],
    rules: Sequence[MatchRules],
) -> list[PersonDecision]:
    """Which of `faces` each person is, one to one, with rules for each that differ in `face_index` alone.

    Faces go to people so that the sum of similarities is largest; two people never have one face. A person keeps their
    face where every other assignment, in which they have another face or somebody else has theirs, is behind by
    `margin`. Of several people those are ABSENT to whom no face belongs; the one person of a picture is SKIPPED, or
    what the rules say. Raises as `decide`.
    """
    scores = [score_faces(faces, recognizer, identity) for identity in identities]
    chosen = _chosen_by_number(faces, scores, rules)
    if any(number is None and identity is None for number, identity in zip(chosen, identities, strict=True)):
        raise SettingError("No reference face is connected: connect an identity, or choose a face with face_index.")
    picture = _Picture(faces, recognizer, identities, scores, rules[0], chosen)
    return [picture.decision(person, each) for person, each in enumerate(rules)]


class _Picture:
    """One picture's faces and the people looked for in it."""

    def __init__(
        self,
        faces: Sequence[Face],
        recognizer: FaceRecognizer,
        identities: Sequence[Identity | None],
        scores: Sequence[tuple[FaceScore, ...]],
        rules: MatchRules,
        chosen: Sequence[int | None],
    ) -> None:
        self._faces, self._scores, self._rules, self._chosen = faces, scores, rules, chosen
        self._names = [(identity.name if identity else "") or f"person {n}" for n, identity in enumerate(identities)]
        self._needed = rules.min_similarity or recognizer.default_min_similarity
        taken = [face for face in chosen if face is not None]
        self._likeness_PF = np.full((len(identities), len(faces)), -np.inf)
        for person, own in enumerate(scores):
            for score in own if chosen[person] is None else ():
                if score.similarity is not None and score.index not in taken:
                    self._likeness_PF[person, score.index] = score.similarity
        self._owned = assign_faces(self._likeness_PF, self._needed)
        self._doubts = [self._doubt(person) for person in range(len(identities))]

    def decision(self, person: int, rules: MatchRules) -> PersonDecision:
        """What is decided about one of them."""
        scores, number = self._scores[person], self._chosen[person]
        if number is not None:
            return decided(scores, Outcome.INDEX, number, f"face {number} was chosen by its number")
        own, doubt = self._owned[person], self._doubts[person]
        if own is not None and not doubt:
            return replace(decided(scores, Outcome.MATCH, own, self._match(person, own)), needed=self._needed)
        cause, absent = (doubt, False) if own is not None else self._missing(person)
        if absent and len(self._scores) > 1:
            nobody = PersonDecision(scores, Outcome.ABSENT, None, f"{cause}; not in this picture")
        else:
            nobody = without_match(self._faces, scores, rules.on_no_match, cause)
        return replace(nobody, needed=self._needed)

    def _doubt(self, person: int) -> str:
        """Why the face of a person is not surely theirs; empty where it is. Faces that are too small still count as
        rivals: one of them may be the person."""
        own = self._owned[person]
        if own is None:
            return ""
        similarity = self._likeness_PF[person, own]
        rival = nearest_rival(self._likeness_PF, self._needed, self._owned, person)
        if rival is not None and (rival.lead <= 0 or rival.lead < self._rules.margin):
            if rival.face is not None:
                close = f"faces {own} and {rival.face} are too close to each other"
                second = self._likeness_PF[person, rival.face]
            else:
                other = 0 if rival.person is None else rival.person
                close = f"face {own} is too much like both {self._names[person]} and {self._names[other]}"
                second = self._likeness_PF[other, own]
            return f"{close} with {similarity:.2f} and {second:.2f}, and a margin of {self._rules.margin:.2f} is needed"
        if self._faces[own].side_px < self._rules.min_face_px:
            return (
                f"face {own} matches with {similarity:.2f} but is only {self._faces[own].side_px:.0f} px, "
                f"and {self._rules.min_face_px:.0f} px are needed"
            )
        return ""

    def _missing(self, person: int) -> tuple[str, bool]:
        """Why a person has no face, and whether that is for sure."""
        alike_F = self._likeness_PF[person]
        best = int(np.argmax(alike_F)) if len(alike_F) else 0
        if not len(alike_F) or alike_F[best] == -np.inf:
            return ("no face was found" if not self._faces else "every face is somebody else's"), True
        if not alike_F[best] >= self._needed:
            return f"the most alike is face {best} with {alike_F[best]:.2f}, and {self._needed:.2f} is needed", True
        other = self._owned.index(best)
        cause = (
            f"face {best} matches with {alike_F[best]:.2f}, but is {self._names[other]}'s with "
            f"{self._likeness_PF[other, best]:.2f}"
        )
        return cause, not self._doubts[other]

    def _match(self, person: int, own: int) -> str:
        alike_F = self._likeness_PF[person]
        others = sorted((-alike_F[face], face) for face in range(len(alike_F)) if face != own)
        ahead = ""
        if others and others[0][0] < np.inf:
            ahead = f"; the next is face {others[0][1]} with {-others[0][0]:.2f}"
        return f"face {own} matches with {alike_F[own]:.2f} ({self._needed:.2f} needed{ahead})"


def _chosen_by_number(
    faces: Sequence[Face], scores: Sequence[tuple[FaceScore, ...]], rules: Sequence[MatchRules]
) -> list[int | None]:
    chosen: list[int | None] = []
    for own, each in zip(scores, rules, strict=True):
        number = each.face_index if each.face_index >= 0 else None
        if number is not None and number >= len(faces):
            raise PersonError(
                f"face_index is {number}, but the picture shows {len(faces)} faces "
                f"({describe_scores(own)}): faces are numbered from 0, left to right."
            )
        if number is not None and number in chosen:
            raise SettingError(f"Face {number} was chosen for two people; choose another face for one of them.")
        chosen.append(number)
    return chosen


def score_faces(faces: Sequence[Face], recognizer: FaceRecognizer, identity: Identity | None) -> tuple[FaceScore, ...]:
    """How alike each of `faces` is to the person, none of them chosen. SettingError as `decide`."""
    if [face.index for face in faces] != list(range(len(faces))):
        raise InternalError(f"faces must be numbered from 0 in order, got {[face.index for face in faces]}")
    if identity is None:
        return tuple(FaceScore(face.index, face.box, None, False) for face in faces)
    if identity.recognizer != recognizer.identity:
        raise SettingError(
            f"The reference faces were read by {identity.recognizer}, but the picture by {recognizer.identity}: "
            "use the same face recognizer for both."
        )
    return tuple(
        FaceScore(face.index, face.box, face_similarity(recognizer, identity, face.embedding), False) for face in faces
    )
