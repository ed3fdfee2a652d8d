"""A LoRA file's tensors by layer, and what an adapter of any algorithm comes to as one product, up · down."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch

from ..errors import TrainingError
from .lora_keys import refuse_beyond

# What a layer's keys end in, by LyCORIS' names.
PARTS = (
    ".lora_up.weight", ".lora_down.weight", ".lora_mid.weight", ".alpha", ".dora_scale",
    ".hada_w1_a", ".hada_w1_b", ".hada_w2_a", ".hada_w2_b", ".hada_t1", ".hada_t2",
    ".lokr_w1", ".lokr_w1_a", ".lokr_w1_b", ".lokr_w2", ".lokr_w2_a", ".lokr_w2_b", ".lokr_t2",
)  # fmt: skip
# PEFT's word for a DoRA's magnitude, which it divides by the norm of W + ΔW; `dora_scale` is divided by that of W.
PEFT_MAGNITUDE = ".lora_magnitude_vector"
UP, DOWN, ALPHA, MAGNITUDE = ".lora_up.weight", ".lora_down.weight", ".alpha", ".dora_scale"
_TUCKER = (".lora_mid.weight", ".hada_t1", ".hada_t2", ".lokr_t2")

Layers = dict[str, dict[str, torch.Tensor]]


@dataclass(frozen=True, eq=False)
class Product:
    """ΔW = up · down, the scale in `up`; up (out, rank, …1), down (rank, in, …kernel). A DoRA's magnitude is no part of
    it."""

    up: torch.Tensor
    down: torch.Tensor

    @property
    def rank(self) -> int:
        """Columns of up, rows of down."""
        return self.down.shape[0]


def layers_of(tensors: Mapping[str, torch.Tensor]) -> Layers:
    """The tensors by layer, each with its parts by the ends of their keys. TrainingError for a key that is no LoRA
    key, and naming how many layers carry something that is no product of low rank."""
    refuse_beyond(tensors)
    layers: Layers = {}
    for key, tensor in tensors.items():
        part = next((part for part in (*PARTS, PEFT_MAGNITUDE) if key.endswith(part)), None)
        if part is None:
            raise TrainingError(
                f"{key!r} is no LoRA key; expected a prefix such as diffusion_model. or lora_unet_, a module, one of "
                f"{PARTS}."
            )
        layers.setdefault(key[: -len(part)], {})[part] = tensor
    return layers


def algorithm_of(parts: Mapping[str, torch.Tensor]) -> str:
    """`lora`, `dora`, `loha` or `lokr`; "" where the parts make none of them."""
    if UP in parts and DOWN in parts:
        return "dora" if MAGNITUDE in parts or PEFT_MAGNITUDE in parts else "lora"
    if {".hada_w1_a", ".hada_w1_b", ".hada_w2_a", ".hada_w2_b"} <= parts.keys():
        return "loha"
    first = {".lokr_w1"} <= parts.keys() or {".lokr_w1_a", ".lokr_w1_b"} <= parts.keys()
    second = {".lokr_w2"} <= parts.keys() or {".lokr_w2_a", ".lokr_w2_b"} <= parts.keys()
    return "lokr" if first and second else ""


def refuse_halves(layers: Layers) -> None:
    """TrainingError naming layers whose parts make no adapter, such as a down matrix without its up matrix."""
    halves = [name for name, parts in layers.items() if not algorithm_of(parts)]
    if halves:
        found = ", ".join(sorted(layers[halves[0]]))
        raise TrainingError(
            f"{len(halves)} of the LoRA's {len(layers)} layers are incomplete: {halves[0]!r} has {found} alone, which "
            "makes no LoRA, DoRA, LoHa or LoKr; get or save the file again."
        )


def scale_of(parts: Mapping[str, torch.Tensor]) -> float:
    """What ΔW is multiplied by: alpha / rank, 1 where there is no alpha, or no rank as in a LoKr of whole matrices."""
    if ALPHA not in parts:
        return 1.0
    ranked = next(
        (
            parts[part].shape[axis]
            for part, axis in ((DOWN, 0), (".hada_w1_b", 0), (".lokr_w2_b", 0), (".lokr_w1_b", 0))
            if part in parts
        ),
        None,
    )
    return 1.0 if ranked is None else float(parts[ALPHA]) / ranked


def as_product(name: str, parts: Mapping[str, torch.Tensor], kernel: tuple[int, ...] = ()) -> Product:
    """What an adapter of any algorithm adds, as one product of the least rank that is exact.

    A LoHa of rank r comes to rank r², a LoKr to r times the smaller side of w1; no more than the layer's smaller side.
    `kernel` is that of a convolution, which a LoHa's and most LoKrs' own parts do not tell.

    TrainingError for a Tucker decomposition, and for parts that make no adapter.
    """
    algorithm, scale = algorithm_of(parts), scale_of(parts)
    if not algorithm or any(part in parts for part in _TUCKER):
        raise TrainingError(
            f"The layer {name!r} has {', '.join(sorted(parts))}, which is no LoRA, DoRA, LoHa or LoKr without Tucker "
            "decomposition; it cannot be written as one product."
        )
    if algorithm in ("lora", "dora"):
        up = parts[UP] if scale == 1 else _scale(parts[UP], scale)
        return Product(up, parts[DOWN])
    exact = {part: tensor.double() for part, tensor in parts.items()}
    up, down = _loha(exact) if algorithm == "loha" else _lokr(exact)
    if down.shape[0] > min(up.shape[0], down.shape[1]):
        whole, narrow = up @ down, up.shape[0] <= down.shape[1]
        side = torch.eye(min(whole.shape), dtype=whole.dtype)
        up, down = (side, whole) if narrow else (whole, side)
    down = down.reshape(down.shape[0], -1, *kernel) if kernel else down
    return Product(
        (up * scale).float().reshape(*up.shape, *(1 for _ in kernel)).contiguous(), down.float().contiguous()
    )


def growth_of_rows(name: str, parts: Mapping[str, torch.Tensor], weight: torch.Tensor) -> torch.Tensor:
    """(out,) float64, ‖W+ΔW‖ / ‖W‖ for each row, with the base weight W (out, in, …kernel): a DoRA's magnitude as PEFT
    means it is `dora_scale` times this, and merges to the same weight. TrainingError where the shapes do not fit."""
    product, base = as_product(name, parts), weight.double().flatten(1)
    up, down = product.up.double().flatten(1), product.down.double().flatten(1)
    if (up.shape[0], down.shape[1]) != tuple(base.shape):
        raise TrainingError(
            f"The base model's weight of {name!r} has the shape {tuple(weight.shape)}, the LoRA is for "
            f"{(up.shape[0], down.shape[1])}; give the model that it was trained on."
        )
    return (base + up @ down).norm(dim=1) / base.norm(dim=1)


def _scale(tensor: torch.Tensor, scale: float) -> torch.Tensor:
    # In 16 bits only a power of two multiplies without rounding.
    mantissa, _ = torch.frexp(torch.tensor(scale))
    return tensor * scale if float(mantissa) == 0.5 else tensor.float() * scale


def _loha(parts: Mapping[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    first, second = (parts[".hada_w1_a"], parts[".hada_w1_b"]), (parts[".hada_w2_a"], parts[".hada_w2_b"])
    up = torch.einsum("oi,oj->oij", first[0], second[0]).flatten(1)
    down = torch.einsum("ic,jc->ijc", first[1], second[1]).flatten(0, 1)
    return up, down


def _lokr(parts: Mapping[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor]:
    w1 = parts[".lokr_w1"] if ".lokr_w1" in parts else parts[".lokr_w1_a"] @ parts[".lokr_w1_b"]
    if ".lokr_w2" in parts:
        whole = parts[".lokr_w2"].flatten(1)
        side = torch.eye(min(whole.shape), dtype=whole.dtype)
        pair = (whole, side) if whole.shape[1] < whole.shape[0] else (side, whole)
    else:
        pair = parts[".lokr_w2_a"], parts[".lokr_w2_b"].flatten(1)
    rows, columns = (torch.eye(side, dtype=w1.dtype) for side in w1.shape)
    if w1.shape[0] < w1.shape[1]:
        return torch.kron(rows, pair[0]), torch.kron(w1, pair[1])
    return torch.kron(w1, pair[0].contiguous()), torch.kron(columns, pair[1])
