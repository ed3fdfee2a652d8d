"""What mask files and frames of mask videos hold, channel by channel, before a meaning is given to it.

H, W pixel grid, C channels.
"""

from __future__ import annotations

import cv2
import numpy as np
from PIL import Image

from .errors import ImageError
from .mask_readings import StoredMask
from .photo.colour_profile import to_srgb

_WITH_ALPHA = ("RGBA", "LA", "PA", "La", "RGBa")
_LAYOUTS = {"1": "grey", "L": "grey", "LA": "grey and alpha", "P": "palette", "PA": "palette and alpha"}
_TIFF_BITS = 258
# How OpenCV turns a picture for each EXIF orientation: transpose first, then flip these axes.
_TURNS: dict[int, tuple[bool, tuple[int, ...]]] = {
    2: (False, (1,)), 3: (False, (0, 1)), 4: (False, (0,)),
    5: (True, ()), 6: (True, (1,)), 7: (True, (0, 1)), 8: (True, (0,)),
}  # fmt: skip


def stored_bits(image: Image.Image) -> int:
    """Bits of one channel as the file has them. Ask before the pixels are loaded."""
    if image.mode == "1":
        return 1
    if image.mode == "F":
        return 32
    tiles = getattr(image, "tile", None)
    told = str(tiles[0].args) if tiles else ""
    if image.mode == "I" or image.mode.startswith("I;"):
        tags = getattr(image, "tag_v2", {})
        return 32 if 32 in tags.get(_TIFF_BITS, ()) else 16
    if image.mode == "P":
        return 8
    return next((bits for mark, bits in ((";16", 16), (";2", 2), (";4", 4)) if mark in told), 8)


def stored_mask(upright: Image.Image, bits: int, lossy: bool) -> StoredMask:
    """What a decoded and upright picture holds. `bits` as `stored_bits` says. ImageError for modes without RGB."""
    layout = f"{_LAYOUTS.get(upright.mode, 'grey' if upright.mode[0] in 'IF' else upright.mode)}, " + (
        "float" if upright.mode == "F" else f"{bits} bit{'s' if bits > 1 else ''}"
    )
    if upright.mode[0] in "IF":
        return StoredMask(layout, bits, np.asarray(upright), lossy=lossy)
    if upright.mode in _WITH_ALPHA or "transparency" in upright.info:
        rgba_HWC = np.asarray(upright.convert("RGBA"))
        return StoredMask(layout, bits, as_grey(rgba_HWC[..., :3]), rgba_HWC[..., 3], lossy)
    if upright.mode in ("1", "L"):
        return StoredMask(layout, bits, np.asarray(upright.convert("L")), lossy=lossy)
    pixels = as_grey(np.asarray(to_srgb(upright, b"")))
    if upright.mode == "P" and pixels.ndim == 2 and pixels.min() == pixels.max():
        pixels = np.asarray(upright)  # every index has the same colour, so the indices are what is meant
    return StoredMask(layout, bits, pixels, lossy=lossy)


def deep_mask(content: bytes, layout: str, orientation: int) -> StoredMask:
    """What a file with several channels of 16 bits holds; Pillow would cut them to their upper 8. ImageError when
    OpenCV cannot read it."""
    stored = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
    if stored is None or stored.dtype != np.uint16 or stored.ndim != 3:
        raise ImageError(f"its channels of 16 bits ({layout}) cannot be read; save it as 8-bit PNG")
    transposed, flips = _TURNS.get(orientation, (False, ()))
    turned = np.flip(stored.transpose(1, 0, 2) if transposed else stored, flips)
    alpha_HW = np.ascontiguousarray(turned[..., 3]) if turned.shape[2] == 4 else None
    return StoredMask(f"{layout}, 16 bits", 16, as_grey(turned[..., 2::-1]), alpha_HW)


def as_grey(rgb_HWC: np.ndarray) -> np.ndarray:
    """One channel where all three are equal, else the picture as it is."""
    red_HW, green_HW, blue_HW = (rgb_HWC[..., channel] for channel in range(3))
    equal = np.array_equal(red_HW, green_HW) and np.array_equal(red_HW, blue_HW)
    return np.ascontiguousarray(red_HW if equal else rgb_HWC)
