"""One person from frame to frame: by the face where it is seen, by overlap where it is not, and never somebody else."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import pytest
from maskloss.core.people.decision import MatchRules
from maskloss.core.people.faces import Face
from maskloss.core.people.follow import PeopleInVideo
from maskloss.core.people.identity import Identity
from maskloss.core.people.instances import PersonMask
from maskloss.core.people.track import CARRY_FRAMES, FrameFinding, overlap

RED, GREEN, BLUE = (250, 10, 10), (10, 250, 10), (10, 10, 250)
TOP, SHOULDERS = 20, 50


def draw_people(*people: tuple[int, tuple[int, int, int], bool]) -> np.ndarray:
    """rgb_HWC: people (x, colour, whether the face is seen) 40 px wide whose faces are bright."""
    rgb_HWC = np.zeros((120, 200, 3), np.uint8)
    for x, colour, seen in people:
        rgb_HWC[SHOULDERS:, x : x + 40] = np.array(colour) // 2
        rgb_HWC[TOP:SHOULDERS, x + 5 : x + 35] = np.array(colour) // (1 if seen else 2)
    return rgb_HWC


class BrightFaces:
    """Whatever is bright is a face, and its colour tells whose."""

    name = identity = "bright/1"
    default_min_similarity = 0.9

    def detect(self, rgb_HWC: np.ndarray) -> list[Face]:
        bright_HW = (rgb_HWC.max(axis=2) >= 240).astype(np.uint8)
        _, labels_HW, stats, _ = cv2.connectedComponentsWithStats(bright_HW)
        faces: list[Face] = []
        for label in sorted(range(1, len(stats)), key=lambda label: stats[label][0]):
            x, y, w, h = (float(value) for value in stats[label][:4])
            middle_K2 = np.tile([x + w / 2, y + h / 2], (6, 1))
            colour = rgb_HWC[labels_HW == label].mean(axis=0).astype(np.float32)
            faces.append(Face(len(faces), (x, y, x + w, y + h), 0.9, middle_K2, None, colour))
        return faces

    def similarity(self, a: np.ndarray, b: np.ndarray) -> float:
        return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))


class Blobs:
    """Everyone who touches nobody else."""

    name = identity = "blobs/1"
    needs_faces, parallel = False, True

    def segment(self, rgb_HWC: np.ndarray, faces: Sequence[Face]) -> list[PersonMask]:
        count, labels_HW = cv2.connectedComponents(rgb_HWC.any(axis=2).astype(np.uint8))
        return [PersonMask((labels_HW == label).astype(np.float32)) for label in range(1, count)]


def found_in(frames: Sequence[np.ndarray], workers: int = 1) -> list[FrameFinding]:
    identity = Identity(np.array([RED], np.float32), BrightFaces.identity, ("reference",))
    person = PeopleInVideo(BrightFaces(), (identity,), Blobs(), MatchRules())
    looked: list[int] = []
    given = ((number, rgb_HWC, None) for number, rgb_HWC in enumerate(frames))
    findings = [finding for (finding,) in person.follow(given, workers, looked.append)]
    assert looked == [finding.number for finding in findings] == list(range(len(frames)))
    return findings


def mask_of(x: int) -> np.ndarray:
    return draw_people((x, RED, True)).any(axis=2)


@pytest.mark.parametrize("workers", [1, 3])
def test_a_face_that_is_seen_gives_the_persons_own_mask(workers: int) -> None:
    frames = [draw_people((20 + 2 * t, RED, True), (150, GREEN, True)) for t in range(6)]
    for t, finding in enumerate(found_in(frames, workers)):
        assert not finding.carried
        assert finding.age == 0
        np.testing.assert_array_equal(finding.person_HW, mask_of(20 + 2 * t))
        np.testing.assert_array_equal(finding.matched_HW, mask_of(20 + 2 * t))


def test_a_hidden_face_is_carried_forwards_and_backwards_by_overlap() -> None:
    findings = found_in([draw_people((40 + 3 * t, RED, 2 <= t <= 3)) for t in range(7)])
    assert [finding.carried for finding in findings] == [True, True, False, False, True, True, True]
    for t, finding in enumerate(findings):
        assert overlap(finding.person_HW, mask_of(40 + 3 * t)) > 0.9, t
        assert (finding.matched_HW is None) == finding.carried


def test_nobody_is_found_after_a_cut_to_somebody_else_at_the_same_place() -> None:
    findings = found_in([draw_people((80, RED, True) if t < 3 else (80, BLUE, False)) for t in range(6)])
    assert [finding.person_HW is None for finding in findings] == [False] * 3 + [True] * 3


def test_a_film_of_strangers_has_nobody() -> None:
    assert all(finding.person_HW is None for finding in found_in([draw_people((80, GREEN, True))] * 3))


def test_a_mask_is_not_carried_for_ever() -> None:
    findings = found_in([draw_people((80, RED, t == 0)) for t in range(CARRY_FRAMES + 3)])
    assert findings[CARRY_FRAMES].person_HW is not None
    assert findings[CARRY_FRAMES + 1].person_HW is None


def test_two_people_are_followed_at_once_and_nobody_is_carried_onto_another() -> None:
    frames = [draw_people((20 + t, RED, t < 3), (150 - t, BLUE, True)) for t in range(6)]
    identities = [Identity(np.array([colour], np.float32), BrightFaces.identity, ("ref",)) for colour in (RED, BLUE)]
    people = PeopleInVideo(BrightFaces(), identities, Blobs(), MatchRules())
    given = ((number, rgb_HWC, None) for number, rgb_HWC in enumerate(frames))
    for t, (red, blue) in enumerate(people.follow(given, 1, lambda _: None)):
        assert red.number == blue.number == t
        assert red.carried == (t >= 3)
        assert not blue.carried
        np.testing.assert_array_equal(blue.person_HW, draw_people((150 - t, BLUE, True)).any(axis=2))
        assert red.person_HW is not None
        assert not (red.person_HW & blue.person_HW).any()


def test_who_turns_away_is_not_carried_onto_somebody_of_the_list_at_the_same_place() -> None:
    pink = (250, 60, 10)  # alike enough to be carried onto, and known to be somebody else
    frames = [draw_people((80, RED if t < 3 else pink, True)) for t in range(6)]
    identities = [Identity(np.array([colour], np.float32), BrightFaces.identity, ("ref",)) for colour in (RED, pink)]
    rules = MatchRules(margin=0.001)
    people = PeopleInVideo(BrightFaces(), identities, Blobs(), rules)
    given = ((number, rgb_HWC, None) for number, rgb_HWC in enumerate(frames))
    found = [(red.person_HW is not None, other.person_HW is not None) for red, other in people.follow(given, 1, print)]
    assert found == [(True, False)] * 3 + [(False, True)] * 3
