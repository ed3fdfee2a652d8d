"""Weights in the alpha channel of an image: alpha = weight, 255 counts fully.

(ComfyUI's own MASK of a loaded picture is 1 − alpha; trainers read alpha as the weight, and so do we.)
H, W pixel grid, C channels.
"""

from __future__ import annotations

import numpy as np

from .errors import ImageError


def merge_alpha(rgb_HWC: np.ndarray, weights_HW: np.ndarray) -> np.ndarray:
    """RGBA uint8 whose alpha is round(255·weight); the colour is kept bit for bit, also where the weight is 0.

    `rgb_HWC` uint8 RGB, `weights_HW` float in [0, 1] or uint8 0–255 of the same size. ImageError otherwise.
    """
    if rgb_HWC.dtype != np.uint8 or rgb_HWC.ndim != 3 or rgb_HWC.shape[2] != 3:
        raise ImageError(f"expected RGB uint8 of shape (H, W, 3); found {rgb_HWC.dtype} {rgb_HWC.shape}")
    if weights_HW.shape != rgb_HWC.shape[:2]:
        raise ImageError(
            f"image and mask must be the same size; found {_size(rgb_HWC)} and {_size(weights_HW)}: "
            "resize the mask to the image first"
        )
    return np.dstack([rgb_HWC, weights_to_uint8(weights_HW)])


def split_alpha(rgba_HWC: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
    """(rgb_HWC uint8, weights_HW float32 in [0, 1]); the weights are None when there is no alpha or it is all opaque.

    Nothing may be resized before the split: resizing RGBA turns the colour under alpha 0 black.
    """
    if rgba_HWC.dtype != np.uint8 or rgba_HWC.ndim != 3 or rgba_HWC.shape[2] not in (3, 4):
        raise ImageError(f"expected RGB or RGBA uint8 of shape (H, W, 3 or 4); found {rgba_HWC.dtype} {rgba_HWC.shape}")
    rgb_HWC = np.ascontiguousarray(rgba_HWC[..., :3])
    if rgba_HWC.shape[2] == 3 or bool((rgba_HWC[..., 3] == 255).all()):
        return rgb_HWC, None
    return rgb_HWC, uint8_to_weights(rgba_HWC[..., 3])


def weights_to_uint8(weights_HW: np.ndarray) -> np.ndarray:
    """Weights in [0, 1] to 0–255, rounded; uint8 passes through. ImageError outside the range."""
    if weights_HW.dtype == np.uint8:
        return weights_HW
    if weights_HW.size and not (weights_HW.min() >= 0 and weights_HW.max() <= 1):
        raise ImageError(f"weights must be in [0, 1]; found {weights_HW.min()} to {weights_HW.max()}")
    scaled_HW = np.multiply(weights_HW, 255, dtype=np.float64)
    return np.rint(scaled_HW, out=scaled_HW).astype(np.uint8)


def uint8_to_weights(mask_HW: np.ndarray) -> np.ndarray:
    """A mask of 0–255 to weights_HW float32, exactly value / 255."""
    return mask_HW.astype(np.float32) / np.float32(255)


def _size(array_HW: np.ndarray) -> str:
    return f"{array_HW.shape[1]}x{array_HW.shape[0]}"
