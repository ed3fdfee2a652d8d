"""Reading one item: its pixels, and its weights by the mask policy.

alpha → file → none. An all-opaque alpha yields to a mask file; where there is none, it counts as full weight from
alpha. `_HW`, `_HWC` pixel grid. Sizes are (width, height).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..alpha import uint8_to_weights
from ..errors import MaskMissingError
from ..images import has_alpha, load_image, load_mask
from ..resample import check_same_aspect, fit_mask
from .items import DatasetItem, MaskOrigin


@dataclass(frozen=True, eq=False)
class LoadedItem:
    """rgb_HWC: uint8. weights_HW: float32 in [0, 1] of the same size, or None where the item has no mask."""

    rgb_HWC: np.ndarray
    weights_HW: np.ndarray | None
    origin: MaskOrigin

    @property
    def size(self) -> tuple[int, int]:
        """(width, height)."""
        return self.rgb_HWC.shape[1], self.rgb_HWC.shape[0]

    @property
    def full_weights_HW(self) -> np.ndarray:
        """The weights, all 1 where there is no mask; float32."""
        return np.ones(self.rgb_HWC.shape[:2], np.float32) if self.weights_HW is None else self.weights_HW


def load_item(item: DatasetItem) -> LoadedItem:
    """Read a photograph upright, with its weights.

    ImageError when a file cannot be read or the mask's aspect differs by more than 1 %; MaskMissingError when the item
    requires a mask and has none.
    """
    rgb_HWC, alpha_HW = load_image(item.media_path)
    alpha_HW = alpha_HW if item.settings.alpha_mask else None
    opaque = alpha_HW is not None and bool((alpha_HW == 255).all())
    if alpha_HW is not None and not (opaque and item.mask_path is not None):
        return LoadedItem(rgb_HWC, uint8_to_weights(alpha_HW), MaskOrigin.ALPHA)
    if item.mask_path is not None:
        image_size = rgb_HWC.shape[1], rgb_HWC.shape[0]
        weights_HW = uint8_to_weights(load_mask(item.mask_path))
        check_same_aspect(item.name, image_size, (weights_HW.shape[1], weights_HW.shape[0]))
        return LoadedItem(rgb_HWC, fit_mask(weights_HW, image_size, image_size), MaskOrigin.FILE)
    if item.settings.require_mask:
        raise _mask_missing(item)
    return LoadedItem(rgb_HWC, None, MaskOrigin.NONE)


def expected_origin(item: DatasetItem) -> MaskOrigin:
    """Where the weights will come from, by the headers alone; an alpha that turns out to be opaque yields to a file."""
    if item.settings.alpha_mask and has_alpha(item.media_path):
        return MaskOrigin.ALPHA
    return MaskOrigin.NONE if item.mask_path is None else MaskOrigin.FILE


def check_required(item: DatasetItem) -> None:
    """MaskMissingError when the item requires a mask and has no source of one; reads the header at most."""
    if item.settings.require_mask and expected_origin(item) is MaskOrigin.NONE:
        raise _mask_missing(item)


def _mask_missing(item: DatasetItem) -> MaskMissingError:
    return MaskMissingError(
        f"require_mask=true but no mask found for {item.name} (no alpha channel + no matching file in mask_directory)"
    )
