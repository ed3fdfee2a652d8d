"""One person from frame to frame: overlap of masks, faces at another scale, and how many frames are held."""

from __future__ import annotations

import numpy as np
import pytest
from maskloss.core.people.decision import Outcome, PersonDecision
from maskloss.core.people.track import CARRY_FRAMES, FrameFinding, Track, overlap, scale_face

from .plain_people import face


class NobodySegmenter:
    name = identity = "nobody/1"

    def segment(self, rgb_HWC: np.ndarray, faces: object) -> list[object]:
        return []


def test_overlap_is_over_the_union() -> None:
    a_hw, b_hw = np.zeros((4, 4), bool), np.zeros((4, 4), bool)
    assert overlap(a_hw, b_hw) == 0
    a_hw[:2], b_hw[1:3] = True, True
    assert overlap(a_hw, b_hw) == pytest.approx(1 / 3)


def test_a_face_at_another_scale() -> None:
    small = scale_face(face(0, (10, 20, 30, 40)), 0.5)
    assert small.box == pytest.approx((5, 10, 15, 20))
    np.testing.assert_allclose(small.keypoints_K2[0], (10, 15))


def test_a_track_gives_back_frames_of_which_nothing_more_can_be_learnt() -> None:
    track = Track(NobodySegmenter(), 0.5)
    nobody = PersonDecision((), Outcome.EMPTY, None, "nobody")
    picture_HWC = np.zeros((4, 4, 3), np.uint8)
    given = [FrameFinding(n, (4, 4), nobody, None, [], picture_HWC) for n in range(CARRY_FRAMES + 2)]
    done = [track.add(finding) for finding in given]
    assert [finding.number for finding in done if finding] == [0, 1]
    assert [finding.number for finding in track.rest()] == list(range(2, CARRY_FRAMES + 2))
