"""Pictures for the viewer: thumbnails and tiles of photographs, made once and kept as files; masks as they are now.

`_HW`, `_HWC` pixel grid. Sizes are (width, height). Level 0 of the tiles is the photograph, each further one half as
large.
"""

from __future__ import annotations

import io
import threading
from collections import OrderedDict
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, PngImagePlugin

from ..alpha import uint8_to_weights, weights_to_uint8
from ..corrections.override import read_correction
from ..dataset.files import status_of
from ..dataset.items import DatasetItem
from ..dataset.load import load_picture, load_still, media_size, read_weights, still_of
from ..dataset.turned import check_mask_fits
from ..errors import PathError
from ..files import write_bytes
from ..fingerprints import fingerprint_of
from ..images import image_size, load_mask, load_thumbnail
from ..resample import fit_mask
from ..video.reader import read_frames

THUMBNAIL_PX = 256
TILE_PX = 512
MOST_LEVELS = 8
_QUALITY = 88
_MOST_OPEN = 2  # a photograph of 50 MP is 150 MB
_VERSION = 1
_MASK, _COVERAGE = "mask-", "coverage"
_MOST_MASKS = 32  # of one photograph: those of several settings and people


class Pictures:
    """Those below one folder, for any number of threads."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._open: OrderedDict[str, list[np.ndarray]] = OrderedDict()
        self._lock = threading.Lock()

    def thumbnail(self, item: DatasetItem) -> bytes:
        """JPEG, the longer side 256 px. ImageError and VideoError when the file cannot be read."""
        path = self._folder(item) / "thumbnail.jpg"
        if not path.is_file():
            is_video = item.is_video
            rgb_HWC = _shrunk(load_picture(item)) if is_video else load_thumbnail(item.media_path, THUMBNAIL_PX)
            write_bytes(path, _jpeg(rgb_HWC))
        return path.read_bytes()

    def tile(self, item: DatasetItem, level: int, column: int, row: int, frame: int | None = None) -> bytes:
        """JPEG of at most 512x512, of a video from the frame of that number, which is not kept as a file: a video has
        very many. PathError where there is no such tile; ImageError and VideoError as `thumbnail`."""
        path = self._folder(item) / f"{level}-{column}-{row}.jpg"
        if frame is not None or not path.is_file():
            if not (0 <= level < MOST_LEVELS and column >= 0 and row >= 0):
                raise PathError(f"There is no tile {column},{row} of level {level}; load the page again.")
            level_HWC = self._level(item, level, frame)
            tile_HWC = level_HWC[row * TILE_PX : (row + 1) * TILE_PX, column * TILE_PX : (column + 1) * TILE_PX]
            if 0 in tile_HWC.shape:
                raise PathError(f"There is no tile {column},{row} of level {level}; load the page again.")
            jpeg = _jpeg(tile_HWC)
            if frame is not None:
                return jpeg
            write_bytes(path, jpeg)
        return path.read_bytes()

    def mask_thumbnail(self, item: DatasetItem) -> tuple[bytes, float]:
        """A grey PNG of the mask as training reads it now, as large as the thumbnail, and the mean weight; made once
        for each state of the files. Errors as `mask_of`."""
        path = self._folder(item) / f"{_MASK}{_state_of_mask(item)}.png"
        if not path.is_file():
            write_bytes(path, _draw_mask(mask_of(item)[0]))
            older = sorted(path.parent.glob(f"{_MASK}*.png"), key=lambda each: each.stat().st_mtime_ns)
            for each in older[:-_MOST_MASKS]:
                each.unlink(missing_ok=True)
        png = path.read_bytes()
        with Image.open(io.BytesIO(png)) as image:
            return png, float(getattr(image, "text", {})[_COVERAGE])

    def at_most(self, item: DatasetItem, side_px: int, frame: int | None = None) -> tuple[np.ndarray, float]:
        """rgb_HWC uint8 of the whole photograph, or of a video's frame, at the finest level whose longer side has no
        more pixels than that, and its scale. Errors as `thumbnail`."""
        whole_HWC = self._level(item, 0, frame)
        level = 0
        while max(whole_HWC.shape[:2]) > side_px << level:
            level += 1
        level_HWC = self._level(item, level, frame)
        return level_HWC, level_HWC.shape[1] / whole_HWC.shape[1]

    def _level(self, item: DatasetItem, level: int, frame: int | None = None) -> np.ndarray:
        key = f"{self._folder(item)} {frame}"
        with self._lock:
            levels = self._open.get(key)
            if levels is None:
                levels = [_picture(item, frame)]
            self._open[key] = levels
            self._open.move_to_end(key)
            while len(self._open) > _MOST_OPEN:
                self._open.popitem(last=False)
            while len(levels) <= level:
                height, width = levels[-1].shape[:2]
                half = (max(1, (width + 1) // 2), max(1, (height + 1) // 2))
                levels.append(cv2.resize(levels[-1], half, interpolation=cv2.INTER_AREA))
            return levels[level]

    def _folder(self, item: DatasetItem) -> Path:
        try:
            status = status_of(item.media_path)
        except OSError as error:
            raise PathError(f"{item.media_path} cannot be read ({error.strerror}); run the workflow again.") from error
        return self._directory / fingerprint_of(_VERSION, item.media_path.absolute(), *status)[:32]


def mask_of(item: DatasetItem, frame: int | None = None) -> tuple[np.ndarray, bool]:
    """mask_HW uint8 of the item as training would read it, at the upright photograph's size, of a video of that frame
    or the one that stands for it, and whether there is one: all is 255 where there is none. ImageError and VideoError
    when a file cannot be read."""
    alone_HW = _mask_alone(item)
    if alone_HW is not None:
        return alone_HW, True
    bare = replace(item, settings=replace(item.settings, require_mask=False))
    if item.is_video:
        number = still_of(bare)[0] if frame is None else frame
        for _, weights_HW in read_weights(replace(bare, crop=None), [number]):
            return weights_to_uint8(weights_HW), True
        return np.full(media_size(bare)[::-1], 255, np.uint8), False
    loaded = load_still(bare)
    return weights_to_uint8(loaded.full_weights_HW), loaded.weights_HW is not None


def _mask_alone(item: DatasetItem) -> np.ndarray | None:
    """mask_HW uint8 of `mask_of`, where it is a file's and the photograph need not be read for it; else None."""
    if item.is_video or item.settings.alpha_mask or item.mask_path is None or item.crop is not None:
        return None
    size = image_size(item.media_path)
    mask_HW = load_mask(item.mask_path, item.mask_meaning)
    check_mask_fits(item, size, (mask_HW.shape[1], mask_HW.shape[0]))
    if mask_HW.shape != size[::-1]:
        mask_HW = weights_to_uint8(fit_mask(uint8_to_weights(mask_HW), size, size))
    return mask_HW if item.correction_path is None else read_correction(item.correction_path).apply(mask_HW)


def _picture(item: DatasetItem, frame: int | None) -> np.ndarray:
    if frame is None:
        return load_picture(replace(item, crop=None))
    ((_, rgb_HWC),) = read_frames(item.media_path, [frame])
    return rgb_HWC


def _state_of_mask(item: DatasetItem) -> str:
    """What tells the mask of now from that of another time."""
    files = [
        (path.absolute(), *status_of(path)) if path is not None and path.exists() else path
        for path in (item.mask_path, item.correction_path)
    ]
    return fingerprint_of(item.settings.alpha_mask, item.mask_meaning, *files)[:16]


def _draw_mask(mask_HW: np.ndarray) -> bytes:
    stream, note = io.BytesIO(), PngImagePlugin.PngInfo()
    note.add_text(_COVERAGE, f"{float(mask_HW.mean(dtype=np.float64)) / 255:.9f}")
    small_HW = _shrunk(mask_HW, cv2.INTER_NEAREST)
    Image.fromarray(small_HW).save(stream, "PNG", compress_level=1, pnginfo=note)
    return stream.getvalue()


def _shrunk(pixels: np.ndarray, how: int = cv2.INTER_AREA) -> np.ndarray:
    scale = THUMBNAIL_PX / max(pixels.shape[:2])
    if scale >= 1:
        return pixels
    size = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
    return cv2.resize(pixels, size, interpolation=how)


def _jpeg(rgb_HWC: np.ndarray) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(np.ascontiguousarray(rgb_HWC)).save(stream, "JPEG", quality=_QUALITY)
    return stream.getvalue()
