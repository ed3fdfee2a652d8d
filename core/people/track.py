"""One person from frame to frame of a video: found by the face where it is seen, carried by overlap where it turns
away.

It fails closed: what cannot be told to be the person is nobody. Legend: `_HW` is the frame's pixel grid, `_hw` the
same frame at no more than 1024 pixels, on which a mask is carried on.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass, replace
from statistics import median

import cv2
import numpy as np

from ..errors import PersonError
from ..resample import shrink_then_enlarge
from .decision import PersonDecision
from .faces import Face
from .instances import PersonMask, PersonSegmenter, isolate_person
from .own_hair import SeenHair, add_own_hair

# Looked-at frames over which a mask is carried at most, forwards and backwards; as many small frames are in memory.
CARRY_FRAMES = 48
MIN_OVERLAP = 0.5
# Of two masks that overlap the person's last one, the better must be ahead by this.
OVERLAP_LEAD = 0.1
# A face this much below what is needed is clearly somebody else's, whatever its mask overlaps.
CLEARLY_OTHER = 0.1
# Share of colours that two sightings of one person have in common, a sixth of a second apart; a cut shows here.
MIN_COLOURS = 0.5
_COLOUR_BINS = 8
# Over so many frames the same face must be alike, so that one stranger's lucky frame is no match.
_SUPPORT = 5
_NEAR = 0.6  # of a face's side: a face whose middle has moved less is the same one


@dataclass(frozen=True, eq=False)
class Sighting:
    """The person in one frame: mask_hw bool, where the head is (a real face, or the last one moved along), a histogram
    of their colours, and the hair that is theirs beside the mask (bool)."""

    mask_hw: np.ndarray
    head: Face
    colours: np.ndarray
    hair_hw: np.ndarray | None = None


@dataclass(eq=False)
class FrameFinding:
    """What was found in one frame of `size` (width, height). `decision`: about its faces alone; `packed`: the mask of
    the one chosen, a bit per pixel, and `packed_hair` what hair of theirs is beside it; `faces`, `small_HWC` and the
    hair that was seen, `seen_hw`: at 1024 pixels. `sighting` says where the person is after all, `carried` that it is
    so by overlap, `age` frames from the last face that matched. Hair is kept apart: who is where is told without it.
    `taken`: faces that are somebody else's of those looked for."""

    number: int
    size: tuple[int, int]
    decision: PersonDecision
    packed: np.ndarray | None
    faces: list[Face]
    small_HWC: np.ndarray
    packed_hair: np.ndarray | None = None
    seen_hw: SeenHair | None = None
    sighting: Sighting | None = None
    carried: bool = False
    age: int = 0
    taken: frozenset[int] = frozenset()

    @property
    def person_HW(self) -> np.ndarray | None:
        """mask_HW bool of the person at the frame's size, None where the person was not found."""
        if self.sighting is None:
            return None
        if not self.carried:
            mask_HW, hair_HW = self.matched_HW, self._unpack(self.packed_hair)
            return mask_HW if mask_HW is None or hair_HW is None else mask_HW | hair_HW
        mask_hw, hair_hw = self.sighting.mask_hw, self.sighting.hair_hw
        whole_hw = mask_hw if hair_hw is None else mask_hw | hair_hw
        share_HW = shrink_then_enlarge(whole_hw.astype(np.float32), self.size)
        return share_HW > 0.5

    @property
    def matched_HW(self) -> np.ndarray | None:
        """mask_HW bool of the one whose face matches, None where none does."""
        return self._unpack(self.packed)

    def _unpack(self, packed: np.ndarray | None) -> np.ndarray | None:
        if packed is None:
            return None
        width, height = self.size
        return np.unpackbits(packed, count=width * height).reshape(height, width).astype(bool)


class Track:
    """One person through the frames of a video, which come in their order."""

    def __init__(self, segmenter: PersonSegmenter, needed: float) -> None:
        """`needed`: the similarity from which on a face is the person."""
        self._segmenter, self._needed = segmenter, needed
        self._window: deque[FrameFinding] = deque()

    def add(self, finding: FrameFinding) -> FrameFinding | None:
        """Take in the next frame; returns the one of which nothing new can be learnt any more, where there is one."""
        window = self._window
        if finding.packed is not None and self._is_supported(finding, window):
            self._match_faces(finding, window)
        elif window:
            self._carry(window[-1], finding)
        window.append(finding)
        return window.popleft() if len(window) > CARRY_FRAMES else None

    def rest(self) -> Generator[FrameFinding]:
        """The frames that are left when the video ends."""
        yield from self._window

    def _is_supported(self, finding: FrameFinding, window: Sequence[FrameFinding]) -> bool:
        """Whether the face that matches has been alike where it was seen just before."""
        chosen = finding.decision.chosen
        if chosen is None:
            return False
        face, alike = finding.faces[chosen], [_similarity(finding.decision, chosen)]
        for before in reversed(window):
            same = _face_near(before.faces, face)
            if same is None or len(alike) == _SUPPORT:
                break
            face = same
            alike.append(_similarity(before.decision, same.index))
        return median(alike) >= self._needed - CLEARLY_OTHER

    def _match_faces(self, finding: FrameFinding, window: deque[FrameFinding]) -> None:
        """Take the face's mask, give up what was carried to another place, and carry it back as far as it goes."""
        chosen, mask_HW = finding.decision.chosen, finding.matched_HW
        if chosen is None or mask_HW is None:
            return
        height, width = finding.small_HWC.shape[:2]
        mask_hw = shrink_then_enlarge(mask_HW.astype(np.float32), (width, height)) > 0.5
        finding.sighting = _sighting(finding.small_HWC, mask_hw, finding.faces[chosen])
        before = window[-1].sighting if window and window[-1].carried else None
        if before is not None and not _same_place(before, finding.sighting):
            for before in reversed(window):
                if not before.carried:
                    break
                before.sighting, before.carried = None, False
        later = finding
        for before in reversed(window):
            if before.sighting is not None:
                break
            self._carry(later, before)
            if before.sighting is None:
                break
            later = before

    def _carry(self, known: FrameFinding, finding: FrameFinding) -> None:
        """Let `finding` show the person where they are in the frame before or after it, if that can be told."""
        last = known.sighting
        if last is None or known.age >= CARRY_FRAMES:
            return
        faces = list(finding.faces)
        head = _face_near(faces, last.head)
        if head is None:
            # The head is where it was: a person segmenter that goes by faces looks there too.
            head = replace(last.head, index=len(faces))
            faces.append(head)
        elif head.index in finding.taken or (_similarity(finding.decision, head.index) < self._needed - CLEARLY_OTHER):
            return
        masks = _claim_by_overlap(self._segmenter.segment(finding.small_HWC, faces), last.mask_hw, head.index)
        try:
            mask_hw = isolate_person(faces, masks, head.index)
        except PersonError:
            return
        if head.index == len(finding.faces):
            head = _move_with_mask(head, last.mask_hw, mask_hw)
            faces[head.index] = head
        sighting = _sighting(finding.small_HWC, mask_hw, head)
        alike = float(np.minimum(sighting.colours, last.colours).sum())
        if overlap(mask_hw, last.mask_hw) >= MIN_OVERLAP and alike >= MIN_COLOURS:
            if finding.seen_hw is not None:
                whole_hw = add_own_hair(mask_hw, finding.seen_hw, faces, masks, head.index)
                sighting = replace(sighting, hair_hw=whole_hw & ~mask_hw)
            finding.sighting, finding.carried, finding.age = sighting, True, known.age + 1


def overlap(a_hw: np.ndarray, b_hw: np.ndarray) -> float:
    """Intersection over union of two bool masks of one size."""
    union = np.count_nonzero(a_hw | b_hw)
    return np.count_nonzero(a_hw & b_hw) / union if union else 0.0


def _claim_by_overlap(masks: Sequence[PersonMask], last_hw: np.ndarray, owner: int) -> list[PersonMask]:
    """Masks whose face is not known: the one that clearly overlaps the person's last mask most is the person's."""
    ranked = sorted(
        ((overlap(mask.probability_HW > 0.5, last_hw), m) for m, mask in enumerate(masks) if mask.face_index is None),
        reverse=True,
    )
    clear = bool(ranked) and (len(ranked) == 1 or ranked[0][0] - ranked[1][0] >= OVERLAP_LEAD)
    if not clear or ranked[0][0] < MIN_OVERLAP:
        return list(masks)
    return [replace(mask, face_index=owner) if m == ranked[0][1] else mask for m, mask in enumerate(masks)]


def _sighting(small_HWC: np.ndarray, mask_hw: np.ndarray, head: Face) -> Sighting:
    levels_NC = small_HWC[mask_hw].astype(np.int64) * _COLOUR_BINS // 256
    bins = (levels_NC * (_COLOUR_BINS**2, _COLOUR_BINS, 1)).sum(axis=1)
    colours = np.bincount(bins, minlength=_COLOUR_BINS**3) / max(1, len(bins))
    return Sighting(mask_hw, head, colours)


def _same_place(before: Sighting, after: Sighting) -> bool:
    """Whether two sightings in neighbouring frames are of one place: their masks overlap, as they are or, where a head
    has moved by less than its side (the camera pans), moved along with the head."""
    if overlap(before.mask_hw, after.mask_hw) >= MIN_OVERLAP:
        return True
    (x0, y0, x1, y1), shift = before.head.box, _middle(after.head) - _middle(before.head)
    if float(np.hypot(*shift)) >= min(x1 - x0, y1 - y0):
        return False
    height, width = before.mask_hw.shape
    moved = cv2.warpAffine(before.mask_hw.astype(np.uint8), np.c_[np.eye(2), shift], (width, height)) > 0
    return overlap(moved, after.mask_hw) >= MIN_OVERLAP


def _similarity(decision: PersonDecision, index: int) -> float:
    similarity = decision.faces[index].similarity
    return 0.0 if similarity is None else similarity


def _face_near(faces: Sequence[Face], face: Face) -> Face | None:
    """The one of `faces` that is at the place of `face`, if any."""
    side = min(face.box[2] - face.box[0], face.box[3] - face.box[1])
    near = [(float(np.hypot(*(_middle(each) - _middle(face)))), each.index) for each in faces]
    distance, index = min(near, default=(np.inf, -1))
    return faces[index] if distance < _NEAR * side else None


def _middle(face: Face) -> np.ndarray:
    x0, y0, x1, y1 = face.box
    return np.array([(x0 + x1) / 2, (y0 + y1) / 2])


def _move_with_mask(face: Face, before_hw: np.ndarray, after_hw: np.ndarray) -> Face:
    """The face moved as the mask's middle has."""
    shift = np.array([np.mean(each) for each in np.nonzero(after_hw)[::-1]]) - [
        np.mean(each) for each in np.nonzero(before_hw)[::-1]
    ]
    return _map_points(face, lambda points: points + shift)


def scale_face(face: Face, scale: float) -> Face:
    return face if scale == 1.0 else _map_points(face, lambda points: points * scale)


def _map_points(face: Face, move: Callable[[np.ndarray], np.ndarray]) -> Face:
    low, high = move(np.array(face.box[:2])), move(np.array(face.box[2:]))
    oval_N2 = None if face.oval_N2 is None else move(face.oval_N2)
    box = (float(low[0]), float(low[1]), float(high[0]), float(high[1]))
    return replace(face, box=box, keypoints_K2=move(face.keypoints_K2), oval_N2=oval_N2)
