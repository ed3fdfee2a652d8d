"""People's masks for every frame of a video, and the weights cut by them; frame after frame.

A frame between two that were looked at has what both their masks share, where these overlap: somebody who moves covers
it all the while, and a person who walked off, or a cut to somebody else, leaves nothing behind. `_HW` pixel grid.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from ..alpha import weights_to_uint8
from ..dataset.items import DatasetItem
from ..dataset.load import read_weights
from ..dataset.person_paint import PersonPaint
from ..dataset.turned import check_mask_fits
from ..errors import PersonError, SettingError
from ..mask_meaning import MaskMeaning
from ..people.decision import OnNoMatch, Outcome, PersonDecision, describe_scores
from ..people.follow import PeopleInVideo
from ..people.track import MIN_OVERLAP, FrameFinding, overlap
from ..resample import fit_mask
from ..video.frame_index import VideoInfo
from ..video.masks import MaskVideoWriter, read_mask_frames
from ..video.reader import probe
from .each_item import Advance, segmented_frames
from .keeping_unit import Several
from .known_hair import read_frames_with_hair
from .person_search import PersonSearch
from .person_weights import weights_of_one, weights_together, with_own_weights


def write_people(
    item: DatasetItem,
    search: PersonSearch,
    targets: Sequence[Path],
    every: int,
    workers: int,
    advance: Advance,
    hair: tuple[int, ...] | None = None,
) -> list[tuple[PersonDecision, dict[str, int]]]:
    """Write a file of `targets` (.mkv) for each person: a binary mask of them for each frame of a video, 0 where they
    are not found. No two people have a pixel of a frame. `hair`: what is known of the video's masks, by which hair that
    is theirs is added.

    Returns for each the decision about the frame that is most alike, in words for the whole video, and {"frames",
    "segmented", "matched", "carried", "without"}. A video without one match is decided by the rules: skipped or
    emptied, or PersonError naming it and the most alike face; of several people such a one is absent. SettingError
    without an identity.
    """
    identities = [identity for identity in search.identities if identity is not None]
    if len(identities) < len(search.identities):
        raise SettingError(
            f"The person in the video {item.name} is known by reference faces only; connect an identity."
        )
    info = probe(item.media_path)
    wanted = segmented_frames(info.frames, every)
    people = PeopleInVideo(search.recognizer, identities, search.segmenter, search.rules)
    tallies = [Tally() for _ in identities]

    def show_progress(number: int) -> None:
        advance(1, f"{item.name}: frame {number + 1} of {info.frames}")

    with (
        ExitStack() as opened,
        closing(people.follow(read_frames_with_hair(item, wanted, hair), workers, show_progress)) as followed,
    ):
        writers = [_Writer(opened.enter_context(MaskVideoWriter(target, info.size, info.times))) for target in targets]
        for findings in followed:
            masks = _apart([each.person_HW for each in findings])
            for tally, writer, finding, mask_HW in zip(tallies, writers, findings, masks, strict=True):
                tally.add(finding)
                writer.add(finding, mask_HW)
        for writer in writers:
            writer.finish()
    rule = search.rules.on_no_match
    return [(tally.decide(item.name, rule, len(tallies) > 1), tally.counts(info, len(wanted))) for tally in tallies]


def _apart(masks: Sequence[np.ndarray | None]) -> list[np.ndarray | None]:
    """The people's masks of one frame without the pixels that two of them have."""
    there = [mask_HW for mask_HW in masks if mask_HW is not None]
    if len(there) < 2:
        return list(masks)
    once_HW = np.sum(there, axis=0) <= 1
    return [None if mask_HW is None else mask_HW & once_HW for mask_HW in masks]


@dataclass(frozen=True, eq=False)
class Cut:
    """How the weights of a video are cut. `masks`: each person's mask file and how it is read, None for somebody who is
    not in it. `person`: whose are kept, None for all of them together, with what was `painted` over those of some."""

    masks: Sequence[tuple[Path | None, MaskMeaning]]
    person: int | None
    margins_px: tuple[int, int]
    several: Several | None = None
    painted: Mapping[int, PersonPaint] = field(default_factory=dict[int, PersonPaint])

    def frames(self, item: DatasetItem, info: VideoInfo) -> Iterator[list[np.ndarray]]:
        """Of each frame, each person's mask_HW bool. VideoError and ImageError where masks do not fit the video."""
        nobody_HW = np.zeros(info.size[::-1], np.bool_)
        streams = [
            None if path is None else read_mask_frames(path, info, range(info.frames), meaning)
            for path, meaning in self.masks
        ]
        for _ in range(info.frames):
            masks: list[np.ndarray] = []
            for stream in streams:
                if stream is None:
                    masks.append(nobody_HW)
                    continue
                _, mask_HW = next(stream)
                check_mask_fits(item, info.size, (mask_HW.shape[1], mask_HW.shape[0]))
                masks.append(fit_mask(mask_HW, info.size, info.size) >= 128)
            yield masks

    def weights(
        self, weights_HW: np.ndarray, item: DatasetItem, instances: Sequence[np.ndarray], frame: int
    ) -> np.ndarray:
        """What is kept of a frame's weights."""
        several = self.several
        each = [weights_HW] * len(instances)
        if several is not None:
            tiers = several.tiers.get(item.name)
            each = [
                with_own_weights(weights_HW, person.weights, tiers, person.name, item.name) for person in several.people
            ]
        if self.person is None:
            return weights_together(each, instances, self.margins_px, self.painted, frame)
        others = 0 if several is None else several.others_weight
        return weights_of_one(each, instances, self.person, self.margins_px, others)


def cut_weights(item: DatasetItem, cut: Cut, target: Path) -> tuple[float, float]:
    """Write `target` (.mkv), the weights of the video where the person is, else 0.

    Returns the mean fraction of a frame that is the person and the mean weight after. VideoError and ImageError where
    masks do not fit the video.
    """
    info = probe(item.media_path)
    area, coverage = 0.0, 0.0
    with MaskVideoWriter(target, info.size, info.times) as writer:
        both = zip(_weights(item, info), cut.frames(item, info), strict=True)
        for frame, (weights_HW, instances) in enumerate(both):
            kept_HW = cut.weights(weights_HW, item, instances, frame)
            writer.add(weights_to_uint8(kept_HW))
            own_HW = np.any(instances, axis=0) if cut.person is None else instances[cut.person]
            area += float(own_HW.mean()) / info.frames
            coverage += float(kept_HW.mean(dtype=np.float64)) / info.frames
    return area, coverage


def read_coverage(item: DatasetItem, mask_path: Path) -> tuple[float, float]:
    """Of a video's masks: the mean fraction of a frame that has any weight, and the mean weight."""
    info = probe(item.media_path)
    masks = read_mask_frames(mask_path, info, range(info.frames))
    pairs = [((mask_HW > 0).mean(), mask_HW.mean(dtype=np.float64) / 255) for _, mask_HW in masks]
    area, coverage = np.mean(pairs, axis=0)
    return float(area), float(coverage)


@dataclass(eq=False)
class Tally:
    """What was found over the whole video."""

    states: Counter[str] = field(default_factory=Counter)
    best: FrameFinding | None = None
    nearest: tuple[float, int, PersonDecision] | None = None

    def add(self, finding: FrameFinding) -> None:
        found = finding.sighting is not None
        self.states["carried" if finding.carried else "matched" if found else "without"] += 1
        alike = max((face.similarity or 0.0 for face in finding.decision.faces), default=-1.0)
        if self.nearest is None or alike > self.nearest[0]:
            self.nearest = alike, finding.number, finding.decision
        if found and not finding.carried and (self.best is None or _likeness(finding) > _likeness(self.best)):
            # Without its pixels: a whole video is seen before this one is used.
            self.best = replace(
                finding, packed=None, packed_hair=None, sighting=None, seen_hw=None,
                small_HWC=np.empty((0, 0, 3), np.uint8),
            )  # fmt: skip

    def counts(self, info: VideoInfo, segmented: int) -> dict[str, int]:
        states = {state: self.states[state] for state in ("matched", "carried", "without")}
        return {"frames": info.frames, "segmented": segmented, **states}

    def decide(self, name: str, on_no_match: OnNoMatch, among_several: bool) -> PersonDecision:
        looked_at = self.states.total()
        if self.best is not None:
            reason = (
                f"matched in {self.states['matched']} and carried to {self.states['carried']} of {looked_at} frames "
                f"looked at, not found in {self.states['without']}; in frame {self.best.number} "
                f"{self.best.decision.reason}"
            )
            return replace(self.best.decision, reason=reason)
        _, number, decision = self.nearest if self.nearest is not None else (0.0, 0, None)
        scores = () if decision is None else tuple(replace(face, chosen=False) for face in decision.faces)
        cause = f"no face matches in {looked_at} frames looked at; the most alike, in frame {number}: " + (
            describe_scores(scores)
        )
        if among_several:
            return PersonDecision(scores, Outcome.ABSENT, None, f"{cause}; not in this video", 0.0)
        if on_no_match is OnNoMatch.ERROR:
            raise PersonError(
                f"{name}: The person cannot be told apart: {cause}. Give more or better reference pictures, change "
                "min_similarity or margin, or leave the video out."
            )
        if on_no_match is OnNoMatch.EMPTY:
            return PersonDecision(scores, Outcome.EMPTY, None, f"{cause}; the masks were left empty, as asked", 0.0)
        return PersonDecision(scores, Outcome.SKIPPED, None, f"{cause}; the video was left out", 0.0)


def _likeness(finding: FrameFinding) -> float:
    chosen = finding.decision.chosen
    return -1.0 if chosen is None else finding.decision.faces[chosen].similarity or 0.0


class _Writer:
    """Writes one person's masks, one for every frame, from those of the frames that were looked at."""

    def __init__(self, writer: MaskVideoWriter) -> None:
        self._writer = writer
        self._before: tuple[FrameFinding, np.ndarray] | None = None

    def add(self, finding: FrameFinding, mask_HW: np.ndarray | None) -> None:
        """The next frame that was looked at, and its mask (bool), None where the person is not in it."""
        width, height = finding.size
        value_HW = np.zeros((height, width), np.uint8) if mask_HW is None else mask_HW.astype(np.uint8) * np.uint8(255)
        if self._before is not None:
            before, before_HW = self._before
            self._writer.add(before_HW)
            # Those between have what both share while the person stays.
            held_HW = np.minimum(before_HW, value_HW) if _stays(before, finding) else np.zeros_like(before_HW)
            for _ in range(before.number + 1, finding.number):
                self._writer.add(held_HW)
        self._before = finding, value_HW

    def finish(self) -> None:
        """Write the last one."""
        if self._before is not None:
            self._writer.add(self._before[1])


def _stays(before: FrameFinding, finding: FrameFinding) -> bool:
    return (
        before.sighting is not None
        and finding.sighting is not None
        and overlap(before.sighting.mask_hw, finding.sighting.mask_hw) >= MIN_OVERLAP
    )


def _weights(item: DatasetItem, info: VideoInfo) -> Iterator[np.ndarray]:
    """The weights of each frame, float32 in [0, 1]; all 1 where the video has no masks."""
    if item.mask_path is None:
        full_HW = np.ones((info.size[1], info.size[0]), np.float32)
        yield from (full_HW for _ in range(info.frames))
    else:
        yield from (weights_HW for _, weights_HW in read_weights(item, range(info.frames)))
