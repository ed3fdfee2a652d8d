"""Image files in and out: every file is read upright, as 8-bit RGB, with its alpha kept apart.

H, W pixel grid, C channels. EXIF orientation is applied once, here, and nowhere else. 16-bit, palette, grey, CMYK
and animated files (first frame) are brought to 8-bit RGB without touching the colour under a transparent pixel.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile

from .errors import ImageError
from .files import written_whole

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".gif", ".avif")

_UNREADABLE = (
    UnidentifiedImageError,
    Image.DecompressionBombError,
    OSError,
    SyntaxError,
    ValueError,
    EOFError,
    struct.error,
)
_SIXTEEN_BIT = ("I;16", "I;16B", "I;16L", "I;16N", "I")
_ORIENTATION_TAG = 0x0112
_TIFF_WIDTH, _TIFF_HEIGHT, _TIFF_BITS = 256, 257, 258
_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def load_image(path: Path) -> tuple[np.ndarray, np.ndarray | None]:
    """Read an image upright.

    Returns rgb_HWC uint8 and alpha_HW uint8, or None where the file has no alpha channel or transparency.
    ImageError when the file is missing, damaged, truncated or of a kind that has no 8-bit meaning.
    """
    with _opened(path) as image:
        image.load()  # first, because Pillow's TIFF reader turns while it loads and would turn a second time below
        upright = ImageOps.exif_transpose(image)
        if upright.mode in _SIXTEEN_BIT:
            grey_HW = _eight_bit(path, np.asarray(upright), _has_32_bits(image))
            return np.repeat(grey_HW[..., None], 3, axis=2), None
        if upright.mode == "F":
            raise ImageError(
                f"{path} holds 32-bit float pixels, whose range is unknown; save it as an 8- or 16-bit PNG"
            )
        if _image_has_alpha(upright):
            rgba_HWC = np.asarray(upright.convert("RGBA"))
            return np.ascontiguousarray(rgba_HWC[..., :3]), np.ascontiguousarray(rgba_HWC[..., 3])
        return np.array(upright.convert("RGB")), None


def load_mask(path: Path) -> np.ndarray:
    """Read a mask upright as mask_HW uint8, 0–255.

    The luminance counts; a file whose colour is one flat value carries its mask in alpha. ImageError as `load_image`.
    """
    rgb_HWC, alpha_HW = load_image(path)
    if alpha_HW is not None and alpha_HW.min() != alpha_HW.max() and (rgb_HWC == rgb_HWC[0, 0]).all():
        return alpha_HW
    return np.array(Image.fromarray(rgb_HWC).convert("L"))


def image_size(path: Path) -> tuple[int, int]:
    """(width, height) of the upright image, from the file's header alone."""
    with _opened(path) as image:
        # Pillow's TIFF reader turns by itself and reports the turned size; its tags still hold the stored one.
        tags = image.tag_v2 if isinstance(image, TiffImageFile) else None
        width, height = (tags[_TIFF_WIDTH], tags[_TIFF_HEIGHT]) if tags else image.size
        turned = _exif(image).get(_ORIENTATION_TAG, 1) in (5, 6, 7, 8)
    return (height, width) if turned else (width, height)


def has_alpha(path: Path) -> bool:
    """Whether the file has an alpha channel or a transparent colour, from its header alone."""
    with _opened(path) as image:
        return _image_has_alpha(image)


def save_image(path: Path, pixels: np.ndarray) -> None:
    """Write uint8 pixels (HW grey, HWC RGB or RGBA), whole or not at all, as the suffix says (PNG, JPEG, WebP).

    RGBA keeps the colour of transparent pixels; JPEG cannot hold alpha and is refused for it (ImageError).
    """
    formats = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
    kind = formats.get(path.suffix.lower())
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    if kind is None:
        raise ImageError(f"cannot write {path}: the suffix must be one of {', '.join(formats)}")
    if pixels.dtype != np.uint8 or channels not in (1, 3, 4):
        raise ImageError(f"cannot write {path}: expected uint8 HW, RGB or RGBA; found {pixels.dtype} {pixels.shape}")
    if kind == "JPEG" and channels == 4:
        raise ImageError(f"cannot write {path}: JPEG has no alpha channel; use .png")
    options: dict[str, dict[str, object]] = {
        "PNG": {"compress_level": 4},
        "JPEG": {"quality": 92},
        "WEBP": {"lossless": True, "exact": True},
    }
    with written_whole(path) as temporary:
        Image.fromarray(np.ascontiguousarray(pixels)).save(temporary, format=kind, **options[kind])


def _exif(image: Image.Image) -> Image.Exif:
    # A PNG may say its orientation after its pixels, so Pillow decodes them all; a look at the chunks is enough.
    if isinstance(image, PngImageFile) and not _says_more_after_pixels(image):
        return Image.Image.getexif(image)
    return image.getexif()


def _says_more_after_pixels(image: PngImageFile) -> bool:
    """Whether a PNG has metadata behind its pixels, or is cut off, which Pillow then says."""
    stream = image.fp
    if stream is None:
        return True
    before = stream.tell()
    try:
        stream.seek(len(_PNG_SIGNATURE))
        pixels_seen = False
        while len(head := stream.read(8)) == 8:
            length, kind = int.from_bytes(head[:4], "big"), head[4:]
            if kind == b"IEND":
                return False
            if pixels_seen and kind in (b"eXIf", b"iTXt", b"tEXt", b"zTXt"):
                return True
            pixels_seen = pixels_seen or kind == b"IDAT"
            stream.seek(length + 4, os.SEEK_CUR)
        return True
    finally:
        stream.seek(before)


def _image_has_alpha(image: Image.Image) -> bool:
    return image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in image.info


def _has_32_bits(image: Image.Image) -> bool:
    return isinstance(image, TiffImageFile) and 32 in image.tag_v2.get(_TIFF_BITS, ())


def _eight_bit(path: Path, grey_HW: np.ndarray, has_32_bits: bool) -> np.ndarray:
    values = grey_HW.astype(np.int64)
    # 32 bits say nothing of the range; masks are written so by programs that mean 0 to 255.
    if has_32_bits and values.min() >= 0 and values.max() <= 255:
        return values.astype(np.uint8)
    if values.min() < 0 or values.max() > 65535:
        raise ImageError(
            f"{path} holds values from {values.min()} to {values.max()}; expected 8 or 16 bits, 0 to 65535"
        )
    return ((values * 255 + 32767) // 65535).astype(np.uint8)


@contextmanager
def _opened(path: Path) -> Generator[Image.Image]:
    if not path.is_file():
        raise ImageError(f"there is no image file {path}")
    try:
        # From a stream: given a path, Pillow maps uncompressed TIFF into memory and loses its orientation.
        with path.open("rb") as stream, Image.open(stream) as image:
            yield image
    except _UNREADABLE as error:
        why = "its format is not known" if isinstance(error, UnidentifiedImageError) else error
        raise ImageError(f"cannot read {path} as an image ({why}); replace the file or take it out") from error
