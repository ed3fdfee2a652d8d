"""LoRA files: safetensors with `diffusion_model.…` or kohya's `lora_unet_…` keys, written whole or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open

from ..errors import PathError, TrainingError
from ..tensor_files import write_tensors

KEY_PREFIX = "diffusion_model."
KOHYA_PREFIX = "lora_unet_"
# What a layer's keys end in, by LyCORIS' names.
PARTS = (
    ".lora_up.weight", ".lora_down.weight", ".lora_mid.weight", ".alpha", ".dora_scale",
    ".hada_w1_a", ".hada_w1_b", ".hada_w2_a", ".hada_w2_b", ".hada_t1", ".hada_t2",
    ".lokr_w1", ".lokr_w1_a", ".lokr_w1_b", ".lokr_w2", ".lokr_w2_a", ".lokr_w2_b", ".lokr_t2",
)  # fmt: skip
# Every adapter has one of these.
_FIRST_PARTS = (".lora_down.weight", ".hada_w1_a", ".lokr_w1", ".lokr_w1_a")
_PEFT_PARTS = {".lora_B.weight": ".lora_up.weight", ".lora_A.weight": ".lora_down.weight"}
# Users of these expect kohya's names (their other tools read nothing else).
_KOHYA_ARCHITECTURES = ("stable-diffusion", "flux-1")


class KeyFormat(str, Enum):
    """How the keys of a LoRA file are written. `auto` follows the architecture in the metadata."""

    AUTO = "auto"
    DIFFUSION_MODEL = "diffusion_model"
    KOHYA = "kohya"


class LoraWeights(dict[str, torch.Tensor]):
    """A LoRA as ComfyUI's LORA_MODEL wire has it, a flat dict of tensors, with the file's metadata."""

    def __init__(self, tensors: Mapping[str, torch.Tensor], metadata: Mapping[str, str] | None = None) -> None:
        super().__init__(tensors)
        self.metadata: dict[str, str] = dict(metadata or {})


def kohya_name(module: str) -> str:
    """Module name as kohya's files have it: `blocks.0.qkv` to `lora_unet_blocks_0_qkv`."""
    return KOHYA_PREFIX + module.replace(".", "_")


def with_key_format(
    tensors: Mapping[str, torch.Tensor], key_format: KeyFormat, architecture: str = ""
) -> dict[str, torch.Tensor]:
    """The same tensors under the keys of `key_format`.

    TrainingError for a key that is no LoRA key, and where kohya's names shall become `diffusion_model.…`: their
    underscores no longer say where a module's name had dots.
    """
    kohya = key_format is KeyFormat.KOHYA or (
        key_format is KeyFormat.AUTO and architecture.startswith(_KOHYA_ARCHITECTURES)
    )
    renamed: dict[str, torch.Tensor] = {}
    for key, tensor in tensors.items():
        part = next((part for part in PARTS if key.endswith(part)), None)
        if part is None or not key.startswith((KEY_PREFIX, KOHYA_PREFIX)):
            raise TrainingError(
                f"{key!r} is no LoRA key; expected {KEY_PREFIX} or {KOHYA_PREFIX}, a module, one of {PARTS}."
            )
        stem = key[: -len(part)]
        if kohya and stem.startswith(KEY_PREFIX):
            stem = kohya_name(stem[len(KEY_PREFIX) :])
        elif key_format is KeyFormat.DIFFUSION_MODEL and stem.startswith(KOHYA_PREFIX):
            raise TrainingError(
                f"{key!r} has kohya's name, from which the module's own cannot be told; save with key_format kohya."
            )
        renamed[stem + part] = tensor
    return renamed


def save_lora(
    path: Path,
    tensors: Mapping[str, torch.Tensor],
    metadata: Mapping[str, str] | None = None,
    key_format: KeyFormat = KeyFormat.AUTO,
) -> None:
    """Write a LoRA to `path`, replacing what is there, whole or not at all. `metadata` defaults to the tensors' own."""
    own = tensors.metadata if isinstance(tensors, LoraWeights) else {}
    chosen = dict(own if metadata is None else metadata)
    named = with_key_format(tensors, key_format, chosen.get("modelspec.architecture", ""))
    ready = {key: tensor.detach().to("cpu").contiguous() for key, tensor in named.items()}
    write_tensors(path, ready, {"format": "pt", **chosen})


def load_lora(path: Path) -> LoraWeights:
    """Read a LoRA file; `lora_A` / `lora_B` become `lora_down` / `lora_up`.

    PathError when there is none, TrainingError when it is damaged or holds no LoRA.
    """
    if not path.is_file():
        raise PathError(f"There is no LoRA file at {path}; give the path of a .safetensors file.")
    tensors: dict[str, torch.Tensor] = {}
    try:
        with safe_open(path, framework="pt") as file:
            metadata: dict[str, str] = dict(file.metadata() or {})
            for key in file.keys():  # noqa: SIM118 - a safetensors handle, no dict
                part = next((part for part in _PEFT_PARTS if key.endswith(part)), None)
                tensors[key if part is None else key[: -len(part)] + _PEFT_PARTS[part]] = file.get_tensor(key)
    except SafetensorError as problem:
        raise TrainingError(f"{path} is no readable safetensors file ({problem}); save the LoRA again.") from problem
    if not any(key.endswith(_FIRST_PARTS) for key in tensors):
        raise TrainingError(
            f"{path} holds no LoRA: none of its {len(tensors)} keys ends in one of {', '.join(_FIRST_PARTS)}."
        )
    return LoraWeights(tensors, metadata)
