"""The masks are those of ultralytics' own `predict(retina_masks=True)`, whose formulas stand here in torch.

`of_ultralytics` was compared with ultralytics 8.4.190 itself on these files and pictures (IoU 0.99 and more). The net
shows in its mask what it saw of the picture, so that what is done before and after it counts. (8.4.130 cuts the grey
off in whole prototypes, and so puts such masks beside their place: findings/ultralytics_retina_masks_shifted.sh.)
"""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from maskloss.core.segmenters.yolo_seg import YoloPersonSegmenter

from .tiny_onnx import seeing_yolo

pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")

SIZES = [(640, 427), (1200, 801), (201, 333), (1001, 333), (97, 401)]


def photograph(size: tuple[int, int], striped: bool) -> np.ndarray:
    """Coarse patches, and where asked half of them under stripes two pixels wide, which alias in a smaller picture."""
    rng = np.random.default_rng(size[0])
    coarse_HWC = cv2.resize(rng.integers(0, 256, (6, 9, 3), dtype=np.uint8), size, interpolation=cv2.INTER_CUBIC)
    if not striped:
        return coarse_HWC
    striped_HWC = coarse_HWC.copy()
    striped_HWC[:, 0::4] = 255
    striped_HWC[:, 1::4] = 255
    return np.concatenate([striped_HWC[: size[1] // 2], coarse_HWC[size[1] // 2 :]])


def of_ultralytics(
    rgb_HWC: np.ndarray, input_size: tuple[int, int], box_4: tuple[float, ...], half: bool, free: bool
) -> np.ndarray:
    """bool (H, W): letterboxed with cv2's INTER_LINEAR, the net's red channel at every fourth pixel as the logits,
    brought to the input, the grey cut off, brought to the picture, and cut to the box."""
    height, width = rgb_HWC.shape[:2]
    gain = min(input_size[0] / width, input_size[1] / height)
    inner = (round(width * gain), round(height * gain))
    rest = [whole - part for whole, part in zip(input_size, inner, strict=True)]
    if free:
        rest = [each % 32 for each in rest]
    left, top = (round(each / 2 - 0.1) for each in rest)
    right, bottom = (round(each / 2 + 0.1) for each in rest)
    small_HWC = cv2.resize(rgb_HWC, inner, interpolation=cv2.INTER_LINEAR)
    seen_HWC = cv2.copyMakeBorder(small_HWC, top, bottom, left, right, cv2.BORDER_CONSTANT, value=(114, 114, 114))
    red_HW = torch.from_numpy(seen_HWC[:, :, 0].copy())
    logits_hw = ((red_HW.half() if half else red_HW.float()) / 255)[::4, ::4].float() * 8 - 4
    logits_HW = enlarged(logits_hw, seen_HWC.shape[1::-1])[top : top + inner[1], left : left + inner[0]]
    mask_HW = enlarged(logits_HW, (width, height)).numpy() > 0
    x0, x1 = ((box_4[each] - left) * width / inner[0] for each in (0, 2))
    y0, y1 = ((box_4[each] - top) * height / inner[1] for each in (1, 3))
    across_W, down_H = np.arange(width), np.arange(height)
    mask_HW &= ((across_W >= x0) & (across_W < x1))[None, :]
    mask_HW &= ((down_H >= y0) & (down_H < y1))[:, None]
    return mask_HW


def enlarged(logits_hw: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    return torch.nn.functional.interpolate(logits_hw[None, None], size[::-1], mode="bilinear")[0, 0]


def overlap(one_HW: np.ndarray, other_HW: np.ndarray) -> float:
    return (one_HW & other_HW).sum() / (one_HW | other_HW).sum()


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("input_size", "how"),
    [
        ((256, 256), {}),
        ((256, 256), {"finished": True}),
        ((320, 192), {}),
        ((256, 256), {"dynamic": True}),
        ((320, 192), {"dynamic": True, "finished": True}),
        ((256, 256), {"half": True}),
        ((256, 256), {"half": True, "finished": True, "batch": 2}),
        ((256, 256), {"batch": 3}),
    ],
)
def test_the_masks_are_those_of_ultralytics(
    size: tuple[int, int], input_size: tuple[int, int], how: dict[str, bool], tmp_path: Path
) -> None:
    box_4 = (input_size[0] * 0.1, input_size[1] * 0.2, input_size[0] * 0.85, input_size[1] * 0.9)
    path = seeing_yolo(tmp_path / "y.onnx", input_size, box_4, **how)
    rgb_HWC = photograph(size, striped=min(size) > min(input_size))
    (mask,) = YoloPersonSegmenter(path).segment(rgb_HWC, [])
    theirs_HW = of_ultralytics(rgb_HWC, input_size, box_4, how.get("half", False), how.get("dynamic", False))
    assert 0.05 < theirs_HW.mean() < 0.7, "a mask that shows something"
    assert overlap(mask.probability_HW > 0.5, theirs_HW) > 0.98
