"""People through a video: every frame is looked at once for all of them, and each has a track of their own."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from contextlib import closing
from dataclasses import replace

import numpy as np

from ..resample import limit_size
from ..workers import map_in_order
from .decision import MatchRules, OnNoMatch
from .faces import FaceRecognizer
from .find_person import FoundPerson, find_people
from .identity import Identity
from .instances import PersonSegmenter
from .own_hair import SeenHair
from .track import FrameFinding, Track, scale_face

CARRY_PX = 1024

Frame = tuple[int, np.ndarray, SeenHair | None]
Findings = tuple[FrameFinding, ...]


class PeopleInVideo:
    """Finds people in the frames of a video, one to one in each."""

    def __init__(
        self,
        recognizer: FaceRecognizer,
        identities: Sequence[Identity],
        segmenter: PersonSegmenter,
        rules: MatchRules,
    ) -> None:
        self._recognizer, self._identities, self._segmenter = recognizer, tuple(identities), segmenter
        self._rules = replace(rules, on_no_match=OnNoMatch.EMPTY)
        self._needed = rules.min_similarity or recognizer.default_min_similarity

    def follow(self, frames: Iterable[Frame], workers: int, looked: Callable[[int], None]) -> Generator[Findings]:
        """What each (number, rgb_HWC uint8, what is hair in it if that is known) of `frames` shows of each person, in
        the order of the frames.

        `workers` frames are looked at at once, and `looked` is told the number of each when that is done. Of each
        person at most CARRY_FRAMES findings are held, however long the video.
        """
        tracks = [Track(self._segmenter, self._needed) for _ in self._identities]
        with closing(map_in_order(self._look, frames, workers)) as looks:
            for findings in looks:
                done = [track.add(finding) for track, finding in zip(tracks, findings, strict=True)]
                looked(findings[0].number)
                known = tuple(finding for finding in done if finding is not None)
                if known:
                    yield known
        yield from zip(*(track.rest() for track in tracks), strict=True)

    def _look(self, frame: Frame) -> Findings:
        number, rgb_HWC, seen = frame
        rules = (self._rules,) * len(self._identities)
        found = find_people(rgb_HWC, self._recognizer, self._identities, self._segmenter, rules, seen)
        small_HWC, scale = limit_size(rgb_HWC, CARRY_PX)
        small_seen = None if seen is None else seen.at((small_HWC.shape[1], small_HWC.shape[0]))
        size, chosen = (rgb_HWC.shape[1], rgb_HWC.shape[0]), [each.decision.chosen for each in found]

        def finding(person: int, each: FoundPerson) -> FrameFinding:
            is_there = chosen[person] is not None
            return FrameFinding(
                number, size, each.decision,
                np.packbits(each.segmented_HW) if is_there else None,
                [scale_face(face, scale) for face in each.faces], small_HWC,
                None if seen is None or not is_there else np.packbits(each.mask_HW & ~each.segmented_HW),
                small_seen,
                taken=frozenset(face for n, face in enumerate(chosen) if n != person and face is not None),
            )  # fmt: skip

        return tuple(finding(person, each) for person, each in enumerate(found))
