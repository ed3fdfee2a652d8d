"""One person's masks for every frame of a video, and the weights cut by them; frame after frame.

A frame between two that were looked at has what both their masks share, where these overlap: somebody who moves covers
it all the while, and a person who walked off, or a cut to somebody else, leaves nothing behind. `_HW` pixel grid.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from ..alpha import weights_to_uint8
from ..dataset.items import DatasetItem
from ..dataset.load import read_weights
from ..dataset.turned import check_mask_fits
from ..errors import PersonError, SettingError
from ..mask_meaning import MaskMeaning
from ..people.follow import MIN_OVERLAP, FrameFinding, PersonInVideo, overlap
from ..people.identity import OnNoMatch, Outcome, PersonDecision, describe_scores
from ..people.instances import apply_instance
from ..resample import fit_mask
from ..video.frame_index import VideoInfo
from ..video.masks import MaskVideoWriter, read_mask_frames
from ..video.reader import probe
from .each_item import Advance, segmented_frames
from .known_hair import read_frames_with_hair
from .person_search import PersonSearch


def write_person(
    item: DatasetItem,
    search: PersonSearch,
    target: Path,
    every: int,
    workers: int,
    advance: Advance,
    hair: tuple[int, ...] | None = None,
) -> tuple[PersonDecision, dict[str, int]]:
    """Write `target` (.mkv), a binary mask of the person for each frame of a video, 0 where the person is not found.
    `hair`: what is known of the video's masks, by which hair that is theirs is added.

    Returns the decision about the frame that is most alike, in words for the whole video, and {"frames", "segmented",
    "matched", "carried", "without"}. A video without one match is decided by the rules: skipped or emptied, or
    PersonError naming it and the most alike face. SettingError without an identity.
    """
    if search.identity is None:
        raise SettingError(
            f"The person in the video {item.name} is known by reference faces only; connect an identity."
        )
    info = probe(item.media_path)
    wanted = segmented_frames(info.frames, every)
    person = PersonInVideo(search.recognizer, search.identity, search.segmenter, search.rules)
    tally = _Tally()

    def show_progress(number: int) -> None:
        advance(1, f"{item.name}: frame {number + 1} of {info.frames}")

    with (
        MaskVideoWriter(target, info.size, info.times) as writer,
        closing(person.follow(read_frames_with_hair(item, wanted, hair), workers, show_progress)) as findings,
    ):
        before: FrameFinding | None = None
        for finding in findings:
            tally.add(finding)
            if before is not None:
                _write_between(writer, before, finding)
            before = finding
        if before is not None:
            writer.add(_as_uint8(before))
    return tally.decide(item.name, search.rules.on_no_match), tally.counts(info, len(wanted))


def cut_weights(
    item: DatasetItem, instance_path: Path, meaning: MaskMeaning, target: Path, margins_px: tuple[int, int]
) -> tuple[float, float]:
    """Write `target` (.mkv), the weights of the video where the masks of `instance_path`, which are read as
    `meaning` says, are from one half on, else 0.

    Returns the mean fraction of a frame that is the person and the mean weight after. VideoError and ImageError where
    masks do not fit the video.
    """
    info = probe(item.media_path)
    area, coverage = 0.0, 0.0
    with MaskVideoWriter(target, info.size, info.times) as writer:
        instances = read_mask_frames(instance_path, info, range(info.frames), meaning)
        for weights_HW, (_, mask_HW) in zip(_weights(item, info), instances, strict=True):
            check_mask_fits(item, info.size, (mask_HW.shape[1], mask_HW.shape[0]))
            instance_HW = fit_mask(mask_HW, info.size, info.size) >= 128
            kept_HW = apply_instance(weights_HW, instance_HW, *margins_px)
            writer.add(weights_to_uint8(kept_HW))
            area += float(instance_HW.mean()) / info.frames
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
class _Tally:
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

    def decide(self, name: str, on_no_match: OnNoMatch) -> PersonDecision:
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


def _write_between(writer: MaskVideoWriter, before: FrameFinding, finding: FrameFinding) -> None:
    """The mask of `before` for its own frame, and for those up to `finding` what both share while the person stays."""
    mask_HW = _as_uint8(before)
    writer.add(mask_HW)
    stays = (
        before.sighting is not None
        and finding.sighting is not None
        and overlap(before.sighting.mask_hw, finding.sighting.mask_hw) >= MIN_OVERLAP
    )
    held_HW = np.minimum(mask_HW, _as_uint8(finding)) if stays else np.zeros_like(mask_HW)
    for _ in range(before.number + 1, finding.number):
        writer.add(held_HW)


def _as_uint8(finding: FrameFinding) -> np.ndarray:
    person_HW = finding.person_HW
    width, height = finding.size
    return np.zeros((height, width), np.uint8) if person_HW is None else person_HW.astype(np.uint8) * np.uint8(255)


def _weights(item: DatasetItem, info: VideoInfo) -> Iterator[np.ndarray]:
    """The weights of each frame, float32 in [0, 1]; all 1 where the video has no masks."""
    if item.mask_path is None:
        full_HW = np.ones((info.size[1], info.size[0]), np.float32)
        yield from (full_HW for _ in range(info.frames))
    else:
        yield from (weights_HW for _, weights_HW in read_weights(item, range(info.frames)))
