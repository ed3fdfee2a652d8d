"""dlib's face recognition ResNet (128 numbers a face), from the weights of @vladmandic/face-api, in torch.

Layers, "same" padding and the two-branch downscaling follow dlib's dnn_face_recognition_ex; the convolutions'
batch norms are folded into scale and bias in these weights.
"""

from __future__ import annotations

import json
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
import torch.nn.functional as F

from ..errors import ModelMissingError
from ..progress import check_interrupted
from .install import require
from .registry import FACE_EMBEDDING, FACE_EMBEDDING_MANIFEST

_INPUT_PX = 150
_MEAN_RGB = (122.782, 117.001, 104.298)
# Right eye, left eye, nose tip and mouth centre in dlib's 150-pixel face chip.
_CHIP_POINTS_42 = np.array([[52.7, 46.6], [97.3, 46.6], [75.0, 76.6], [75.0, 108.0]])
_LAYERS = (
    ("res", "conv32_1"), ("res", "conv32_2"), ("res", "conv32_3"),
    ("down", "conv64_down"), ("res", "conv64_1"), ("res", "conv64_2"), ("res", "conv64_3"),
    ("down", "conv128_down"), ("res", "conv128_1"), ("res", "conv128_2"),
    ("down", "conv256_down"), ("res", "conv256_1"), ("res", "conv256_2"), ("down", "conv256_down_out"),
)  # fmt: skip


def align(rgb_HWC: np.ndarray, keypoints_K2: np.ndarray) -> np.ndarray:
    """Cut the face out upright, 150 x 150 RGB uint8, by its first four keypoints (eyes, nose, mouth)."""
    matrix_23 = _similarity_transform(np.asarray(keypoints_K2[:4], np.float64), _CHIP_POINTS_42)
    scale = float(np.hypot(matrix_23[0, 0], matrix_23[1, 0]))
    if scale < 0.5:
        # warpAffine does not average, so a face much larger than the chip is shrunk first.
        rgb_HWC = cv2.resize(rgb_HWC, None, fx=2 * scale, fy=2 * scale, interpolation=cv2.INTER_AREA)
        matrix_23 = matrix_23.copy()
        matrix_23[:, :2] /= 2 * scale
    return cv2.warpAffine(rgb_HWC, matrix_23, (_INPUT_PX, _INPUT_PX), flags=cv2.INTER_LINEAR)


def embed(chips_NHWC: np.ndarray) -> np.ndarray:
    """Embeddings (N, 128) float32 of aligned faces (N, 150, 150, 3) RGB uint8.

    May raise the host's interrupt before it begins.
    """
    check_interrupted()
    return _network(require(FACE_EMBEDDING), require(FACE_EMBEDDING_MANIFEST))(chips_NHWC)


class DlibFaceNet:
    """The network over its named weights."""

    def __init__(self, weights: dict[str, torch.Tensor]) -> None:
        self._weights = {
            name: each.permute(3, 2, 0, 1).contiguous(memory_format=torch.channels_last) if each.ndim == 4 else each
            for name, each in weights.items()
        }

    @torch.no_grad()
    def __call__(self, chips_NHWC: np.ndarray) -> np.ndarray:
        x = (torch.from_numpy(chips_NHWC.astype(np.float32)) - torch.tensor(_MEAN_RGB)) / 256.0
        x = x.permute(0, 3, 1, 2).contiguous(memory_format=torch.channels_last)
        x = F.relu(self._conv(x, "conv32_down", stride=2, same=False))
        x = F.max_pool2d(x, 3, 2)
        for kind, name in _LAYERS:
            x = self._residual(x, name) if kind == "res" else self._down(x, name)
        return (x.mean((2, 3)) @ self._weights["fc"]).numpy()

    def _conv(self, x: torch.Tensor, name: str, stride: int, same: bool) -> torch.Tensor:
        weights = self._weights
        kernel = weights[f"{name}/conv/filters"]
        if same:
            total = max((-(-x.shape[2] // stride) - 1) * stride + kernel.shape[2] - x.shape[2], 0)
            before, after = total // 2, total - total // 2
            x = F.pad(x, (before, after, before, after))
        y = F.conv2d(x, kernel, weights[f"{name}/conv/bias"], stride=stride)
        scale, bias = weights[f"{name}/scale/weights"], weights[f"{name}/scale/biases"]
        return y * scale.view(1, -1, 1, 1) + bias.view(1, -1, 1, 1)

    def _residual(self, x: torch.Tensor, name: str) -> torch.Tensor:
        y = F.relu(self._conv(x, f"{name}/conv1", stride=1, same=True))
        return F.relu(self._conv(y, f"{name}/conv2", stride=1, same=True) + x)

    def _down(self, x: torch.Tensor, name: str) -> torch.Tensor:
        y = F.relu(self._conv(x, f"{name}/conv1", stride=2, same=False))
        y = self._conv(y, f"{name}/conv2", stride=1, same=True)
        skip = F.avg_pool2d(x, 2, 2)
        y = F.pad(y, (0, skip.shape[3] - y.shape[3], 0, skip.shape[2] - y.shape[2]))
        skip = F.pad(skip, (0, 0, 0, 0, 0, y.shape[1] - skip.shape[1]))
        return F.relu(skip + y)


def load_tfjs(manifest: Path, binary: Path) -> dict[str, torch.Tensor]:
    """Read a TensorFlow.js weight file: float32 tensors by name, uint8 ones scaled back.

    ModelMissingError when the manifest does not describe the binary exactly.
    """
    content = binary.read_bytes()
    weights: dict[str, torch.Tensor] = {}
    offset = 0
    for entry in _entries(manifest):
        shape = tuple(int(side) for side in entry["shape"])
        quantization = entry.get("quantization")
        dtype = np.dtype(str(quantization["dtype"] if quantization else entry["dtype"]))
        count = int(np.prod(shape, dtype=np.int64))
        if offset + count * dtype.itemsize > len(content):
            break
        values = np.frombuffer(content, dtype, count, offset).astype(np.float32)
        offset += count * dtype.itemsize
        if quantization:
            values = values * np.float32(quantization["scale"]) + np.float32(quantization["min"])
        weights[str(entry["name"])] = torch.from_numpy(values.reshape(shape).copy())
    if offset != len(content) or len(weights) != len(_entries(manifest)):
        raise ModelMissingError(
            f"{binary} has {len(content)} bytes, {manifest.name} describes another number; "
            "run `maskloss models --install`, which checks and replaces damaged files."
        )
    return weights


def _entries(manifest: Path) -> list[dict[str, Any]]:
    groups: list[dict[str, Any]] = json.loads(manifest.read_text(encoding="utf-8"))
    return [entry for group in groups for entry in group["weights"]]


@lru_cache(maxsize=2)
def _network(binary: Path, manifest: Path) -> DlibFaceNet:
    return DlibFaceNet(load_tfjs(manifest, binary))


def _similarity_transform(source_N2: np.ndarray, target_N2: np.ndarray) -> np.ndarray:
    """2 x 3 rotation, scale and shift that takes `source` nearest to `target` (least squares, closed form)."""
    source_mean, target_mean = source_N2.mean(0), target_N2.mean(0)
    source, target = source_N2 - source_mean, target_N2 - target_mean
    norm = max(float((source**2).sum()), 1e-9)
    a = float((source * target).sum()) / norm
    b = float((source[:, 0] * target[:, 1] - source[:, 1] * target[:, 0]).sum()) / norm
    rotation = np.array([[a, -b], [b, a]])
    return np.concatenate([rotation, (target_mean - rotation @ source_mean)[:, None]], axis=1)
