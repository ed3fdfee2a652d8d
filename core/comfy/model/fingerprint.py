"""Fingerprints of ComfyUI models, from samples of their weights: without reading gigabytes."""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Mapping, Sequence
from typing import Any

import torch

_SAMPLES = 64


def patcher_fingerprint(patcher: Any, prefix: str = "") -> str:
    """Hex digest over a ModelPatcher's weights and patches (LoRAs), whether or not the patches are applied.

    It covers name, shape, dtype and 64 evenly spaced values of each tensor whose name starts with `prefix`. Two
    trainings of one network differ in nearly every tensor.
    """
    digest = hashlib.sha256()
    backup: Mapping[str, Any] = patcher.backup
    for name, tensor in sorted(patcher.model.state_dict().items()):
        if name.startswith(prefix) and torch.is_tensor(tensor):
            digest.update(name.encode())
            _update_digest(digest, backup[name].weight if name in backup else tensor)
    for name in sorted(patcher.patches):
        if name.startswith(prefix):
            digest.update(name.encode())
            _update_digest(digest, patcher.patches[name])
    return digest.hexdigest()[:16]


def model_fingerprint(patcher: Any, dtype: str, guidance: float | None) -> str:
    """What a ModelPatcher's training depends on: its class, the `dtype` that it samples in, schedule, guidance and
    weights."""
    sampling = patcher.get_model_object("model_sampling")
    schedule = f"shift{sampling.shift:g}" if hasattr(sampling, "shift") else f"{float(sampling.sigma_max):.4g}"
    sound = getattr(sampling, "audio_shift", None)
    parts = [type(patcher.model).__name__, dtype.removeprefix("torch."), schedule]
    parts += [] if sound is None else [f"sound{sound:g}"]
    parts += [] if guidance is None else [f"guidance{guidance:g}"]
    return "-".join(["comfy", *parts, patcher_fingerprint(patcher, "diffusion_model.")])


def _update_digest(digest: Any, value: Any) -> None:
    if torch.is_tensor(value):
        digest.update(f"{tuple(value.shape)}{value.dtype}".encode())
        digest.update(_sample_values(value))
    elif isinstance(value, Mapping):
        for key in sorted(value, key=str):
            digest.update(str(key).encode())
            _update_digest(digest, value[key])
    elif isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        for each in value:
            _update_digest(digest, each)
    elif isinstance(value, float):
        digest.update(struct.pack("<d", value))
    elif isinstance(value, (str, int, bytes)) or value is None:
        digest.update(repr(value).encode())
    elif hasattr(value, "weights"):
        # ComfyUI's weight adapters hold their tensors there.
        digest.update(type(value).__name__.encode())
        _update_digest(digest, value.weights)


def _sample_values(tensor: torch.Tensor) -> bytes:
    """Up to 64 values, evenly spread, as bytes."""
    if tensor.numel() == 0 or tensor.is_meta:
        return b""
    flat = tensor.detach().reshape(-1)
    count = min(_SAMPLES, flat.numel())
    where = torch.linspace(0, flat.numel() - 1, count, dtype=torch.float64).round().long().to(flat.device)
    return flat[where].to("cpu", torch.float32).numpy().tobytes()
