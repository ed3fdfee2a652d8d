"""Whether an image processor shows its model the whole picture and nothing else: asked for by name, and by trying."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch

_SWITCHES = ("do_center_crop", "do_pad")
# (height, width) of what it is tried on: long enough that a square cut out of it misses the ends.
_SHAPES = ((64, 256), (256, 64))
_FRAME = 8  # the trial's frame is an eighth of each side wide
_INSIDE, _GREY, _WHITE = 0.1, 128, 255


def what_is_cut(processor: Any) -> str | None:
    """What in the preprocessing leaves out a part of the picture or puts something around it; None when nothing does.

    Some processors cut without a setting that says so (ConvNext's does below 384 pixels), hence the trial: of a grey
    picture with a white frame all four sides of the frame must arrive, as wide as they were. May raise whatever the
    processor raises.
    """
    if switches := [name for name in _SWITCHES if getattr(processor, name, False)]:
        return " and ".join(switches)
    if all(_arrives_whole(processor, *shape) for shape in _SHAPES):
        return None
    return f"a cut or a border of its own ({type(processor).__name__})"


def _arrives_whole(processor: Any, height: int, width: int) -> bool:
    framed_HW = np.full((height, width), _WHITE, np.uint8)
    high, wide = height // _FRAME, width // _FRAME
    framed_HW[high:-high, wide:-wide] = _GREY
    grey, white, framed = (
        _process(processor, picture_HW)
        for picture_HW in (np.full_like(framed_HW, _GREY), np.full_like(framed_HW, _WHITE), framed_HW)
    )
    if grey is None or white is None or framed is None or bool((white == grey).any()):
        return False
    share_hw = (framed - grey) / (white - grey)  # 1 on the frame, 0 inside
    rows, columns = share_hw.shape
    half, more = (
        (rows // (2 * _FRAME), columns // (2 * _FRAME)),
        (rows * 3 // (2 * _FRAME), columns * 3 // (2 * _FRAME)),
    )
    ends = (share_hw[: half[0]], share_hw[-half[0] :], share_hw[:, : half[1]], share_hw[:, -half[1] :])
    inside_hw = share_hw[more[0] : -more[0], more[1] : -more[1]]
    return all(float(end.mean()) > 1 - _INSIDE for end in ends) and float(inside_hw.mean()) < _INSIDE


def _process(processor: Any, grey_HW: np.ndarray) -> torch.Tensor | None:
    """What the model would see of a grey picture, (h, w) float32; None when it would be several pictures."""
    pixels = processor(images=[np.repeat(grey_HW[:, :, None], 3, axis=2)], return_tensors="pt")["pixel_values"]
    return pixels[0].float().mean(dim=0) if pixels.ndim == 4 and len(pixels) == 1 else None
