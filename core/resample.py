"""Image → bucket → latent grid, one geometric transform for an image and its mask.

Sizes are (width, height). H, W pixel grid; h, w latent grid; B batch; T frames.
The transform is musubi-tuner's, so that caches agree: scale = max(bw/w, bh/h), size = int(x·scale + 0.5), centre crop.
"""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
import torch
from PIL import Image

from .errors import ImageError

Size = tuple[int, int]

ASPECT_TOLERANCE_PERCENT = 1


def check_same_aspect(name: str, image_size: Size, mask_size: Size) -> None:
    """ImageError when the aspect ratios differ by more than 1 % (relative): the mask belongs to another picture."""
    if not is_same_aspect(image_size, mask_size):
        one, other = mask_size[0] * image_size[1], mask_size[1] * image_size[0]
        difference = abs(one - other) / min(one, other)
        raise ImageError(
            f"the mask of {name} is {mask_size[0]}x{mask_size[1]} and its image {image_size[0]}x{image_size[1]}: "
            f"their aspect ratios differ by {difference:.1%}, more than 1 %; make the mask from this very image"
        )


def is_same_aspect(image_size: Size, other_size: Size) -> bool:
    """Whether the aspect ratios differ by no more than 1 % (relative)."""
    # In whole numbers, so that a difference of exactly 1 % is never refused for its rounding.
    one, other = other_size[0] * image_size[1], other_size[1] * image_size[0]
    return abs(one - other) * 100 <= min(one, other) * ASPECT_TOLERANCE_PERCENT


def shrink_then_enlarge(array: np.ndarray, size: Size, enlarge: int = cv2.INTER_LINEAR) -> np.ndarray:
    """The array at `size` (width, height), each side on its own: one that shrinks is averaged, then one that grows is
    interpolated as `enlarge` says.

    array: (H, W) or (H, W, C), uint8, uint16 or float32, any range; the dtype is kept, and the same array comes back
    when it has that size already. enlarge: an interpolation of OpenCV that is meant for growing (INTER_LINEAR,
    INTER_NEAREST_EXACT for masks whose levels must stay, …). The mean along a side that shrinks is kept (uint8 and
    uint16 to rounding), and along one that grows by a whole factor too.

    One call of cv2.resize does not do this: its INTER_AREA averages only where neither side grows, and otherwise
    samples both; all its other interpolations sample always.
    """
    height, width = array.shape[:2]
    smaller = (min(size[0], width), min(size[1], height))
    if smaller != (width, height):
        array = cv2.resize(array, smaller, interpolation=cv2.INTER_AREA)
    return array if smaller == size else cv2.resize(array, size, interpolation=enlarge)


def limit_size(rgb_HWC: np.ndarray, longest_px: int) -> tuple[np.ndarray, float]:
    """The picture with its longer side at most longest_px, and its scale: 1 for one that is no larger already."""
    height, width = rgb_HWC.shape[:2]
    scale = min(1.0, longest_px / max(height, width))
    if scale == 1.0:
        return rgb_HWC, 1.0
    return shrink_then_enlarge(rgb_HWC, (max(1, round(width * scale)), max(1, round(height * scale)))), scale


def fit_image(image_HWC: np.ndarray, bucket_size: Size) -> np.ndarray:
    """Scale and centre-crop an RGB uint8 image to the bucket: OpenCV's area when shrinking, Pillow's Lanczos when
    enlarging, as musubi-tuner does."""
    if image_HWC.ndim != 3 or image_HWC.shape[2] != 3:
        raise ImageError(f"expected RGB of shape (H, W, 3), alpha split off; found {image_HWC.shape}")
    size = image_HWC.shape[1], image_HWC.shape[0]
    scaled = _scaled_size(size, bucket_size)
    if _scale(size, bucket_size) > 1:
        enlarged = Image.fromarray(np.ascontiguousarray(image_HWC)).resize(scaled, Image.Resampling.LANCZOS)
        return _crop(np.asarray(enlarged), bucket_size)
    return _crop(shrink_then_enlarge(image_HWC, scaled), bucket_size)


def fit_mask(mask_HW: np.ndarray, image_size: Size, bucket_size: Size, keep_mean: bool = False) -> np.ndarray:
    """Give a mask the transform that `fit_image` gives its image: area when shrinking, nearest when enlarging.

    `mask_HW` uint8 or float32, of the image's size or another of the same aspect; the dtype is kept. Nearest keeps the
    levels of the mask; with `keep_mean`, of float32, a pixel has the mean of what it covers where a side grows as well,
    so that the mean is kept for every size, and a pixel on an edge has a value in between.
    ImageError when the aspect differs by more than 1 %.
    """
    check_same_aspect("this item", image_size, (mask_HW.shape[1], mask_HW.shape[0]))
    scaled = _scaled_size(image_size, bucket_size)
    if keep_mean:
        mask_HW = shrink_then_enlarge(mask_HW, (min(mask_HW.shape[1], scaled[0]), min(mask_HW.shape[0], scaled[1])))
        return _crop(_enlarge_by_area(mask_HW, scaled), bucket_size)
    # Nearest, because interpolating along an axis that grows would blur the tiers.
    return _crop(shrink_then_enlarge(mask_HW, scaled, cv2.INTER_NEAREST_EXACT), bucket_size)


def to_latent_grid(
    weights_B1THW: torch.Tensor, size_hw: tuple[int, int], groups: Sequence[int] | None = None
) -> torch.Tensor:
    """Weights of the pixel grid to the latent grid: the mean over the area that each cell covers.

    (B,1,T,H,W) → (B,1,t,h,w) float32. The mean is conserved for every size. In time each latent frame is the mean over
    as many frames as `groups` says, whose sum must be T; by default over one.
    """
    if weights_B1THW.ndim != 5 or weights_B1THW.shape[1] != 1:
        raise ImageError(f"weights must have shape (B, 1, T, H, W); found {tuple(weights_B1THW.shape)}")
    frames = weights_B1THW.shape[2]
    groups = [1] * frames if groups is None else list(groups)
    if sum(groups) != frames:
        raise ImageError(f"{frames} frames do not fit latent frames of {groups} frames, which are {sum(groups)}")
    weights = weights_B1THW.float()
    rows_hH = _area_matrix(weights.shape[3], size_hw[0]).to(weights.device)
    columns_wW = _area_matrix(weights.shape[4], size_hw[1]).to(weights.device)
    weights = (rows_hH @ weights @ columns_wW.T).clamp(0.0, 1.0)
    if len(groups) == frames:
        return weights
    return torch.cat([part.mean(dim=2, keepdim=True) for part in weights.split(groups, dim=2)], dim=2)


def _area_matrix(length: int, cells: int) -> torch.Tensor:
    """(cells, length): the weight of each pixel in each cell's mean. F.interpolate's `area` overlaps its windows on
    sizes that do not divide, and so does not conserve the mean; this does."""
    edges = torch.arange(cells + 1, dtype=torch.float64) * (length / cells)
    pixels = torch.arange(length, dtype=torch.float64)
    overlap = torch.minimum(edges[1:, None], pixels + 1) - torch.maximum(edges[:-1, None], pixels)
    return (overlap.clamp(min=0) * (cells / length)).float()


def _enlarge_by_area(array_HW: np.ndarray, size: Size) -> np.ndarray:
    """float32 at `size`, which is nowhere smaller: each pixel is the mean of the area that it covers."""
    height, width = array_HW.shape
    if size[1] > height:
        array_HW = _area_matrix(height, size[1]).numpy() @ array_HW
    if size[0] > width:
        array_HW = array_HW @ _area_matrix(width, size[0]).numpy().T
    return array_HW.clip(0, 1)


def _scale(image_size: Size, bucket_size: Size) -> float:
    return max(bucket_size[0] / image_size[0], bucket_size[1] / image_size[1])


def _scaled_size(image_size: Size, bucket_size: Size) -> Size:
    scale = _scale(image_size, bucket_size)
    return int(image_size[0] * scale + 0.5), int(image_size[1] * scale + 0.5)


def _crop(array: np.ndarray, size: Size) -> np.ndarray:
    left, top = (array.shape[1] - size[0]) // 2, (array.shape[0] - size[1]) // 2
    return np.ascontiguousarray(array[top : top + size[1], left : left + size[0]])
