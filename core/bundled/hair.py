"""Segments hair and face of one head by position and colour: approximate, without a network, for long hair too.

No registry package carries a usable hair parser. What is above and beside the face and not skin-coloured is taken
for hair; its colours against the colours of the face's skin and of the chest then decide further down, with a prior
that says where hair hangs. A graph cut (GrabCut) started from that guess follows the edges, also beyond the person's
mask where hair stands out from the background. Hair below the jaw must be connected to hair beside the head.
"""

from __future__ import annotations

import cv2
import numpy as np

from .crown import Crown
from .head_view import HeadView

_BINS = 24
_LAB_LOW = np.array([0, 88, 88], np.float32)
_LAB_HIGH = np.array([256, 176, 192], np.float32)
_EMPTY = np.zeros((_BINS,) * 3)
_SMOOTH = tuple(enumerate((1 / 16, 4 / 16, 6 / 16, 4 / 16, 1 / 16)))
_RARE = 2e-5  # keeps a colour that no model has seen undecided
_MAX_EVIDENCE = 4.0
_ROUNDS = 3
_MIN_HAIR_PX = 60
_MIN_CHEST_PX = 100
_BALD = 0.75  # seeds this like skin are skin; of 29 heads with hair the likest had 0.68
_EYES = 0.1  # above this height a head has no clothes
_BRIM = 0.45  # hair under a hat is below this height
_CUTS = 4
_BAND_PX = 15
_CLUSTERS = 5  # of colours, of hair and of what is none; GrabCut wants as many pixels of each
_NO_RECTANGLE = (0, 0, 1, 1)  # one has to be given, and none is used
_MIN_CUT_PX = 200
_STANDS_OUT = 1.5  # log odds of hair against background, where hair may leave the person's mask


def find_hair(view: HeadView, crown: Crown) -> np.ndarray:
    """Hair of this head, bool on the view's grid; empty when too little is above and beside the face (a bald head)."""
    bin_HW = _bins(view.rgb_HWC)
    if crown is Crown.BARE or not _skin_place(view).any():
        return np.zeros_like(view.person_HW)
    allowed_HW = ~view.inner_HW & ~view.taken_HW
    if crown is Crown.HAT:
        # The little that a hat leaves to see is too little to follow hair down by its colour.
        allowed_HW &= (view.up_HW < _BRIM) & (view.below_chin_HW < 0.3)
    guess_HW = _guess_hair(view, bin_HW, allowed_HW & view.person_HW)
    if crown is Crown.HAT or np.count_nonzero(guess_HW) < _MIN_CUT_PX:
        return guess_HW
    return _refine_by_graph_cut(view, bin_HW, guess_HW, allowed_HW)


def find_face(view: HeadView, hair_HW: np.ndarray, crown: Crown) -> np.ndarray:
    """The face without hair before it, and the forehead above the mesh's oval up to the hair, bool.

    A bare scalp is face; under a hat the face ends where the mesh does.
    """
    above_HW = (view.up_HW > 0.3) & (view.up_HW < 0.95) & (view.aside_HW < 0.5)
    if crown is Crown.BARE:
        above_HW = (view.up_HW > 0.3) & (view.aside_HW < 1.1)
    if crown is Crown.HAT:
        above_HW &= view.up_HW < _BRIM
    face_HW = ((above_HW & view.person_HW) | view.oval_HW) & ~hair_HW
    return cv2.morphologyEx(face_HW.astype(np.uint8), cv2.MORPH_OPEN, np.ones((5, 5), np.uint8)) > 0


def _skin_place(view: HeadView) -> np.ndarray:
    return view.inner_HW & (view.up_HW < 0.3)


def _guess_hair(view: HeadView, bin_HW: np.ndarray, allowed_HW: np.ndarray) -> np.ndarray:
    """Hair by the colours of what is around the face, and by a prior of place."""
    skin_place_HW = _skin_place(view)
    skin_HW, other_HW = _non_hair_models(view, bin_HW, skin_place_HW)
    other_log_HW = np.log(other_HW + _RARE)
    prior_HW = _prior(view)
    possible_HW = allowed_HW & (view.below_chin_HW < 3) & (view.from_chin_HW < 1.9)
    hair_HW = _seeds(view, skin_HW > np.quantile(skin_HW[skin_place_HW], 0.25)) & allowed_HW
    if _likeness(bin_HW, hair_HW, skin_place_HW) > _BALD:
        return np.zeros_like(view.person_HW)
    grey_HW = cv2.cvtColor(view.rgb_HWC, cv2.COLOR_RGB2GRAY).astype(np.float32) / 255.0
    for _ in range(_ROUNDS):
        if np.count_nonzero(hair_HW) < _MIN_HAIR_PX:
            break
        # The colour model comes from hair above the face's middle only: what hangs lower may be a wrong guess.
        sample_HW = hair_HW & (view.up_HW > 0) & (view.aside_HW < 0.9)
        hair_log_HW = _log_likelihood(bin_HW, sample_HW if np.count_nonzero(sample_HW) > 40 else hair_HW)
        evidence_HW = hair_log_HW - other_log_HW
        logit_HW = np.clip(evidence_HW, -_MAX_EVIDENCE, _MAX_EVIDENCE) + prior_HW
        logit_HW[~possible_HW] = -6.0
        soft_HW = cv2.boxFilter((1 / (1 + np.exp(-logit_HW))).astype(np.float32), -1, (3, 3))
        hair_HW = _keep_connected((_guided_filter(grey_HW, soft_HW) > 0.5) & possible_HW, view) & possible_HW
    return hair_HW


def _refine_by_graph_cut(
    view: HeadView, bin_HW: np.ndarray, guess_HW: np.ndarray, allowed_HW: np.ndarray
) -> np.ndarray:
    """The guess moved to the edges of the picture, and on to hair that hangs lower or leaves the person's mask."""
    possible_HW = allowed_HW & (view.below_chin_HW < 3.6) & (view.from_chin_HW < 2.1)
    possible_HW &= view.person_HW | _hair_outside_mask(view, bin_HW, guess_HW)
    guess_HW = guess_HW & possible_HW
    core_HW = cv2.erode(guess_HW.astype(np.uint8), _disc(7)) > 0
    marks_HW = np.full(guess_HW.shape, cv2.GC_BGD, np.uint8)
    marks_HW[possible_HW] = cv2.GC_PR_BGD
    marks_HW[guess_HW] = cv2.GC_PR_FGD
    marks_HW[core_HW & (view.up_HW > -0.3)] = cv2.GC_FGD
    return _keep_connected(_cut(view.rgb_HWC, marks_HW) & possible_HW, view) & possible_HW


def _cut(rgb_HWC: np.ndarray, marks_HW: np.ndarray) -> np.ndarray:
    """GrabCut from these marks, bool HW: at half the size, where its colours are learnt and a cut takes a quarter of
    the time, and once at the full size in a band around that cut."""
    height, width = marks_HW.shape
    half = (width // 2, height // 2)
    small_HWC = cv2.resize(rgb_HWC, half, interpolation=cv2.INTER_AREA)
    small_HW: np.ndarray = cv2.resize(marks_HW, half, interpolation=cv2.INTER_NEAREST)
    seeds = np.count_nonzero(small_HW & 1)
    if min(seeds, small_HW.size - seeds) < _CLUSTERS:
        return (marks_HW & 1) > 0
    # GrabCut draws its first clusters from OpenCV's own generator of this thread: seeded, it repeats itself.
    cv2.setRNGSeed(0)
    clusters = np.zeros((1, 65)), np.zeros((1, 65))
    cv2.grabCut(small_HWC, small_HW, _NO_RECTANGLE, *clusters, _CUTS, cv2.GC_INIT_WITH_MASK)
    inside_HW: np.ndarray = cv2.resize(small_HW & 1, (width, height), interpolation=cv2.INTER_NEAREST)
    window_px = np.ones((_BAND_PX, _BAND_PX), np.uint8)
    open_HW = (marks_HW == cv2.GC_PR_BGD) | (marks_HW == cv2.GC_PR_FGD)
    band_HW = open_HW & (cv2.dilate(inside_HW, window_px) > cv2.erode(inside_HW, window_px))
    inside_HW[marks_HW == cv2.GC_FGD] = cv2.GC_FGD
    left, top, width, height = cv2.boundingRect(band_HW.view(np.uint8))
    window = (slice(max(top - 1, 0), top + height + 1), slice(max(left - 1, 0), left + width + 1))
    fine_hw = np.where(band_HW, inside_HW + np.uint8(cv2.GC_PR_BGD), inside_HW)[window]
    if band_HW.any() and (fine_hw & 1).any():
        rgb_hwC, fine_hw = np.ascontiguousarray(rgb_HWC[window]), np.ascontiguousarray(fine_hw)
        cv2.grabCut(rgb_hwC, fine_hw, _NO_RECTANGLE, *clusters, 1, cv2.GC_EVAL_FREEZE_MODEL)
        inside_HW[window] = fine_hw & 1
    return inside_HW > 0


def _hair_outside_mask(view: HeadView, bin_HW: np.ndarray, guess_HW: np.ndarray) -> np.ndarray:
    """Where hair may hang outside the person's mask, which often ends too early there: only below the eyes, and where
    its colours are not those of the background above the chin or far aside."""
    place_HW = view.background_HW & ((view.below_chin_HW < -0.3) | (view.from_chin_HW > 1.9))
    evidence_HW = _log_likelihood(bin_HW, guess_HW) - _log_likelihood(bin_HW, place_HW)
    return (cv2.boxFilter(evidence_HW, -1, (5, 5)) > _STANDS_OUT) & (view.up_HW < 2 * _EYES)


def _disc(px: int) -> np.ndarray:
    return cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (px, px))


def _bins(rgb_HWC: np.ndarray) -> np.ndarray:
    """The number of each pixel's colour in a Lab histogram, intp HW."""
    lab_HWC = cv2.cvtColor(rgb_HWC, cv2.COLOR_RGB2LAB)
    levels = np.arange(256, dtype=np.float32)
    lightness, red, yellow = (
        np.clip((levels - low) * _BINS / (high - low), 0, _BINS - 1).astype(np.intp)
        for low, high in zip(_LAB_LOW, _LAB_HIGH, strict=True)
    )
    return (lightness[lab_HWC[..., 0]] * _BINS + red[lab_HWC[..., 1]]) * _BINS + yellow[lab_HWC[..., 2]]


def _likelihood(bin_HW: np.ndarray, place_HW: np.ndarray) -> np.ndarray:
    """How common each pixel's colour is in `place_HW`."""
    return _histogram(bin_HW, place_HW).ravel()[bin_HW]


def _log_likelihood(bin_HW: np.ndarray, place_HW: np.ndarray) -> np.ndarray:
    """The logarithm of `_likelihood`, a colour that was not seen being rare."""
    return np.log(_histogram(bin_HW, place_HW).ravel() + _RARE)[bin_HW]


def _likeness(bin_HW: np.ndarray, one_HW: np.ndarray, other_HW: np.ndarray) -> float:
    """Bhattacharyya coefficient of the colours of two places: 0 for none in common, 1 for the same."""
    return float(np.sqrt(_histogram(bin_HW, one_HW) * _histogram(bin_HW, other_HW)).sum())


def _histogram(bin_HW: np.ndarray, place_HW: np.ndarray) -> np.ndarray:
    """Smoothed Lab histogram of a place, summing to one."""
    counts = np.bincount(bin_HW[place_HW], minlength=_BINS**3).reshape(_EMPTY.shape).astype(np.float64)
    for axis in range(3):
        padded = np.pad(counts, [(2, 2) if axis == other else (0, 0) for other in range(3)])
        along = np.moveaxis(padded, axis, 0)
        smooth = sum((weight * along[shift : shift + _BINS] for shift, weight in _SMOOTH), _EMPTY)
        counts = np.ascontiguousarray(np.moveaxis(smooth, 0, axis))
    return counts / max(float(counts.sum()), 1e-9)


def _non_hair_models(view: HeadView, bin_HW: np.ndarray, skin_place_HW: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Likelihoods of skin, and of what is not hair: skin above the eyes, skin or clothes below them."""
    skin_HW = _likelihood(bin_HW, skin_place_HW)
    below_HW = view.below_chin_HW
    chest_HW = view.person_HW & (below_HW > 0.9) & (below_HW < 2.3) & (view.from_chin_HW < 0.4)
    if np.count_nonzero(chest_HW) <= _MIN_CHEST_PX:
        return skin_HW, skin_HW
    clothes_HW = _likelihood(bin_HW, chest_HW)
    return skin_HW, np.where(view.up_HW < 0.15, 0.5 * skin_HW + 0.5 * clothes_HW, skin_HW)


def _seeds(view: HeadView, skin_like_HW: np.ndarray) -> np.ndarray:
    crown_HW = (view.up_HW > 0.72) & (view.aside_HW < 0.9)
    temples_HW = (view.up_HW > _EYES) & (view.aside_HW > 0.5) & (view.aside_HW < 0.85)
    return view.person_HW & (crown_HW | temples_HW) & ~view.oval_HW & ~skin_like_HW


def _prior(view: HeadView) -> np.ndarray:
    """Log odds of hair by place alone. Judged by eye on 28 heads, short and long hair."""
    up_HW, aside_HW = view.up_HW, view.aside_HW
    depth_HW, lateral_HW = view.below_chin_HW, view.from_chin_HW
    head_HW = np.where(up_HW > 0.75, 1.5, np.where((up_HW > 0.5) & (aside_HW < 0.4), -0.3, 0.8))
    head_HW = head_HW - 0.5 * (up_HW < _EYES) - 2.0 * np.maximum(aside_HW - 1.1, 0)
    throat_HW = 2.0 * np.clip((0.3 - lateral_HW) / 0.15, 0, 1) * (depth_HW < 1.5)
    hanging_HW = -0.3 - 0.7 * np.maximum(depth_HW - 0.3, 0) - throat_HW - 1.5 * np.maximum(lateral_HW - 1.1, 0)
    below_HW = ((depth_HW > 0) & (up_HW < -0.45)) | (up_HW < -0.5)
    prior_HW = np.where(below_HW, hanging_HW, head_HW)
    return prior_HW - 0.5 * (view.oval_HW & ~view.inner_HW)


def _guided_filter(guide_HW: np.ndarray, soft_HW: np.ndarray, radius: int = 4, eps: float = 1e-3) -> np.ndarray:
    """He et al.'s guided filter: `soft` with the edges of `guide`."""
    window = (2 * radius + 1, 2 * radius + 1)
    mean_guide, mean_soft = cv2.boxFilter(guide_HW, -1, window), cv2.boxFilter(soft_HW, -1, window)
    covariance = cv2.boxFilter(guide_HW * soft_HW, -1, window) - mean_guide * mean_soft
    slope = covariance / (cv2.boxFilter(guide_HW * guide_HW, -1, window) - mean_guide * mean_guide + eps)
    offset = mean_soft - slope * mean_guide
    return cv2.boxFilter(slope, -1, window) * guide_HW + cv2.boxFilter(offset, -1, window)


def _keep_connected(hair_HW: np.ndarray, view: HeadView) -> np.ndarray:
    """Hair that hangs together with the hair around the head by more than a thread, small gaps closed."""
    clean = cv2.morphologyEx(hair_HW.astype(np.uint8), cv2.MORPH_OPEN, np.ones((3, 3), np.uint8))
    head_HW = (view.up_HW > _EYES) & (view.below_chin_HW < 0) & (clean > 0)
    start_HW = head_HW & (view.aside_HW < 1)
    thick_HW = (cv2.erode(clean, np.ones((7, 7), np.uint8)) > 0) | head_HW
    regrown = cv2.dilate(_select_components(thick_HW, start_HW).astype(np.uint8), np.ones((9, 9), np.uint8))
    kept = _select_components((clean > 0) & (regrown > 0), start_HW).astype(np.uint8)
    return cv2.morphologyEx(kept, cv2.MORPH_CLOSE, np.ones((5, 5), np.uint8)) > 0


def _select_components(mask_HW: np.ndarray, seed_HW: np.ndarray) -> np.ndarray:
    """The connected components of `mask` that contain a pixel of `seed`."""
    _, labels_HW = cv2.connectedComponents(mask_HW.astype(np.uint8), connectivity=8)
    kept = np.unique(labels_HW[seed_HW & mask_HW])
    return np.isin(labels_HW, kept[kept > 0])
