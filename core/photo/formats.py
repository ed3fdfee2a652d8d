"""Which files are pictures: by suffix, by what their first bytes say, and which libraries read them.

Pillow reads most. HEIC, JPEG XL and camera raw come with the optional extra `maskloss[photos]`.
"""

from __future__ import annotations

import importlib
from enum import Enum
from pathlib import Path
from types import ModuleType

from ..errors import ImageError

HEIF_SUFFIXES = (".heic", ".heif", ".hif", ".heics", ".heifs")
JXL_SUFFIXES = (".jxl",)
# Those that LibRaw reads; a camera's raw file is a TIFF too, whose first picture is a thumbnail.
RAW_SUFFIXES = (
    ".dng", ".cr2", ".cr3", ".crw", ".nef", ".nrw", ".arw", ".sr2", ".srf", ".orf", ".rw2", ".raf", ".pef", ".srw",
    ".x3f", ".3fr", ".fff", ".iiq", ".rwl", ".mrw", ".dcr", ".kdc", ".erf", ".mef", ".mos", ".raw",
)  # fmt: skip
# What Pillow decodes, without vector graphics, scientific data and films.
PILLOW_SUFFIXES = (
    ".jpg", ".jpeg", ".jpe", ".jfif", ".jfi", ".mpo", ".png", ".apng", ".webp", ".bmp", ".dib", ".tif", ".tiff", ".gif",
    ".avif", ".avifs", ".jp2", ".j2k", ".j2c", ".jpc", ".jpf", ".jpx", ".tga", ".icb", ".vda", ".vst", ".ppm", ".pgm",
    ".pbm", ".pnm", ".pcx", ".dds", ".qoi", ".psd", ".sgi", ".rgb", ".rgba", ".bw", ".ico", ".icns",
)  # fmt: skip
IMAGE_SUFFIXES = (*PILLOW_SUFFIXES, *HEIF_SUFFIXES, *JXL_SUFFIXES, *RAW_SUFFIXES)
# Pillow's names of the formats behind these suffixes. Others are not tried: a PostScript file that is called .jpg would
# start an interpreter.
PILLOW_FORMATS = (
    "JPEG", "PNG", "WEBP", "BMP", "DIB", "TIFF", "GIF", "AVIF", "JPEG2000", "TGA", "PPM", "PCX", "DDS", "QOI", "PSD",
    "SGI", "ICO", "ICNS",
)  # fmt: skip

HEAD_BYTES = 32
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"hevm", b"hevs", b"mif1", b"msf1", b"mif2")
_EXTRA = "maskloss[photos]"


class Kind(Enum):
    """What the first bytes of a file say it is, as far as it matters who reads it."""

    PNG = "PNG"
    JPEG = "JPEG"
    TIFF = "TIFF"
    WEBP = "WebP"
    AVIF = "AVIF"
    HEIF = "HEIC"
    JXL = "JPEG XL"
    RAW = "camera raw"
    OTHER = "other"


def kind_of(head: bytes, suffix: str = "") -> Kind:
    """The kind of a file that begins with `head` (32 bytes or more). Only camera raw goes by `suffix`."""
    if suffix.lower() in RAW_SUFFIXES:
        return Kind.RAW
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return Kind.PNG
    if head.startswith(b"\xff\xd8\xff"):
        return Kind.JPEG
    if head[:4] in (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+"):
        return Kind.TIFF
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return Kind.WEBP
    if head.startswith((b"\xff\x0a", b"\0\0\0\x0cJXL \r\n\x87\n")):
        return Kind.JXL
    if head[4:8] == b"ftyp":
        # AVIF names HEIF's brand as well, where it is not the first.
        brands = [head[8:12], *(head[at : at + 4] for at in range(16, len(head) - 3, 4))]
        if any(brand in (b"avif", b"avis") for brand in brands):
            return Kind.AVIF
        if brands[0] in _HEIF_BRANDS:
            return Kind.HEIF
    return Kind.OTHER


def is_picture(path: Path) -> bool:
    """Whether a file is a picture, by its suffix; without one by its first bytes, where they can be read."""
    suffix = path.suffix.lower()
    return suffix in IMAGE_SUFFIXES or (not suffix and _looks_like_picture(path))


def why_not_readable(path: Path) -> str:
    """What is missing to read a picture of this suffix, with what to do; empty where nothing is."""
    suffix = path.suffix.lower()
    for kind, suffixes in ((Kind.HEIF, HEIF_SUFFIXES), (Kind.JXL, JXL_SUFFIXES), (Kind.RAW, RAW_SUFFIXES)):
        if suffix in suffixes:
            try:
                library_for(kind)
            except ImageError as error:
                return str(error)
    return ""


def library_for(kind: Kind) -> ModuleType:
    """The optional library that reads HEIC, JPEG XL or camera raw. ImageError saying how to install it."""
    module, package = {
        Kind.HEIF: ("pillow_heif", "pillow-heif"),
        Kind.JXL: ("pillow_jxl", "pillow-jxl-plugin"),
        Kind.RAW: ("rawpy", "rawpy"),
    }[kind]
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise ImageError(
            f"{kind.value} files are read by {package}, which is not installed; install it in ComfyUI's Python "
            f"(pip install {package}, or {_EXTRA} for all of these), or save the pictures as JPEG or PNG"
        ) from error


def _looks_like_picture(path: Path) -> bool:
    try:
        with path.open("rb") as stream:
            head = stream.read(HEAD_BYTES)
    except OSError:
        return False
    kinds = (b"BM", b"GIF87a", b"GIF89a", b"8BPS", b"qoif", b"\0\0\0\x0cjP  ", b"\xff\x4f\xff\x51")
    return kind_of(head) is not Kind.OTHER or head.startswith(kinds)
