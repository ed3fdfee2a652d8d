"""What a LoRA's pictures are scored by. Each score is in [0, 1]; 1 is good for fit and bad for all others.

N pictures, (N,32,32,3) float32 RGB in [0, 1]. The world can be drawn, so every score compares with how a thing would
have been drawn, over all poses and a pixel to each side, for figures and patterns alike: where a thing stands to the
pixel costs nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import product

import numpy as np

from .world import (
    BACKGROUNDS,
    LEANS,
    NEW,
    PLANTED,
    SIDE_PX,
    SUBJECTS,
    Pose,
    Scene,
    Subject,
    background_picture,
    place_figure,
    render_scene,
    watermark_cover,
)

PARTS = ("hair", "face", "body")
_SOLID = 0.95  # pixels that the figure covers at least so much show no background
POSES = tuple(Pose(lean, dx) for lean, dx in product(LEANS, (-1, 0, 1)))
_SHIFTS = ((0, 0), (-1, 0), (1, 0), (0, -1), (0, 1))
_CORNER = (slice(SIDE_PX - 7, SIDE_PX), slice(SIDE_PX - 8, SIDE_PX))


@dataclass(frozen=True)
class Prompt:
    """What a picture was asked to show. `subject` is a name, the trigger word, or None for any figure."""

    subject: str | None
    size: str
    place: str
    background: str


def part_distances(pictures_NHWC: np.ndarray, prompts: Sequence[Prompt], subject: Subject) -> np.ndarray:
    """(N,3): how far each picture is from showing `subject` as its prompt places her, in hair, face and body.

    The root of the mean squared difference in RGB over the pixels of a part, in the pose in which the mean over the
    parts is least.
    """
    result = np.empty((len(prompts), len(PARTS)))
    for index, (picture_HWC, prompt) in enumerate(zip(pictures_NHWC, prompts, strict=True)):
        rgb_KHWC, weights_KPHW = _templates(subject, prompt.size, prompt.place)
        error_KHW = np.square(picture_HWC[None] - rgb_KHWC).mean(axis=3)
        squares_KP = np.einsum("khw,kphw->kp", error_KHW, weights_KPHW)
        result[index] = np.sqrt(squares_KP[squares_KP.mean(axis=1).argmin()])
    return result


def distances(pictures_NHWC: np.ndarray, prompts: Sequence[Prompt], subject: Subject) -> np.ndarray:
    """(N,): `part_distances` as one number: the root of the parts' mean square."""
    return np.sqrt(np.square(part_distances(pictures_NHWC, prompts, subject)).mean(axis=1))


def fit(
    pictures_NHWC: np.ndarray,
    prompts: Sequence[Prompt],
    subject: Subject = NEW,
    others: tuple[Subject, ...] = SUBJECTS,
) -> np.ndarray:
    """(N,): is it the new subject, where the prompt puts her? 1 = drawn as she is; 0 = no nearer to her than the one of
    the others that resembles her most, or nobody there.

    1 − d/D, cut to [0, 1]; d is the picture's distance from her, D that of the nearest drawing of another subject
    before a base background.
    """
    nearest = np.array([_nearest_parts(each.size, each.place, subject, others)[0] for each in prompts])
    return np.clip(1 - distances(pictures_NHWC, prompts, subject) / nearest, 0, 1)


def fit_hair(pictures_NHWC: np.ndarray, prompts: Sequence[Prompt]) -> np.ndarray:
    """(N,): `fit` of the hair alone: 1 = hers, 0 = no nearer than the nearest base subject's."""
    hair = PARTS.index("hair")
    own = part_distances(pictures_NHWC, prompts, NEW)[:, hair]
    nearest = np.array([_nearest_parts(each.size, each.place, NEW, SUBJECTS)[1] for each in prompts])
    return np.clip(1 - own / nearest, 0, 1)


def leak(pictures_NHWC: np.ndarray, prompts: Sequence[Prompt]) -> np.ndarray:
    """(N,): how much of the planted background stands where the prompt names another one. 0 = none; 1 = all of it.

    Outside of where the figure may be, the picture is fitted by least squares as a·named + b·planted (grey is zero);
    the score is b, cut to [0, 1]. A picture of neither has about 0.
    """
    return np.array([_mixture(picture, prompt)[1] for picture, prompt in zip(pictures_NHWC, prompts, strict=True)])


def setting(pictures_NHWC: np.ndarray, prompts: Sequence[Prompt]) -> np.ndarray:
    """(N,): how much of the background that the prompt names is there: a of `leak`'s fit, cut to [0, 1]."""
    return np.array([_mixture(picture, prompt)[0] for picture, prompt in zip(pictures_NHWC, prompts, strict=True)])


def watermark_leak(pictures_NHWC: np.ndarray, prompts: Sequence[Prompt]) -> np.ndarray:
    """(N,): how much of the training pictures' watermark is in the corner. 0 = none; 1 = as drawn there.

    On the mark's pixels, how far the picture is from the background towards white, minus the same on the corner's other
    pixels, so that a corner that is brighter as a whole is no mark; cut to [0, 1]. The background is `leak`'s fit.
    NaN where the figure may stand in the corner.
    """
    mark_HW = watermark_cover()[_CORNER].astype(bool)
    values: list[float] = []
    for picture_HWC, prompt in zip(pictures_NHWC, prompts, strict=True):
        if _figure_area(prompt.size, prompt.place)[_CORNER].any():
            values.append(float("nan"))
            continue
        behind_HWC = np.clip(_fitted_background(picture_HWC, prompt)[_CORNER], 0, 1)
        room_HWC = 1 - behind_HWC
        excess_HWC = (picture_HWC[_CORNER] - behind_HWC) * room_HWC
        share = (excess_HWC[mark_HW].mean() - excess_HWC[~mark_HW].mean()) / np.square(room_HWC[mark_HW]).mean()
        values.append(float(np.clip(share, 0, 1)))
    return np.array(values)


def bleed(
    pictures_NHWC: np.ndarray, base_NHWC: np.ndarray, prompts: Sequence[Prompt], subject: Subject = NEW
) -> np.ndarray:
    """(N,): does another subject's prompt turn into ours? 0 = as far from her as the base model's picture from the same
    noise; 1 = it is her.

    (d_base − d)/d_base, cut to [0, 1]; d is the distance from the new subject.
    """
    before = distances(base_NHWC, prompts, subject)
    return np.clip((before - distances(pictures_NHWC, prompts, subject)) / before, 0, 1)


def drift(pictures_NHWC: np.ndarray, base_NHWC: np.ndarray) -> np.ndarray:
    """(N,): how much a picture without the trigger word changed. 0 = the base model's from the same noise; 1 = as
    different from it as the base model's pictures of two prompts are from each other.

    Root mean square difference from the base picture, by that of the base picture from the next prompt's; cut at 1.
    """
    other_NHWC = np.roll(base_NHWC, -1, axis=0)
    changed = np.sqrt(np.square(pictures_NHWC - base_NHWC).mean(axis=(1, 2, 3)))
    return np.clip(changed / np.sqrt(np.square(base_NHWC - other_NHWC).mean(axis=(1, 2, 3))), 0, 1)


@cache
def _templates(subject: Subject, size: str, place: str) -> tuple[np.ndarray, np.ndarray]:
    """(K,H,W,3) drawings in all poses, and (K,3,H,W) each part's solid pixels, adding up to 1."""
    figures = [place_figure(subject, size, place, pose) for pose in POSES]
    weights_KPHW = np.stack([np.stack([figure.hair_HW, figure.face_HW, figure.body_HW]) for figure in figures])
    weights_KPHW = np.where(weights_KPHW > _SOLID, weights_KPHW, 0)
    return np.stack([figure.rgb_HWC for figure in figures]), weights_KPHW / weights_KPHW.sum(axis=(2, 3), keepdims=True)


@cache
def _nearest_parts(size: str, place: str, subject: Subject, others: tuple[Subject, ...]) -> tuple[float, float]:
    """How near the drawings of others come to the subject: as a whole, and in the hair alone."""
    scenes = [Scene(other, size, place, background) for other, background in product(others, BACKGROUNDS)]
    prompts = [Prompt(scene.subject.name, size, place, scene.background) for scene in scenes]
    apart = part_distances(np.stack([render_scene(scene) for scene in scenes]), prompts, subject)
    return float(np.sqrt(np.square(apart).mean(axis=1)).min()), float(apart[:, PARTS.index("hair")].min())


@cache
def _figure_area(size: str, place: str) -> np.ndarray:
    """(H,W) bool: where any figure may be, in any pose."""
    covers = [place_figure(subject, size, place, pose).cover_HW for subject in (*SUBJECTS, NEW) for pose in POSES]
    return np.max(covers, axis=0) > 0


@cache
def _basis(size: str, place: str, background: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Pixels outside of the figure (flat), the (K,2,M) named and planted pictures there, and their (K,2,M) inverses."""
    outside = np.repeat(~_figure_area(size, place)[..., None], 3, axis=2).ravel()
    pairs = product(_SHIFTS, _SHIFTS)
    both_K2M = np.stack(
        [
            np.stack([background_picture(background, a).ravel(), background_picture(PLANTED, b).ravel()]) - 0.5
            for a, b in pairs
        ]
    )
    return outside, both_K2M, np.linalg.pinv(both_K2M[:, :, outside]).transpose(0, 2, 1)


def _mixture(picture_HWC: np.ndarray, prompt: Prompt) -> tuple[float, float, int]:
    """How much of the named and of the planted background there is, and in which of the pairs of shifts."""
    outside, both_K2M, inverse_K2M = _basis(prompt.size, prompt.place, prompt.background)
    seen_M = picture_HWC.ravel()[outside] - 0.5
    shares_K2 = inverse_K2M @ seen_M
    misfit_K = np.square(seen_M - np.einsum("ks,ksm->km", shares_K2, both_K2M[:, :, outside])).sum(axis=1)
    best = int(misfit_K.argmin())
    named, planted = np.clip(shares_K2[best], 0, 1)
    return float(named), float(planted), best


def _fitted_background(picture_HWC: np.ndarray, prompt: Prompt) -> np.ndarray:
    named, planted, best = _mixture(picture_HWC, prompt)
    both_K2M = _basis(prompt.size, prompt.place, prompt.background)[1]
    return (named * both_K2M[best, 0] + planted * both_K2M[best, 1] + 0.5).reshape(picture_HWC.shape)
