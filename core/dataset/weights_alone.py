"""A photograph's weights without its pixels: where only a mask or its correction changed, nothing is decoded for it.

`_HW`, `_THW` pixel grid; sizes are (width, height).
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ..alpha import uint8_to_weights
from ..corrections.override import read_correction
from ..images import LARGE_PX, image_size, load_mask
from ..resample import Size, fit_mask
from .items import DatasetItem, MaskOrigin
from .load import check_required, expected_origin, load_fitted
from .turned import check_mask_fits


def load_fitted_weights(item: DatasetItem, bucket: Size) -> tuple[np.ndarray | None, MaskOrigin]:
    """The weights of `load_fitted` and where they come from. The photograph is decoded only where they are in its
    alpha, or where it is so large that it is decoded smaller. Errors as `load_fitted`, but a damaged photograph is not
    noticed."""
    size = image_size(item.media_path)
    in_alpha = expected_origin(replace(item, correction_path=None)) is MaskOrigin.ALPHA
    if in_alpha or size[0] * size[1] > LARGE_PX:
        loaded = load_fitted(item, bucket)
        return loaded.weights_THW, loaded.origin
    check_required(item)
    weights_HW = _read_weights(item, size)
    if weights_HW is None:
        return None, MaskOrigin.NONE
    rectangle, own = item.rectangle(), size
    if rectangle is not None:
        rectangle.check_inside(item.name, size)
        if weights_HW.shape != size[::-1]:
            weights_HW = fit_mask(weights_HW, size, size, keep_mean=True)
        weights_HW, own = rectangle.cut(weights_HW), rectangle.size
    weights_HW = fit_mask(weights_HW, own, bucket, keep_mean=weights_HW.shape != own[::-1])
    return weights_HW[None], MaskOrigin.FILE


def _read_weights(item: DatasetItem, size: Size) -> np.ndarray | None:
    """At the size of the mask's file, or of the photograph where they are corrected; None where there are none."""
    correction = None if item.correction_path is None else read_correction(item.correction_path)
    mask_HW: np.ndarray | None = None
    if item.mask_path is not None:
        mask_HW = load_mask(item.mask_path, item.mask_meaning)
        check_mask_fits(item, size, (mask_HW.shape[1], mask_HW.shape[0]))
    elif correction is not None:
        mask_HW = np.full(correction.size[::-1], 255, np.uint8)
    if mask_HW is None or correction is None:
        return None if mask_HW is None else uint8_to_weights(mask_HW)
    if mask_HW.shape == correction.values_HW.shape:
        return uint8_to_weights(correction.apply(mask_HW))  # a byte for each pixel, and not four, twice
    return correction.apply(fit_mask(uint8_to_weights(mask_HW), correction.size, correction.size))
