"""A decoded frame as 8-bit sRGB, whatever its matrix, range, depth and transfer function; and as a mask.

Matrix and range are always stated. PyAV before 17 takes every clip for BT.601 and limited range where nothing is said,
whatever its frames say; only the yuvj formats keep their range (seen in 14.0, 15.1 and 16.0). Clips that name no matrix
are BT.601, as FFmpeg has it. Frames go through planar RGB where FFmpeg's scaler, straight to packed RGB, loses up to
two levels: where chroma is subsampled and there are more than 8 bits, another size (pixels that are not square), or a
layout other than those of `_EXACT_PACKED` (of DV tape and capture cards, for instance).

HDR (PQ and HLG, by the matrix of ITU-R BT.2100) is shown as on an SDR screen by one rule: the reference white of ITU-R
BT.2408, 203 cd/m² (58 % of the PQ signal, 75 % of the HLG signal at a nominal peak of 1000 cd/m²), becomes white, light
below it keeps its proportions, and what is brighter is clipped. BT.2020 colours are brought to those of BT.709.

H, W pixel grid, C channels.
"""

from __future__ import annotations

from enum import Enum
from functools import lru_cache
from typing import cast

import numpy as np
from av.video.frame import VideoFrame

from ..errors import InternalError
from ..mask_readings import StoredMask
from ..mask_values import as_grey

Size = tuple[int, int]


class Transfer(str, Enum):
    """How light becomes signal, as far as it matters here."""

    SDR = "SDR"
    PQ = "PQ"
    HLG = "HLG"


# Codecs that give back what was put in; of the others' values nothing is exact.
_LOSSLESS = frozenset(
    ("ffv1", "png", "apng", "huffyuv", "ffvhuff", "utvideo", "rawvideo", "qtrle", "magicyuv", "tiff", "bmp", "gif")
)
# What becomes packed RGB of the same size without loss.
_EXACT_PACKED = frozenset(("yuv420p", "yuv422p", "yuv444p", "yuvj420p", "yuvj422p", "yuvj444p", "yuva420p", "yuva444p"))
_TRANSFERS = {16: Transfer.PQ, 18: Transfer.HLG}
# From ITU-T H.273's number of a matrix to that of FFmpeg's scaler; all others are read as BT.601.
_BT601, _BT709, _BT2020 = 5, 1, 9
_MATRICES = {1: _BT709, 4: 4, 7: 7, 9: _BT2020, 10: _BT2020}
_LIMITED, _FULL = 1, 2
_REFERENCE_WHITE = 203.0
# ITU-R BT.2087: linear BT.2020 to linear BT.709.
_TO_BT709 = np.array(
    [[1.6605, -0.5876, -0.0728], [-0.1246, 1.1329, -0.0083], [-0.0182, -0.1006, 1.1187]], dtype=np.float32
)
_BT2020_LUMA = np.array([0.2627, 0.6780, 0.0593], dtype=np.float32)
_CODES = 65536


def transfer_of(color_trc: int) -> Transfer:
    """The transfer function that a stream names by its number in ITU-T H.273."""
    return _TRANSFERS.get(color_trc, Transfer.SDR)


def goes_through_planes(frame: VideoFrame, size: Size) -> bool:
    """Whether a frame that is scaled to `size` (width, height) becomes RGB by way of planar RGB."""
    if not _is_yuv(frame):
        return False
    name = frame.format.name
    scaled = size != (frame.width, frame.height) and "444" not in name
    return scaled or name not in _EXACT_PACKED


def frame_rgb(frame: VideoFrame, size: Size, transfer: Transfer) -> np.ndarray:
    """rgb_HWC uint8 of a frame, scaled to `size` (width, height), not turned."""
    if transfer is not Transfer.SDR:
        return _tone_mapped(_signal(frame, size), transfer)
    if goes_through_planes(frame, size):
        green_HW, blue_HW, red_HW = _planes(_convert(frame, size, "gbrp"), np.dtype(np.uint8))
        return np.stack([red_HW, green_HW, blue_HW], axis=2)
    return _convert(frame, size, "rgb24").to_ndarray(format="rgb24")


def frame_mask(frame: VideoFrame, size: Size, codec: str) -> StoredMask:
    """What a frame of a mask video holds, scaled to `size` (width, height), not turned."""
    name = frame.format.name
    bits = frame.format.components[0].bits
    lossy = codec not in _LOSSLESS
    layout = f"video {codec}, {name}"
    if len(frame.format.components) == 1 and name.startswith("gray") and bits <= 16:
        # As it is stored: scaling would spoil labels, and takes some gray for limited range.
        scaled = frame if size == (frame.width, frame.height) else frame.reformat(*size, name)
        dtype = np.dtype(np.uint8 if bits == 8 else ">u2" if name.endswith("be") else "<u2")
        grey_HW = _planes(scaled, dtype)[0].astype(dtype.newbyteorder("="))
        if 8 < bits < 16:
            grey_HW, bits = (grey_HW.astype(np.uint32) * 65535 // (2**bits - 1)).astype(np.uint16), 16
        return StoredMask(layout, bits, grey_HW, lossy=lossy)
    if name.startswith("yuva"):
        # Its alpha has no range and no chroma; on the way to RGBA, FFmpeg's scaler moves it by a level.
        stored_HW = _planes(frame.reformat(*size, name), np.dtype(np.uint8 if bits == 8 else "<u2"))[3]
        alpha_HW = np.rint(stored_HW * (255 / (2**bits - 1))).astype(np.uint8)
        return StoredMask(layout, 8, as_grey(frame_rgb(frame, size, Transfer.SDR)), alpha_HW, lossy)
    if _has_alpha(name):
        rgba_HWC = _convert(frame, size, "rgba").to_ndarray(format="rgba")
        return StoredMask(layout, 8, as_grey(rgba_HWC[..., :3]), np.ascontiguousarray(rgba_HWC[..., 3]), lossy)
    return StoredMask(layout, 8, as_grey(frame_rgb(frame, size, Transfer.SDR)), lossy=lossy)


def _is_yuv(frame: VideoFrame) -> bool:
    return len(frame.format.components) >= 3 and not frame.format.is_rgb and not frame.format.has_palette


def _is_full_range(frame: VideoFrame) -> bool:
    return int(frame.color_range) == _FULL or frame.format.name.startswith("yuvj")


def _has_alpha(name: str) -> bool:
    return name.startswith(("gbrap", "ya8", "ya16", "rgba", "bgra", "argb", "abgr"))


def _convert(frame: VideoFrame, size: Size, pixel_format: str) -> VideoFrame:
    if not _is_yuv(frame):
        return frame.reformat(size[0], size[1], pixel_format)
    matrix = _MATRICES.get(int(frame.colorspace), _BT601)
    return frame.reformat(
        size[0],
        size[1],
        pixel_format,
        src_colorspace=matrix,
        # Has no meaning for RGB, but PyAV before 17 sets the matrix only where the two differ.
        dst_colorspace=_BT709 if matrix != _BT709 else _BT601,
        src_color_range=_FULL if _is_full_range(frame) else _LIMITED,
        dst_color_range=_FULL,
    )


def _planes(frame: VideoFrame, dtype: np.dtype[np.generic]) -> list[np.ndarray]:
    return [
        np.frombuffer(cast("bytes", plane), dtype).reshape(plane.height, -1)[:, : plane.width] for plane in frame.planes
    ]


def _signal(frame: VideoFrame, size: Size) -> np.ndarray:
    """R'G'B' uint16 of an HDR frame, by the matrix of ITU-R BT.2100. FFmpeg's scaler gives 65283 for a white of 65535
    where its input has more than 8 bits, and takes it from there to 253; so it only brings chroma to full size here."""
    bits = frame.format.components[0].bits
    if not _is_yuv(frame):
        return frame.reformat(*size, "rgb48le").to_ndarray()
    full_size = "yuv444p" if bits == 8 else f"yuv444p{bits}le"
    dtype = np.dtype(np.uint8 if bits == 8 else "<u2")
    step = np.float32(2 ** (bits - 8))
    luma_HW, blue_off_HW, red_off_HW = (
        plane.astype(np.float32) / step for plane in _planes(frame.reformat(*size, full_size), dtype)
    )
    whole = (2**bits - 1) / float(step)
    black, luma_range, chroma_range = (0, whole, whole) if _is_full_range(frame) else (16, 219, 224)
    kr, kg, kb = (float(share) for share in _BT2020_LUMA)
    luma_HW = (luma_HW - black) / luma_range
    red_HW = luma_HW + (red_off_HW - 128) / chroma_range * (2 - 2 * kr)
    blue_HW = luma_HW + (blue_off_HW - 128) / chroma_range * (2 - 2 * kb)
    green_HW = (luma_HW - kr * red_HW - kb * blue_HW) / kg
    signal_HWC = np.stack([red_HW, green_HW, blue_HW], axis=2)
    return np.rint(np.clip(signal_HWC, 0, 1) * (_CODES - 1)).astype(np.uint16)


def _tone_mapped(signal_HWC: np.ndarray, transfer: Transfer) -> np.ndarray:
    """uint16 R'G'B' of BT.2100 to uint8 sRGB, by the rule at the top."""
    light_HWC = _light(transfer)[signal_HWC]
    if transfer is Transfer.HLG:
        # The opto-optical transfer function of BT.2100 for 1000 cd/m²: scene light to light of the screen, gamma 1.2.
        luma_HW1 = np.maximum(light_HWC @ _BT2020_LUMA, 1e-6)[..., None]
        light_HWC = light_HWC * luma_HW1**0.2 * np.float32(1000 / _REFERENCE_WHITE)
    shown_HWC = np.clip(light_HWC @ _TO_BT709.T, 0, 1)
    return _srgb()[np.rint(shown_HWC * (_CODES - 1)).astype(np.uint16)]


@lru_cache(maxsize=2)
def _light(transfer: Transfer) -> np.ndarray:
    """Linear light of each 16-bit signal, float32: of PQ in reference whites, of HLG the scene's from 0 to 1."""
    signal = np.arange(_CODES) / (_CODES - 1)
    if transfer is Transfer.PQ:
        # SMPTE ST 2084.
        m1, m2, c1, c2, c3 = 2610 / 16384, 2523 / 32, 3424 / 4096, 2413 / 128, 2392 / 128
        root = signal ** (1 / m2)
        light = (np.maximum(root - c1, 0) / (c2 - c3 * root)) ** (1 / m1) * 10000 / _REFERENCE_WHITE
    elif transfer is Transfer.HLG:
        # ARIB STD-B67.
        a, b, c = 0.17883277, 0.28466892, 0.55991073
        light = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)
    else:
        raise InternalError(f"{transfer!r} is no transfer function of HDR.")
    return light.astype(np.float32)


@lru_cache(maxsize=1)
def _srgb() -> np.ndarray:
    """uint8 sRGB of each of 65536 steps of linear light (IEC 61966-2-1)."""
    linear = np.arange(_CODES) / (_CODES - 1)
    coded = np.where(linear <= 0.0031308, linear * 12.92, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.rint(coded * 255).astype(np.uint8)
