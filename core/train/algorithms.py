"""What an adapter adds to the output of its layer: LoRA, DoRA, LoHa, LoKr, for linear layers and
convolutions. Names and shapes are those of LyCORIS, as ComfyUI's loaders read them.

With s = alpha / rank, W the layer's weight as a matrix (out, in·kernel):

- lora: ΔW = s · up · down
- dora: W' = m / ‖W‖ · (W + s · up · down), m learnt, the norm over each output's row of the frozen weight
  (arXiv 2402.09353; the norm that ComfyUI divides by when `dora_scale` has one value for each output)
- loha: ΔW = s · (w1_a · w1_b) ∘ (w2_a · w2_b) (arXiv 2108.06098)
- lokr: ΔW = s · w1 ⊗ w2, where w2 = w2_a · w2_b if that is smaller (arXiv 2212.10650)
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeGuard

import torch
import torch.nn.functional as F
from torch import nn

from ..autograd.tensors import is_plain
from ..errors import TrainingError
from .config import Algorithm, LoraConfig
from .low_rank import add_product

Convolution = nn.Conv1d | nn.Conv2d | nn.Conv3d
AdaptedLayer = nn.Linear | Convolution

# What ComfyUI adds to norms when it loads a file.
_EPSILON = torch.finfo(torch.float32).eps


@dataclass(frozen=True)
class _Sizes:
    """Outputs and inputs of a layer, and its kernel, which a linear layer has none of."""

    out: int
    inner: int
    kernel: tuple[int, ...]

    @classmethod
    def of(cls, layer: AdaptedLayer) -> _Sizes:
        if not isinstance(layer, Convolution):
            return cls(layer.out_features, layer.in_features, ())
        return cls(layer.out_channels, layer.in_channels, tuple(layer.kernel_size))


@dataclass(frozen=True, eq=False)
class AdapterPlan:
    """What a fresh adapter is made from: its layer and that layer's name, the generator (on the CPU) of what is random
    in it, and where and in which dtype its parts are trained."""

    name: str
    layer: AdaptedLayer
    config: LoraConfig
    generator: torch.Generator
    device: torch.device
    dtype: torch.dtype


class Adapter(ABC):
    """One layer's adapter. `parts` are its trained tensors by the ends of their file keys, `alpha` as in the file."""

    def __init__(self, plan: AdapterPlan) -> None:
        self.layer = plan.layer
        matrices = self._start(_Sizes.of(plan.layer), plan.config.rank, plan.generator)
        self.parts = {name: nn.Parameter(matrix.to(plan.device, plan.dtype)) for name, matrix in matrices.items()}
        self.alpha = self._alpha(plan.config)
        self._scale = self.alpha / plan.config.rank

    def add_update(self, x: torch.Tensor, output: torch.Tensor) -> torch.Tensor:
        """`output`, which the layer gave for `x`, with the adapter's output added; of the same shape and dtype."""
        return output + self._delta(x.to(self._dtype)).to(output.dtype)

    @property
    def _dtype(self) -> torch.dtype:
        """Of the matrices that meet the input; they come first."""
        return next(iter(self.parts.values())).dtype

    def _alpha(self, config: LoraConfig) -> float:
        return config.alpha

    @abstractmethod
    def _start(self, sizes: _Sizes, rank: int, generator: torch.Generator) -> dict[str, torch.Tensor]:
        """The parts before the first step, on the CPU in float32."""

    @abstractmethod
    def _delta(self, x: torch.Tensor) -> torch.Tensor:
        """ΔW · x. The scale goes where there is least to multiply."""


class _LowRank(Adapter):
    """Down and up; for a convolution as kohya writes them: down has the kernel, up is 1×1."""

    def _start(self, sizes: _Sizes, rank: int, generator: torch.Generator) -> dict[str, torch.Tensor]:
        return {
            "lora_down.weight": _kaiming((rank, sizes.inner, *sizes.kernel), generator),
            "lora_up.weight": torch.zeros(sizes.out, rank, *(1 for _ in sizes.kernel)),
        }

    def _delta(self, x: torch.Tensor) -> torch.Tensor:
        down, up = self.parts["lora_down.weight"], self.parts["lora_up.weight"]
        if not isinstance(self.layer, Convolution):
            return F.linear(F.linear(x, down) * self._scale, up)
        return _function(self.layer)(_convolve(self.layer, x, down) * self._scale, up)


class _Lora(_LowRank):
    """Plain LoRA. On a linear layer of its own dtype the product is added to the output where that lies."""

    def add_update(self, x: torch.Tensor, output: torch.Tensor) -> torch.Tensor:
        of_one_dtype = x.dtype == output.dtype == self._dtype
        # Compiled code is fused by the compiler, which may not be shown writes that autograd is not told of.
        in_place = of_one_dtype and output.is_contiguous() and not torch.compiler.is_compiling()
        if isinstance(self.layer, Convolution) or not in_place:
            return super().add_update(x, output)
        return add_product(output, x, self.parts["lora_down.weight"], self.parts["lora_up.weight"], self._scale)


class _Dora(_LowRank):
    """LoRA with a learnt magnitude for each output, which is kept in float32 whatever the LoRA's dtype: rounded, it
    would not be the base's any more, and a fresh adapter would change the model."""

    def __init__(self, plan: AdapterPlan) -> None:
        super().__init__(plan)
        self._norm = _row_norms(plan.name, plan.layer).to(plan.device)
        shape = (-1, *(1 for _ in plan.layer.weight.shape[1:]))
        self.parts["dora_scale"] = nn.Parameter(self._norm.reshape(shape).clone())

    def add_update(self, x: torch.Tensor, output: torch.Tensor) -> torch.Tensor:
        factor, bias = self.parts["dora_scale"].flatten() / self._norm, self.layer.bias
        # Where the base's row is all zero there is no magnitude to learn, and any would be divided by epsilon.
        factor = torch.where(self._norm > _EPSILON, factor, torch.ones_like(factor))
        if isinstance(self.layer, Convolution):
            trailing = tuple(1 for _ in self.layer.kernel_size)
            factor, bias = factor.reshape(-1, *trailing), None if bias is None else bias.reshape(-1, *trailing)
        unbiased = output if bias is None else output - bias.to(output)
        # Beside the output and not in its place, so that a fresh adapter (factor exactly 1) changes no bit.
        delta = self._delta(x.to(self._dtype)).to(output.dtype)
        return output + ((factor - 1) * unbiased + factor * delta).to(output.dtype)


class _Loha(Adapter):
    """Two products of low rank, multiplied by elements. ΔW is built in every pass: there is no shorter way."""

    def _start(self, sizes: _Sizes, rank: int, generator: torch.Generator) -> dict[str, torch.Tensor]:
        columns = sizes.inner * math.prod(sizes.kernel)
        return {
            "hada_w1_a": torch.randn(sizes.out, rank, generator=generator) * 0.1,
            "hada_w1_b": torch.randn(rank, columns, generator=generator),
            "hada_w2_a": torch.zeros(sizes.out, rank),
            "hada_w2_b": torch.randn(rank, columns, generator=generator),
        }

    def _delta(self, x: torch.Tensor) -> torch.Tensor:
        w1_a, w1_b, w2_a, w2_b = self.parts.values()
        weight = (w1_a @ w1_b) * (w2_a @ w2_b) * self._scale
        if not isinstance(self.layer, Convolution):
            return F.linear(x, weight)
        return _convolve(self.layer, x, weight.reshape(self.layer.weight.shape))


class _Lokr(Adapter):
    """A Kronecker product of a small matrix with a larger one, which is itself of low rank where `rank` makes it so.

    Where it is whole there is no rank to divide by: the scale is 1, and the file says so by alpha = rank.
    """

    def _start(self, sizes: _Sizes, rank: int, generator: torch.Generator) -> dict[str, torch.Tensor]:
        (out_small, out_large), (in_small, in_large) = near_square_factors(sizes.out), near_square_factors(sizes.inner)
        first, columns = {"lokr_w1": _kaiming((out_small, in_small), generator)}, in_large * math.prod(sizes.kernel)
        if rank < max(out_large, in_large) / 2:
            pair = {"lokr_w2_a": _kaiming((out_large, rank), generator), "lokr_w2_b": torch.zeros(rank, columns)}
            return first | pair
        # ComfyUI multiplies two matrices, or a matrix and a 2-D kernel; other kernels go as a matrix.
        tail = (in_large, *sizes.kernel) if len(sizes.kernel) == 2 else (columns,)
        return first | {"lokr_w2": torch.zeros(out_large, *tail)}

    def _alpha(self, config: LoraConfig) -> float:
        return float(config.rank) if "lokr_w2" in self.parts else config.alpha

    def _delta(self, x: torch.Tensor) -> torch.Tensor:
        w1 = self.parts["lokr_w1"] * self._scale
        if not isinstance(self.layer, Convolution):
            # y[l,k] = Σ w1[l,m] w2[k,n] x[m,n], the input cut into m rows of n.
            return (w1 @ self._second(x.unflatten(-1, (w1.shape[1], -1)))).flatten(-2)
        parts = x.unflatten(1, (w1.shape[1], -1)).flatten(0, 1)
        inner = self._second(parts).unflatten(0, (x.shape[0], w1.shape[1]))
        return torch.einsum("lm,bmk...->blk...", w1, inner).flatten(1, 2)

    def _second(self, x: torch.Tensor) -> torch.Tensor:
        """w2 · x."""
        pair = (self.parts["lokr_w2_b"], self.parts["lokr_w2_a"]) if "lokr_w2_a" in self.parts else None
        if not isinstance(self.layer, Convolution):
            return F.linear(F.linear(x, pair[0]), pair[1]) if pair else F.linear(x, self.parts["lokr_w2"])
        kernel = self.layer.kernel_size
        first = pair[0] if pair else self.parts["lokr_w2"]
        inner = _convolve(self.layer, x, first.reshape(first.shape[0], x.shape[1], *kernel))
        if not pair:
            return inner
        return _function(self.layer)(inner, pair[1].reshape(*pair[1].shape, *(1 for _ in kernel)))


_ADAPTERS: dict[Algorithm, Callable[[AdapterPlan], Adapter]] = {
    Algorithm.LORA: _Lora,
    Algorithm.DORA: _Dora,
    Algorithm.LOHA: _Loha,
    Algorithm.LOKR: _Lokr,
}


def build_adapter(plan: AdapterPlan) -> Adapter:
    """A fresh adapter, which changes nothing yet. TrainingError where DoRA cannot read the layer's weight because it is
    quantised."""
    return _ADAPTERS[plan.config.algorithm](plan)


def supported_convolution(layer: nn.Module) -> TypeGuard[Convolution]:
    """Whether adapters can act beside it: no groups, padded with zeros."""
    return isinstance(layer, Convolution) and layer.groups == 1 and layer.padding_mode == "zeros"


def near_square_factors(size: int) -> tuple[int, int]:
    """Two factors of `size` as near to each other as possible, the smaller first: 1024 → (32, 32), 250 → (10, 25)."""
    small = next(factor for factor in range(math.isqrt(size), 0, -1) if size % factor == 0)
    return small, size // small


def _row_norms(name: str, layer: AdaptedLayer) -> torch.Tensor:
    """(out,) float32, plus epsilon."""
    weight = layer.weight
    # An 8-bit weight means something only with scales that lie elsewhere.
    if not is_plain(weight) or not weight.is_floating_point() or weight.element_size() < 2:
        raise TrainingError(
            f"DoRA needs the norm of every adapted weight, and that of {name!r} is quantised "
            f"({type(weight.data).__name__}, {weight.dtype}); load the model in bf16, fp16 or fp32, or choose the "
            "algorithm lora."
        )
    with torch.no_grad():
        norms = weight.float().flatten(1).norm(dim=1)
    return norms + _EPSILON


def _kaiming(shape: tuple[int, ...], generator: torch.Generator) -> torch.Tensor:
    """Uniform as everyone starts these: Kaiming with a = √5."""
    return (torch.rand(shape, generator=generator) * 2 - 1) / math.sqrt(math.prod(shape[1:]))


def _convolve(layer: Convolution, x: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    return _function(layer)(x, weight, None, layer.stride, layer.padding, layer.dilation)


def _function(layer: Convolution) -> Callable[..., torch.Tensor]:
    if isinstance(layer, nn.Conv1d):
        return F.conv1d
    return F.conv2d if isinstance(layer, nn.Conv2d) else F.conv3d
