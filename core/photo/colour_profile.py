"""Converts pictures to sRGB by their embedded ICC profile: relative colorimetry, black point compensation.

A profile counts as sRGB's own where none of 729 colours (or 256 greys) comes out more than two of 255 levels away: such
pictures stay as they are, bit for bit. Colours that PNG's gAMA, cHRM or cICP alone name are not converted.
"""

from __future__ import annotations

import io
from enum import Enum
from functools import lru_cache
from typing import Any

import numpy as np
from PIL import Image, ImageCms, features

_TOLERANCE = 2
_FEW = 32


class ProfileUse(str, Enum):
    """What an embedded profile means for a picture."""

    NONE = "none"
    SRGB = "sRGB"
    CONVERTED = "converted"
    BROKEN = "broken"


def profile_use(profile: bytes, mode: str) -> ProfileUse:
    """What is done about the profile of a picture of Pillow's `mode`. BROKEN: it cannot be read, or is for another kind
    of picture."""
    if not profile:
        return ProfileUse.NONE
    return _judge_profile(profile, _plain_mode(mode))


def to_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """A picture of any 8-bit mode without alpha as RGB, converted where `profile_use` says CONVERTED."""
    plain = _plain_mode(image.mode)
    image = image if image.mode == plain else image.convert(plain)
    if plain == "LAB":
        return _lab_transform().apply(image)
    if profile_use(profile, plain) is not ProfileUse.CONVERTED:
        return image.convert("RGB")
    return _convert(image, _open_profile(profile))


def _plain_mode(mode: str) -> str:
    """The mode in which a picture's colours meet a profile."""
    if mode in ("CMYK", "LAB"):
        return mode
    return "L" if mode in ("1", "L", "LA", "La") or mode.startswith(("I", "F")) else "RGB"


@lru_cache(maxsize=_FEW)
def _judge_profile(profile: bytes, plain: str) -> ProfileUse:
    probe = _probe_colours(plain)
    try:
        opened = _open_profile(profile)
        # An RGB profile in a grey picture says how bright its greys are.
        if plain == "LAB" and _colours_of(opened) == "Lab":
            return ProfileUse.NONE  # Lab says of itself which colours it means
        fitting = {"RGB": ("RGB",), "L": ("GRAY", "RGB"), "CMYK": ("CMYK",), "LAB": ()}[plain]
        if _colours_of(opened) not in fitting:
            return ProfileUse.BROKEN
        became = _convert(probe, opened)
    except (OSError, ValueError, TypeError, ImageCms.PyCMSError):
        return ProfileUse.BROKEN
    moved = np.abs(np.asarray(became, np.int16) - np.asarray(probe.convert("RGB"), np.int16)).max()
    return ProfileUse.CONVERTED if moved > _TOLERANCE else ProfileUse.SRGB


def _probe_colours(plain: str) -> Image.Image:
    if plain == "L":
        return Image.fromarray(np.arange(256, dtype=np.uint8)[None])
    steps = np.linspace(0, 255, 9).round().astype(np.uint8)
    colours = np.stack(np.meshgrid(steps, steps, steps, indexing="ij"), -1).reshape(27, 27, 3)
    return Image.fromarray(colours).convert(plain) if plain != "LAB" else Image.fromarray(colours)


def _open_profile(profile: bytes) -> ImageCms.ImageCmsProfile:
    if not features.check("littlecms2"):
        raise OSError("this Pillow was built without colour management")
    return ImageCms.ImageCmsProfile(io.BytesIO(profile))


def _colours_of(profile: ImageCms.ImageCmsProfile) -> str:
    core: Any = profile.profile
    return str(core.xcolor_space).strip()


def _convert(image: Image.Image, profile: ImageCms.ImageCmsProfile) -> Image.Image:
    if image.mode == "L" and _colours_of(profile) == "RGB":
        image = image.convert("RGB")
    transform = ImageCms.buildTransform(
        profile,
        ImageCms.createProfile("sRGB"),
        image.mode,
        "RGB",
        ImageCms.Intent.RELATIVE_COLORIMETRIC,
        ImageCms.Flags.BLACKPOINTCOMPENSATION,
    )
    return transform.apply(image)


def _lab_transform() -> ImageCms.ImageCmsTransform:
    return ImageCms.buildTransform(ImageCms.createProfile("LAB"), ImageCms.createProfile("sRGB"), "LAB", "RGB")
