"""Which size a photograph is trained at. Sizes are (width, height) in px.

The algorithm is musubi-tuner's, so that caches agree with its: every bucket has about the area of the resolution, its
sides are multiples of the step, and the one nearest in aspect (width / height) is taken.
"""

from __future__ import annotations

import math
from functools import lru_cache

from ..errors import SettingError
from .items import LoadSettings

Size = tuple[int, int]


def bucket_for(image_size: Size, settings: LoadSettings) -> Size:
    """The bucket of an image of this size.

    Without buckets it is the resolution itself. With `bucket_no_upscale` an image of no more than the resolution's area
    keeps its own size, rounded down to the step. SettingError when the bounds leave no bucket.
    """
    if not settings.enable_bucket:
        return settings.resolution
    width, height = image_size
    step = settings.bucket_step
    if settings.bucket_no_upscale and width * height <= settings.resolution[0] * settings.resolution[1]:
        return max(_floor_to(width, step), step), max(_floor_to(height, step), step)
    aspect = width / height
    # min() takes the first of equals, as argmin does over the same sorted list.
    return min(bucket_sizes(settings), key=lambda size: abs(size[0] / size[1] - aspect))


@lru_cache(maxsize=64)
def bucket_sizes(settings: LoadSettings) -> tuple[Size, ...]:
    """Every bucket of these settings, sorted. SettingError when `min_bucket` and `max_bucket` leave none."""
    step = settings.bucket_step
    area = settings.resolution[0] * settings.resolution[1]
    side = math.isqrt(area)
    sizes: set[Size] = set()
    for width in range(max(_floor_to(side // 2, step), step), side + step, step):
        height = _floor_to(area // width, step)
        if height:
            sizes.update({(width, height), (height, width)})
    largest = settings.max_bucket or max(max(size) for size in sizes)
    kept = tuple(sorted(size for size in sizes if settings.min_bucket <= min(size) and max(size) <= largest))
    if not kept:
        raise SettingError(
            f"No bucket of {settings.resolution[0]}x{settings.resolution[1]} has sides from {settings.min_bucket} to "
            f"{largest} px; widen min_bucket and max_bucket."
        )
    return kept


def _floor_to(length: int, step: int) -> int:
    return length // step * step
