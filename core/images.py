"""Reads and writes image files: upright, as 8-bit RGB in sRGB, with the alpha channel apart.

H, W pixel grid, C channels. Orientation (EXIF, else XMP) is applied once, here, and nowhere else; other metadata is not
looked at. 16-bit, palette, grey, CMYK and Lab files are brought to 8-bit RGB without touching the colour under a
transparent pixel; embedded colour profiles are applied to pictures, never to masks. Of files with several frames or
pages the first is read. Sizes are (width, height).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from PIL import Image
from PIL.TiffImagePlugin import TiffImageFile

from .errors import ImageError
from .files import atomic_write
from .mask_meaning import MaskMeaning, ReadMask, read_stored
from .mask_values import deep_mask, stored_bits, stored_mask
from .photo.colour_profile import ProfileUse, to_srgb
from .photo.formats import IMAGE_SUFFIXES as IMAGE_SUFFIXES
from .photo.formats import is_picture as is_picture
from .photo.headers import remembered
from .photo.open_picture import OpenedPicture, open_picture

# From here on a picture is decoded smaller where the format can and it is shrunk anyway.
LARGE_PX = 64_000_000
_SIXTEEN_BIT = ("I;16", "I;16B", "I;16L", "I;16N", "I")
_TIFF_BITS = 258
_WRITTEN = {".png": "PNG", ".jpg": "JPEG", ".jpeg": "JPEG", ".webp": "WEBP"}
_LOSSY_FORMATS = frozenset(("JPEG", "MPO", "AVIF", "JPEG2000", "HEIF", "JXL"))


@dataclass(frozen=True)
class PictureFacts:
    """What the header of a picture says. `frames`: pictures in the file, of which the first is read. `profile_use`:
    what is done about its colours; `untagged`: it names others than sRGB's in a way that is not applied (PNG's gAMA,
    cHRM and cICP)."""

    size: tuple[int, int]
    has_alpha: bool
    frames: int
    profile_use: ProfileUse
    untagged: bool
    orientation: int = 1


def load_image(path: Path, least: tuple[int, int] | None = None) -> tuple[np.ndarray, np.ndarray | None]:
    """Read an image upright.

    Returns rgb_HWC uint8 and alpha_HW uint8, or None where the file has no alpha channel or transparency. With `least`
    a very large JPEG is decoded at a half, a quarter or an eighth, at least twice as large as that (width, height).
    ImageError when the file is missing, damaged, truncated, too large or of a kind that has no 8-bit meaning.
    """
    with open_picture(path) as picture:
        if least is not None and picture.image.width * picture.image.height > LARGE_PX:
            picture.shrink_while_decoding((2 * least[0], 2 * least[1]))
        return _decode_pixels(path, picture, picture.metadata.profile)


def load_thumbnail(path: Path, longest_px: int) -> np.ndarray:
    """A picture upright as rgb_HWC uint8, its longer side at most `longest_px`. A JPEG is decoded smaller, so that
    colours may differ a little from those of `load_image`. Errors as there."""
    with open_picture(path) as picture:
        picture.shrink_while_decoding((2 * longest_px, 2 * longest_px))
        rgb_HWC, _ = _decode_pixels(path, picture, picture.metadata.profile)
    scale = longest_px / max(rgb_HWC.shape[:2])
    if scale >= 1:
        return rgb_HWC
    size = (max(1, round(rgb_HWC.shape[1] * scale)), max(1, round(rgb_HWC.shape[0] * scale)))
    return cv2.resize(rgb_HWC, size, interpolation=cv2.INTER_AREA)


def load_mask(path: Path, meaning: MaskMeaning = MaskMeaning.AUTO) -> np.ndarray:
    """Read a mask upright as mask_HW uint8, 0–255. Errors as `read_mask`."""
    return read_mask(path, meaning).mask_HW


def read_mask(path: Path, meaning: MaskMeaning = MaskMeaning.AUTO, grey_as: MaskMeaning = MaskMeaning.AUTO) -> ReadMask:
    """Read a mask upright, with what its file holds and which meaning that has (the rule is in `mask_meaning`).

    ImageError as `load_image`, and where the file has two meanings and `meaning` does not decide. Embedded colour
    profiles are ignored: a mask's values are weights. `grey_as` is that of `StoredMask`.
    """
    with open_picture(path) as picture:
        image, bits = picture.image, stored_bits(picture.image)
        if bits == 16 and image.mode[0] != "I":
            stored = deep_mask(path.read_bytes(), image.mode, picture.metadata.orientation)
        else:
            stored = stored_mask(picture.decode_upright(), bits, _is_lossy(path, image))
        return read_stored(replace(stored, grey_as=grey_as), meaning, str(path))


def picture_facts(path: Path) -> PictureFacts:
    """What the file's header says. ImageError as `load_image`, but damaged pixels are not noticed."""
    with open_picture(path) as picture:
        metadata = picture.metadata
        return PictureFacts(
            picture.size,
            picture.has_alpha,
            metadata.frames,
            picture.profile_use,
            metadata.untagged,
            metadata.orientation,
        )


def image_size(path: Path) -> tuple[int, int]:
    """(width, height) of the upright image, from the file's header alone."""
    return remembered(_read_size, path)


def _read_size(path: Path) -> tuple[int, int]:
    with open_picture(path) as picture:
        return picture.size


def has_alpha(path: Path) -> bool:
    """Whether the file has an alpha channel or a transparent colour, from its header alone."""
    with open_picture(path) as picture:
        return picture.has_alpha


def conversion_of(path: Path) -> tuple[str, ...]:
    """The colour conversion for a fingerprint of the picture's pixels, besides the file's hash: empty for pictures
    without a profile or with sRGB's."""
    return remembered(_read_conversion, path)


def _read_conversion(path: Path) -> tuple[str, ...]:
    with open_picture(path) as picture:
        return ("sRGB",) if picture.profile_use is ProfileUse.CONVERTED else ()


def check_writable_suffix(path: Path) -> str:
    """The format, as Pillow names it, that `save_image` writes to `path`. ImageError for a suffix that it does not
    know."""
    kind = _WRITTEN.get(path.suffix.lower())
    if kind is None:
        raise ImageError(f"cannot write {path}: the suffix must be one of {', '.join(_WRITTEN)}")
    return kind


def save_image(path: Path, pixels: np.ndarray) -> None:
    """Write uint8 pixels (HW grey, HWC RGB or RGBA), whole or not at all, as the suffix says (PNG, JPEG, WebP).

    RGBA keeps the colour of transparent pixels; JPEG cannot hold alpha and is refused for it (ImageError).
    """
    kind = check_writable_suffix(path)
    channels = 1 if pixels.ndim == 2 else pixels.shape[2]
    if pixels.dtype != np.uint8 or channels not in (1, 3, 4):
        raise ImageError(f"cannot write {path}: expected uint8 HW, RGB or RGBA; found {pixels.dtype} {pixels.shape}")
    if kind == "JPEG" and channels == 4:
        raise ImageError(f"cannot write {path}: JPEG has no alpha channel; use .png")
    options: dict[str, dict[str, object]] = {
        "PNG": {"compress_level": 4},
        "JPEG": {"quality": 92},
        "WEBP": {"lossless": True, "exact": True},
    }
    with atomic_write(path) as temporary:
        Image.fromarray(np.ascontiguousarray(pixels)).save(temporary, format=kind, **options[kind])


def _decode_pixels(path: Path, picture: OpenedPicture, profile: bytes) -> tuple[np.ndarray, np.ndarray | None]:
    upright = picture.decode_upright()
    if upright.mode in _SIXTEEN_BIT:
        upright = Image.fromarray(_to_eight_bits(path, np.asarray(upright), _has_32_bits(picture.image)))
    if upright.mode == "F":
        raise ImageError(f"{path} holds 32-bit float pixels, whose range is unknown; save it as an 8- or 16-bit PNG")
    if not picture.has_alpha:
        return np.array(to_srgb(upright, profile)), None
    rgba = upright.convert("RGBA")
    grey = "LA" if upright.mode in ("L", "LA", "La") else "RGB"
    return np.array(to_srgb(rgba.convert(grey), profile)), np.array(rgba.getchannel("A"))


def _is_lossy(path: Path, image: Image.Image) -> bool:
    """Whether the format changes values."""
    if image.format != "WEBP":
        return image.format in _LOSSY_FORMATS
    with path.open("rb") as stream:
        return b"VP8L" not in stream.read(4096)  # the chunk of pixels without loss


def _has_32_bits(image: Image.Image) -> bool:
    return isinstance(image, TiffImageFile) and 32 in image.tag_v2.get(_TIFF_BITS, ())


def _to_eight_bits(path: Path, grey_HW: np.ndarray, has_32_bits: bool) -> np.ndarray:
    values = grey_HW.astype(np.int64)
    # 32 bits say nothing of the range; masks are written so by programs that mean 0 to 255.
    if has_32_bits and values.min() >= 0 and values.max() <= 255:
        return values.astype(np.uint8)
    if values.min() < 0 or values.max() > 65535:
        raise ImageError(
            f"{path} holds values from {values.min()} to {values.max()}; expected 8 or 16 bits, 0 to 65535"
        )
    return ((values * 255 + 32767) // 65535).astype(np.uint8)
