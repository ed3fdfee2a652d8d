"""Reading one item: its pixels, and its weights by the mask policy.

Photographs: alpha → file → none. An all-opaque alpha yields to a mask file; where there is none, it counts as full
weight from alpha. Videos: file → none, their alpha is not used. Over each lies what was corrected by hand. `_HW`,
`_HWC`, `_THWC` pixel grid. Sizes are (width, height).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from ..alpha import uint8_to_weights
from ..corrections.override import read_correction
from ..errors import MaskMissingError
from ..images import has_alpha, image_size, load_image, load_mask
from ..mask_meaning import MaskMeaning
from ..resample import Size, fit_image, fit_mask
from ..video.clips import Clip, clips_of
from ..video.masks import check_mask_frames, read_mask_frames
from ..video.reader import probe, read_frames
from .crop import Rectangle
from .frame_weights import read_frame_weights
from .items import DatasetItem, MaskOrigin
from .turned import check_mask_fits


@dataclass(frozen=True, eq=False)
class LoadedItem:
    """rgb_HWC: uint8. weights_HW: float32 in [0, 1] of the same size, or None where the item has no mask.
    `unused_alpha`: the file has an alpha that hides something, and `alpha_mask` is off."""

    rgb_HWC: np.ndarray
    weights_HW: np.ndarray | None
    origin: MaskOrigin
    unused_alpha: bool = False

    @property
    def size(self) -> tuple[int, int]:
        """(width, height)."""
        return self.rgb_HWC.shape[1], self.rgb_HWC.shape[0]

    @property
    def full_weights_HW(self) -> np.ndarray:
        """The weights, all 1 where there is no mask; float32."""
        return np.ones(self.rgb_HWC.shape[:2], np.float32) if self.weights_HW is None else self.weights_HW


@dataclass(frozen=True, eq=False)
class LoadedClip:
    """rgb_THWC: uint8 at the bucket's size. weights_THW: float32 in [0, 1] alike, or None where there is no mask."""

    rgb_THWC: np.ndarray
    weights_THW: np.ndarray | None
    origin: MaskOrigin


def load_item(item: DatasetItem) -> LoadedItem:
    """Read a photograph upright, with its weights at its size.

    ImageError when a file cannot be read or the mask's aspect differs by more than 1 %; MaskMissingError when the item
    requires a mask and has none.
    """
    read = _read_photograph(item, None)
    if read.weights_HW is None or read.weights_HW.shape == read.rgb_HWC.shape[:2]:
        return read
    return replace(read, weights_HW=fit_mask(read.weights_HW, read.size, read.size))


def load_fitted(item: DatasetItem, bucket: Size) -> LoadedClip:
    """Read a photograph, brought to the bucket with its weights, as a clip of one frame. Errors as `load_item`.

    A mask of another size than the photograph's is resampled once, from the pixels of its file, and its mean is kept. A
    very large JPEG is decoded smaller.
    """
    read = _read_photograph(item, bucket)
    rgb_THWC = fit_image(read.rgb_HWC, bucket)[None]
    if read.weights_HW is None:
        return LoadedClip(rgb_THWC, None, read.origin)
    other_size = read.weights_HW.shape != read.rgb_HWC.shape[:2]
    weights_HW = fit_mask(read.weights_HW, read.size, bucket, keep_mean=other_size)
    return LoadedClip(rgb_THWC, weights_HW[None], read.origin)


def _read_photograph(item: DatasetItem, least: Size | None) -> LoadedItem:
    """As `load_item`, but weights from a file have the file's size. With `least`, which the photograph is shrunk to
    afterwards, a very large JPEG is decoded smaller. A crop is cut out, with its weights at its own size."""
    rectangle = item.rectangle()
    read = _read_whole(item, least if rectangle is None else None)
    if rectangle is None:
        return read
    rectangle.check_inside(item.name, read.size)
    weights_HW = read.weights_HW
    if weights_HW is not None:
        if weights_HW.shape != read.rgb_HWC.shape[:2]:
            weights_HW = fit_mask(weights_HW, read.size, read.size, keep_mean=True)
        weights_HW = rectangle.cut(weights_HW)
    return replace(read, rgb_HWC=rectangle.cut(read.rgb_HWC), weights_HW=weights_HW)


def _read_whole(item: DatasetItem, least: Size | None) -> LoadedItem:
    read = _read_uncorrected(item, least)
    if item.correction_path is None:
        return read
    correction = read_correction(item.correction_path)
    if read.weights_HW is None:
        weights_HW = np.ones(correction.size[::-1], np.float32)
    else:
        weights_HW = fit_mask(read.weights_HW, correction.size, correction.size)
    origin = MaskOrigin.FILE if read.origin is MaskOrigin.NONE else read.origin
    return replace(read, weights_HW=correction.apply(weights_HW), origin=origin)


def _read_uncorrected(item: DatasetItem, least: Size | None) -> LoadedItem:
    rgb_HWC, alpha_HW = load_image(item.media_path, least)
    opaque = alpha_HW is not None and bool((alpha_HW == 255).all())
    unused_alpha = alpha_HW is not None and not opaque and not item.settings.alpha_mask
    alpha_HW = alpha_HW if item.settings.alpha_mask else None
    if alpha_HW is not None and not (opaque and item.mask_path is not None):
        return LoadedItem(rgb_HWC, uint8_to_weights(alpha_HW), MaskOrigin.ALPHA)
    if item.mask_path is not None:
        image_size = rgb_HWC.shape[1], rgb_HWC.shape[0]
        weights_HW = uint8_to_weights(load_mask(item.mask_path, item.mask_meaning))
        check_mask_fits(item, image_size, (weights_HW.shape[1], weights_HW.shape[0]))
        return LoadedItem(rgb_HWC, weights_HW, MaskOrigin.FILE, unused_alpha)
    if item.settings.require_mask and not _is_painted_everywhere(item):
        raise _mask_missing(item)
    return LoadedItem(rgb_HWC, None, MaskOrigin.NONE, unused_alpha)


def _is_painted_everywhere(item: DatasetItem) -> bool:
    """Whether a correction leaves nothing of a mask to be seen, so that none is missing."""
    if item.correction_path is None or item.is_video:
        return False
    return bool(read_correction(item.correction_path).painted_HW.all())


def load_clip(item: DatasetItem, clip: Clip, bucket: Size) -> LoadedClip:
    """Read a clip of a video, each frame brought to the bucket as it comes, with its weights.

    VideoError and ImageError when a file cannot be read or does not fit; MaskMissingError as `load_item`.
    """
    places = np.asarray(clip.frames)
    rectangle = item.rectangle(clip)
    rgb_THWC = np.empty((len(clip.frames), bucket[1], bucket[0], 3), np.uint8)
    for number, rgb_HWC in read_frames(item.media_path, clip.frames):
        rgb_THWC[places == number] = fit_image(_cut(item, rectangle, rgb_HWC), bucket)
    weights_THW = load_clip_weights(item, clip, bucket)
    return LoadedClip(rgb_THWC, weights_THW, expected_origin(item))


def load_clip_weights(item: DatasetItem, clip: Clip, bucket: Size) -> np.ndarray | None:
    """The weights of `load_clip` alone, without decoding the video."""
    places = np.asarray(clip.frames)
    weights_THW: np.ndarray | None = None
    for number, weights_HW in read_weights(item, clip.frames, bucket, item.rectangle(clip)):
        weights_THW = np.empty((len(places), bucket[1], bucket[0]), np.float32) if weights_THW is None else weights_THW
        weights_THW[places == number] = weights_HW
    return weights_THW


def read_weights(
    item: DatasetItem, frames: Sequence[int], size: Size | None = None, rectangle: Rectangle | None = None
) -> Iterator[tuple[int, np.ndarray]]:
    """Yield (frame number, weights_HW float32 in [0, 1]) of a video's `frames`, of all of them or of a `rectangle` in
    them, brought to `size` as a bucket or at their own; nothing where it has no mask and none is corrected. Errors as
    `load_clip`."""
    if item.mask_path is None and item.settings.require_mask:
        raise _mask_missing(item)
    info = probe(item.media_path)
    own = info.size if rectangle is None else rectangle.size
    for number, weights_HW in read_frame_weights(item, frames):
        if rectangle is not None:
            weights_HW = _cut(item, rectangle, fit_mask(weights_HW, info.size, info.size))
        yield number, fit_mask(weights_HW, own, size or own)


def load_frame(item: DatasetItem, number: int, rectangle: Rectangle | None = None) -> LoadedItem:
    """One frame of a video upright, or a `rectangle` in it, with its weights. Errors as `load_clip`."""
    ((_, rgb_HWC),) = read_frames(item.media_path, [number])
    rgb_HWC = _cut(item, rectangle, rgb_HWC)
    weights = [weights_HW for _, weights_HW in read_weights(item, [number], None, rectangle)]
    return LoadedItem(rgb_HWC, weights[0], MaskOrigin.FILE) if weights else LoadedItem(rgb_HWC, None, MaskOrigin.NONE)


def load_picture(item: DatasetItem) -> np.ndarray:
    """The pixels of `load_still`, rgb_HWC uint8. ImageError when the file cannot be read."""
    if not item.is_video:
        return _cut(item, item.rectangle(), load_image(item.media_path)[0])
    number, rectangle = still_of(item)
    ((_, rgb_HWC),) = read_frames(item.media_path, [number])
    return _cut(item, rectangle, rgb_HWC)


def load_still_mask(item: DatasetItem, path: Path, meaning: MaskMeaning) -> np.ndarray:
    """Of any mask of the item, what belongs to `load_still`: mask_HW uint8. ImageError when it cannot be read."""
    number, rectangle = still_of(item) if item.is_video else (0, item.rectangle())
    if item.is_video:
        ((_, mask_HW),) = read_mask_frames(path, probe(item.media_path), [number], meaning, item.tier_values)
    else:
        mask_HW = load_mask(path, meaning)
    if rectangle is None:
        return mask_HW
    size = media_size(item)
    return _cut(item, rectangle, fit_mask(mask_HW, size, size))


def load_still(item: DatasetItem) -> LoadedItem:
    """A photograph, or a video's middle frame: something to look at. Errors as `load_item` and `load_clip`."""
    return load_frame(item, *still_of(item)) if item.is_video else load_item(item)


def still_of(item: DatasetItem) -> tuple[int, Rectangle | None]:
    """Which frame of a video stands for it, and what of that: the middle one, of a crop that of its longest clip."""
    info = probe(item.media_path)
    clips = [(clip, cut) for clip in clips_of(info.times, item.settings.video) if (cut := item.rectangle(clip))]
    if not clips:
        return info.frames // 2, None
    clip, rectangle = max(clips, key=lambda each: len(each[0].frames))
    return clip.frames[len(clip.frames) // 2], rectangle


def _cut(item: DatasetItem, rectangle: Rectangle | None, array: np.ndarray) -> np.ndarray:
    """What of a picture or a mask (H, W, …) the item is."""
    if rectangle is None:
        return array
    rectangle.check_inside(item.name, (array.shape[1], array.shape[0]))
    return rectangle.cut(array)


def frames_at_target_rate(item: DatasetItem) -> tuple[int, ...]:
    """Numbers of the frames that show a video at its `target_fps`. VideoError when it cannot be read."""
    return item.settings.video.frames_of(probe(item.media_path).times)


def media_size(item: DatasetItem) -> Size:
    """(width, height) upright, by the headers. ImageError when the file cannot be read."""
    return probe(item.media_path).size if item.is_video else image_size(item.media_path)


def checked_size(item: DatasetItem, size: Size | None = None) -> Size:
    """(width, height) upright, by the headers; `size` where the item's own is known. ImageError when a file cannot be
    read or the mask file is of another aspect, VideoError when it is of another number of frames."""
    size = media_size(item) if size is None else size
    if item.mask_path is not None:
        by_frame = item.is_video
        mask_size = (
            check_mask_frames(item.mask_path, probe(item.media_path)) if by_frame else image_size(item.mask_path)
        )
        check_mask_fits(item, size, mask_size)
    return size


def expected_origin(item: DatasetItem) -> MaskOrigin:
    """Where the weights will come from, by the headers alone; an alpha that turns out to be opaque yields to a file."""
    if item.settings.alpha_mask and not item.is_video and has_alpha(item.media_path):
        return MaskOrigin.ALPHA
    return MaskOrigin.NONE if item.mask_path is None and item.correction_path is None else MaskOrigin.FILE


def uses_mask_file(item: DatasetItem) -> bool:
    """Whether the item's weights come from its mask file, which an alpha with a shape goes before. Pixels are read only
    where both are there. ImageError when the photograph cannot be read."""
    if item.mask_path is None or expected_origin(item) is MaskOrigin.FILE:
        return item.mask_path is not None
    alpha_HW = load_image(item.media_path)[1]
    return alpha_HW is not None and bool((alpha_HW == 255).all())


def has_unused_alpha(item: DatasetItem) -> bool:
    """Whether a photograph has an alpha that hides something while `alpha_mask` is off, so that what it hides is
    trained on. Pixels are read only where the header names an alpha. ImageError when the file cannot be read."""
    if item.is_video or item.settings.alpha_mask or not has_alpha(item.media_path):
        return False
    alpha_HW = load_image(item.media_path)[1]
    return alpha_HW is not None and not bool((alpha_HW == 255).all())


def check_required(item: DatasetItem) -> None:
    """MaskMissingError when the item requires a mask and has no source of one; reads the header at most."""
    bare = expected_origin(replace(item, correction_path=None)) is MaskOrigin.NONE
    if item.settings.require_mask and bare and not _is_painted_everywhere(item):
        raise _mask_missing(item)


def _mask_missing(item: DatasetItem) -> MaskMissingError:
    hint = "; it has alpha, not used because alpha_mask is off" if has_unused_alpha(item) else ""
    return MaskMissingError(
        f"require_mask=true but no mask found for {item.name} (no alpha channel + no matching file in mask_directory)"
        f"{hint}"
    )
