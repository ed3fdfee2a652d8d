"""Opens a picture file of any kind with the library that reads it: the stored pixels and their orientation.

Sizes are (width, height). Pillow's own guards (the number of pixels, the length of texts) are settings of the whole
process and belong to whoever runs it; here pictures are opened past them, within a limit of ours.
"""

from __future__ import annotations

import io
import os
import struct
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, cast

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError
from PIL.TiffImagePlugin import TiffImageFile

from ..errors import ImageError, SettingError
from .colour_profile import ProfileUse, profile_use
from .formats import HEAD_BYTES, PILLOW_FORMATS, Kind, kind_of, library_for
from .jxl_header import jxl_size
from .metadata import DamagedPicture, PictureMetadata, orientation_of, split_metadata
from .raw_file import RawImageFile
from .tiff_tags import read_directory, read_layout, whole_number

LIMIT_VARIABLE = "MASKLOSS_MAX_MEGAPIXELS"
# 200 of a telephone, 400 of a medium format camera's combined exposures; 1.5 GB as RGB.
LIMIT_MEGAPIXELS = 512
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_TIFF_SIDES = (256, 257)
_PHOTOMETRIC = 262
_UNREADABLE = (UnidentifiedImageError, OSError, SyntaxError, ValueError, EOFError, struct.error)
# What decoders raise as well for damaged files.
_OTHERS = (IndexError, TypeError, KeyError, OverflowError, RuntimeError, Image.DecompressionBombError, cv2.error)


@dataclass(frozen=True, eq=False)
class OpenedPicture:
    """`image` is as it is stored, not yet decoded; `metadata` is what the file says beside its pixels."""

    image: Image.Image
    metadata: PictureMetadata

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) upright."""
        width, height = self.image.size
        return (height, width) if self.metadata.orientation >= 5 else (width, height)

    @property
    def has_alpha(self) -> bool:
        """Whether there is an alpha channel or a transparent colour."""
        return self.image.mode in ("RGBA", "LA", "PA", "La", "RGBa") or "transparency" in self.image.info

    @property
    def profile_use(self) -> ProfileUse:
        """What is done about its colour profile."""
        return profile_use(self.metadata.profile, self.image.mode)

    def decode_upright(self) -> Image.Image:
        """The decoded picture, turned upright. ValueError and what Pillow raises where it is damaged."""
        try:
            self.image.load()
        except _OTHERS as error:
            raise ValueError(f"its pixels are damaged: {error}") from error
        image = _black_is_zero(self.image)
        turn = _TURNS.get(self.metadata.orientation)
        return image if turn is None else image.transpose(turn)

    def shrink_while_decoding(self, least: tuple[int, int]) -> None:
        """Where the format can (JPEG), decode at a half, quarter or eighth, no smaller than `least` upright."""
        turned = self.metadata.orientation >= 5
        self.image.draft(None, (least[1], least[0]) if turned else least)  # pyright: ignore[reportArgumentType]


@contextmanager
def open_picture(path: Path) -> Generator[OpenedPicture]:
    """Open a picture of any kind; what goes wrong until the context ends is an ImageError that names the file.

    ImageError when it is missing, damaged, of a kind that nothing here reads, larger than the limit, or when the
    optional library for it is not installed.
    """
    if not path.is_file():
        leads = f"; it is a link to {path.readlink()}, where no file is" if path.is_symlink() else ""
        raise ImageError(f"there is no image file {path}{leads}")
    try:
        with path.open("rb") as stream:
            head = stream.read(HEAD_BYTES)
            if not head:
                raise ValueError("it is empty, 0 bytes")
            kind = kind_of(head, path.suffix)
            try:
                picture = _open(stream, kind, path)
            except _OTHERS as error:
                raise ValueError(f"it is damaged: {error}") from error
            with picture.image:
                yield picture
    except SettingError:
        raise
    except ImageError as error:
        raise error if str(path) in str(error) else ImageError(f"cannot read {path}: {error}") from error
    except _UNREADABLE as error:
        raise ImageError(
            f"cannot read {path} as an image ({_describe(error)}); replace the file or take it out"
        ) from error


def pixel_limit() -> int:
    """The most pixels of a picture. SettingError when the environment variable is no number above 0."""
    text = os.environ.get(LIMIT_VARIABLE, "").strip()
    try:
        megapixels = float(text) if text else float(LIMIT_MEGAPIXELS)
    except ValueError:
        megapixels = 0.0
    if not 0 < megapixels < 1e9:
        raise SettingError(f"{LIMIT_VARIABLE} is {text!r}; give a number of megapixels above 0, or take it away.")
    return int(megapixels * 1_000_000)


def _open(stream: BinaryIO, kind: Kind, path: Path) -> OpenedPicture:
    if kind is Kind.JXL:
        return _open_jxl(stream, path)
    pixels, metadata = split_metadata(stream, kind)
    pixels.seek(0)
    image = _open_with_library(kind, pixels)
    _check_limit(image.size)
    info: dict[Any, Any] = image.info
    if kind is Kind.HEIF:
        # Its decoder turns the picture as its own boxes say; what EXIF says as well would turn it twice.
        metadata = PictureMetadata(1, _to_bytes(info.get("icc_profile")), _count_frames(image))
    elif kind not in (Kind.PNG, Kind.JPEG, Kind.TIFF, Kind.RAW):
        orientation = orientation_of(_to_bytes(info.get("exif")), _to_bytes(info.get("xmp")))
        frames = _count_frames(image) if image.format in ("GIF", "WEBP", "AVIF") else 1
        metadata = PictureMetadata(orientation, _to_bytes(info.get("icc_profile")), frames)
    return OpenedPicture(image, metadata)


def _open_jxl(stream: BinaryIO, path: Path) -> OpenedPicture:
    """Open JPEG XL without its Pillow plugin, which does not say whether EXIF orientation is applied: a transcoded JPEG
    comes back as that JPEG, as stored; the decoder turns any other upright."""
    size = jxl_size(stream)
    if size is not None:
        _check_limit(size)
    stream.seek(0)
    is_jpeg, header, pixels, profile, _ = library_for(Kind.JXL).Decoder(num_threads=-1)(stream.read())
    if is_jpeg:
        return _open(io.BytesIO(pixels), Kind.JPEG, path)
    _check_limit((header.width, header.height))
    image = Image.frombytes(header.mode, (header.width, header.height), pixels)
    image.format = "JXL"
    return OpenedPicture(image, PictureMetadata(1, bytes(profile or b"")))


def _open_with_library(kind: Kind, pixels: BinaryIO) -> Image.Image:
    if kind is Kind.HEIF:
        return library_for(kind).HeifImageFile(pixels)
    if kind is Kind.RAW:
        return RawImageFile(pixels)
    if kind is Kind.TIFF:
        try:
            return _LargeTiff(pixels, "")
        except SyntaxError:
            return _open_float_tiff(pixels)
    Image.init()
    known = {Kind.PNG: "PNG", Kind.JPEG: "JPEG", Kind.WEBP: "WEBP", Kind.AVIF: "AVIF"}.get(kind)
    refused: Exception | None = None
    head = pixels.read(16)
    for name in PILLOW_FORMATS if known is None else (known,):
        factory, accept = Image.OPEN.get(name, (None, None))
        # Some tell a text why they do not take it.
        if factory is None or (accept is not None and accept(head) is not True):
            continue
        try:
            pixels.seek(0)
            # Not Image.open, whose guard against many pixels is a setting of the whole process.
            return cast(Image.Image, factory(pixels, ""))
        except Image.DecompressionBombError:
            return _decode_large(pixels)
        except (SyntaxError, IndexError, TypeError, KeyError, struct.error) as error:
            # One that takes whatever it is given says nothing by refusing.
            refused = refused if accept is None else error
    if refused is None and known is None:
        raise UnidentifiedImageError("its format is not known")
    raise ValueError(f"{known or 'it'} cannot be decoded: {refused or 'this Pillow does not read it'}")


def _decode_large(pixels: BinaryIO) -> Image.Image:
    """Decode, by OpenCV, a large picture that Pillow refuses to open."""
    pixels.seek(0)
    found = cv2.imdecode(np.frombuffer(pixels.read(), np.uint8), cv2.IMREAD_UNCHANGED)
    if found is None:
        raise ValueError("its pixels cannot be decoded")
    if found.ndim == 2:
        return Image.fromarray(found)
    order = cv2.COLOR_BGRA2RGBA if found.shape[2] == 4 else cv2.COLOR_BGR2RGB
    return Image.fromarray(cv2.cvtColor(found, order))


def _open_float_tiff(pixels: BinaryIO) -> Image.Image:
    """A TIFF file of 64-bit floats, or of several channels of floats that are the same: as one channel of 32 bits.
    ValueError for any other that Pillow does not read."""
    layout = read_layout(pixels)
    entries = read_directory(pixels, layout, layout.first)[0] if layout else []
    sides = {entry.tag: whole_number(layout, entry) for entry in entries if entry.tag in _TIFF_SIDES} if layout else {}
    width, height = (sides.get(tag) or 0 for tag in _TIFF_SIDES)
    _check_limit((width, height))
    pixels.seek(0)
    found = cv2.imdecode(np.frombuffer(pixels.read(), np.uint8), cv2.IMREAD_UNCHANGED)
    if found is None or found.dtype.kind != "f":
        raise ValueError("Pillow does not read pixels of its kind; save it as an 8- or 16-bit PNG")
    if found.ndim == 3:
        if not (found == found[..., :1]).all():
            raise ValueError("it holds several channels of floats; save it as an 8- or 16-bit PNG")
        found = found[..., 0]
    return Image.fromarray(found.astype(np.float32))


def _black_is_zero(image: Image.Image) -> Image.Image:
    """Pillow turns TIFF files in which 0 is white, but not those of 16 bits."""
    if not isinstance(image, TiffImageFile) or not image.mode.startswith("I;16") or image.tag_v2.get(_PHOTOMETRIC) != 0:
        return image
    return Image.fromarray(65535 - np.asarray(image).astype(np.uint16))


class _LargeTiff(TiffImageFile):
    """Pillow's reader, which guards itself against many pixels once more when it decodes."""

    def load_prepare(self) -> None:
        size: tuple[int, int] | None = getattr(self, "_tile_size", None)
        if size is not None and getattr(self, "_im", None) is None:
            self.im = Image.new(self.mode, size).im
        super().load_prepare()


def _check_limit(size: tuple[int, int]) -> None:
    limit = pixel_limit()
    if size[0] * size[1] > limit:
        raise ImageError(
            f"it has {size[0]}x{size[1]} = {size[0] * size[1] / 1e6:.0f} megapixels, and {limit / 1e6:g} are read at "
            f"most; make it smaller, or set the environment variable {LIMIT_VARIABLE} to a larger number"
        )


def _count_frames(image: Image.Image) -> int:
    try:
        return max(1, int(getattr(image, "n_frames", 1)))
    except (*_UNREADABLE, *_OTHERS):
        return 1  # what follows the first picture is damaged


def _to_bytes(value: object) -> bytes:
    return value if isinstance(value, bytes) else value.encode() if isinstance(value, str) else b""


def _describe(error: Exception) -> str:
    if isinstance(error, DamagedPicture):
        return f"it is damaged: {error}"
    return str(error) or type(error).__name__
