"""LoRA beside frozen layers: its output is added to the layer's output by a forward hook, so that frozen weights get
no gradient and the module is afterwards exactly as it was.

Keys are `diffusion_model.<module>.lora_up.weight`, `.lora_down.weight`, `.alpha`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeGuard

import torch
import torch.nn.functional as F
from torch import nn

from ..errors import TrainingError
from .config import LoraConfig
from .lora_file import KEY_PREFIX, kohya_name

_Convolution = nn.Conv1d | nn.Conv2d | nn.Conv3d
_EXAMPLES = 8


def target_layers(
    module: nn.Module, config: LoraConfig, default_targets: str
) -> dict[str, nn.Linear | _Convolution]:
    """The layers that `config` gives an adapter, by name: linear ones, then convolutions.

    TrainingError when nothing matches, or when `conv` is asked for and no convolution matches.
    """
    pattern = re.compile(config.targets or default_targets)
    linear = {name: layer for name, layer in module.named_modules() if isinstance(layer, nn.Linear)}
    convolutions = {name: layer for name, layer in module.named_modules() if _supported_convolution(layer)}
    if config.conv and not any(pattern.search(name) for name in convolutions):
        raise TrainingError(
            f"conv is on, but no convolution's name matches {pattern.pattern!r}; this model has "
            f"{_listing(convolutions) or 'no convolution that can take an adapter'}. Turn conv off or widen targets."
        )
    candidates = {**linear, **convolutions} if config.conv else linear
    matched = {name: layer for name, layer in candidates.items() if pattern.search(name)}
    if not matched:
        raise TrainingError(
            f"targets {pattern.pattern!r} matches no layer of the model; its layers are named like "
            f"{_listing(candidates) or '(it has none)'}."
        )
    return matched


@dataclass(frozen=True, eq=False)
class _Adapter:
    layer: nn.Linear | _Convolution
    down: nn.Parameter
    up: nn.Parameter

    def delta(self, x: torch.Tensor) -> torch.Tensor:
        x = x.to(self.down.dtype)
        if isinstance(self.layer, nn.Linear):
            return F.linear(F.linear(x, self.down), self.up)
        layer = self.layer
        convolve = _function(layer)
        inner = convolve(x, self.down, None, layer.stride, layer.padding, layer.dilation)
        return convolve(inner, self.up)


class LoraAdapters:
    """All adapters of one run. Trainable only; attach them for as long as they shall act.

    A layer that runs several times in one forward pass gets the same dropout each time.
    """

    def __init__(
        self,
        module: nn.Module,
        config: LoraConfig,
        default_targets: str,
        generator: torch.Generator,
        device: torch.device,
        dtype: torch.dtype,
    ) -> None:
        """Down matrices are drawn from `generator` (a CPU one, Kaiming uniform as everyone does), up matrices are 0."""
        self._module = module
        self._scale = config.alpha / config.rank
        self._alpha = config.alpha
        self._dropout = config.dropout
        self._dropout_seeds: tuple[int, ...] = ()
        self._enabled = True
        self._adapters: dict[str, _Adapter] = {}
        for name, layer in target_layers(module, config, default_targets).items():
            down_shape, up_shape = _shapes(layer, config.rank)
            bound = 1.0 / math.sqrt(math.prod(down_shape[1:]))
            down = (torch.rand(down_shape, generator=generator) * 2 - 1) * bound
            self._adapters[name] = _Adapter(
                layer, nn.Parameter(down.to(device, dtype)), nn.Parameter(torch.zeros(up_shape).to(device, dtype))
            )

    @property
    def layer_names(self) -> tuple[str, ...]:
        """Names of the layers that have an adapter."""
        return tuple(self._adapters)

    @property
    def parameters(self) -> list[nn.Parameter]:
        """Down and up of each layer, in order."""
        return [matrix for adapter in self._adapters.values() for matrix in (adapter.down, adapter.up)]

    @contextmanager
    def attached(self) -> Generator[None]:
        """Act on the module, whose own parameters ask for no gradient meanwhile; afterwards it is as it was."""
        trained = [parameter for parameter in self._module.parameters() if parameter.requires_grad]
        hooks: list[torch.utils.hooks.RemovableHandle] = []
        try:
            for parameter in trained:
                parameter.requires_grad_(False)
            for index, adapter in enumerate(self._adapters.values()):
                hooks.append(adapter.layer.register_forward_hook(self._hook(index, adapter)))
            yield
        finally:
            for hook in hooks:
                hook.remove()
            for parameter in trained:
                parameter.requires_grad_(True)

    @contextmanager
    def disabled(self) -> Generator[None]:
        """The module alone, as the base model; adapters act again afterwards."""
        before, self._enabled = self._enabled, False
        try:
            yield
        finally:
            self._enabled = before

    @contextmanager
    def holding(self, values: Sequence[torch.Tensor]) -> Generator[None]:
        """Act with other values (such as a moving average) in place of the trained ones."""
        with torch.no_grad():
            kept = [parameter.detach().clone() for parameter in self.parameters]
            _copy(values, self.parameters)
            try:
                yield
            finally:
                _copy(kept, self.parameters)

    def set_dropout_seeds(self, seeds: Sequence[int]) -> None:
        """One seed for each sample of the coming batch; none switches dropout off.

        The zeroed values depend on the seed and the layer alone, so a checkpointed block drops the same ones again on
        the way back, and no global random state is touched.
        """
        self._dropout_seeds = tuple(seeds)

    def state_dict(self, values: Sequence[torch.Tensor] | None = None) -> dict[str, torch.Tensor]:
        """The LoRA by its file keys, detached copies on the CPU; `values` in place of the parameters where given."""
        tensors: dict[str, torch.Tensor] = {}
        sources = iter(self.parameters if values is None else values)
        for name, adapter in self._adapters.items():
            for part, matrix in (("lora_down", adapter.down), ("lora_up", adapter.up)):
                value = next(sources).detach().to("cpu", matrix.dtype, copy=True).contiguous()
                tensors[f"{KEY_PREFIX}{name}.{part}.weight"] = value
            tensors[f"{KEY_PREFIX}{name}.alpha"] = torch.tensor(float(self._alpha))
        return tensors

    def load(self, tensors: Mapping[str, torch.Tensor]) -> None:
        """Start from a LoRA with `diffusion_model.` or kohya keys. TrainingError unless layers, shapes, alpha fit."""
        pairs: list[tuple[nn.Parameter, torch.Tensor]] = []
        for name, adapter in self._adapters.items():
            stems = (f"{KEY_PREFIX}{name}", kohya_name(name))
            stem = next((stem for stem in stems if f"{stem}.lora_down.weight" in tensors), None)
            if stem is None:
                raise TrainingError(
                    f"The LoRA to start from has no weights for layer {name!r}, which this run trains; use the same "
                    "targets as that LoRA, or start without it."
                )
            alpha = float(tensors.get(f"{stem}.alpha", torch.tensor(float(adapter.down.shape[0]))))
            if not math.isclose(alpha, self._alpha, rel_tol=1e-3):
                raise TrainingError(
                    f"The LoRA to start from has alpha {alpha:g}, this run {self._alpha:g}; make them equal."
                )
            for part, matrix in (("lora_down", adapter.down), ("lora_up", adapter.up)):
                value = tensors[f"{stem}.{part}.weight"]
                if value.shape != matrix.shape:
                    raise TrainingError(
                        f"The LoRA to start from has shape {tuple(value.shape)} for {name}.{part}, this run "
                        f"{tuple(matrix.shape)}; use the same rank and model."
                    )
                pairs.append((matrix, value))
        with torch.no_grad():
            _copy([value for _, value in pairs], [matrix for matrix, _ in pairs])

    def _hook(self, index: int, adapter: _Adapter) -> Callable[..., torch.Tensor | None]:
        def add(_layer: nn.Module, arguments: tuple[torch.Tensor, ...], output: torch.Tensor) -> torch.Tensor | None:
            if not self._enabled:
                return None
            delta = adapter.delta(self._dropped(arguments[0], index)) * self._scale
            return output + delta.to(output.dtype)

        return add

    def _dropped(self, x: torch.Tensor, layer_index: int) -> torch.Tensor:
        if self._dropout == 0 or not self._dropout_seeds:
            return x
        # A model may fold frames or tokens into the batch axis; each sample's share then stays together.
        shares = len(self._dropout_seeds) if x.shape[0] % len(self._dropout_seeds) == 0 else 1
        keep: list[torch.Tensor] = []
        for share, seed in zip(x.chunk(shares), self._dropout_seeds, strict=False):
            generator = torch.Generator(x.device).manual_seed((seed + 1_000_003 * layer_index) % 2**63)
            keep.append(torch.rand(share.shape, generator=generator, device=x.device) >= self._dropout)
        return x * torch.cat(keep).to(x.dtype) / (1.0 - self._dropout)


def _supported_convolution(layer: nn.Module) -> TypeGuard[_Convolution]:
    return isinstance(layer, _Convolution) and layer.groups == 1 and layer.padding_mode == "zeros"


def _function(layer: _Convolution) -> Callable[..., torch.Tensor]:
    if isinstance(layer, nn.Conv1d):
        return F.conv1d
    return F.conv2d if isinstance(layer, nn.Conv2d) else F.conv3d


def _shapes(layer: nn.Linear | _Convolution, rank: int) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Shapes of down and up; for a convolution as kohya writes them: down has the kernel, up is 1×1."""
    if isinstance(layer, nn.Linear):
        return (rank, layer.in_features), (layer.out_features, rank)
    kernel = tuple(layer.kernel_size)
    return (rank, layer.in_channels, *kernel), (layer.out_channels, rank, *(1 for _ in kernel))


def _copy(values: Sequence[torch.Tensor], parameters: Sequence[nn.Parameter]) -> None:
    for value, parameter in zip(values, parameters, strict=True):
        parameter.copy_(value)


def _listing(layers: Mapping[str, nn.Module]) -> str:
    names = list(layers)
    return ", ".join(names[:_EXAMPLES]) + (f" and {len(names) - _EXAMPLES} more" if len(names) > _EXAMPLES else "")
