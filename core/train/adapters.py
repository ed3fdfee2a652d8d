"""Adapters beside frozen layers: their output is added to the layer's output by a forward hook, so that frozen weights
get no gradient and the module is afterwards exactly as it was.

Keys are `diffusion_model.<module>.alpha` and the algorithm's parts, such as `.lora_up.weight`, `.lora_down.weight`.
"""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import contextmanager

import torch
from torch import nn

from ..autograd.tensors import is_linear
from ..errors import TrainingError
from ..first_names import first_names
from .algorithms import AdaptedLayer, Adapter, AdapterPlan, build_adapter, supported_convolution
from .config import LoraConfig
from .lora_layers import PARTS
from .lora_names import KEY_PREFIX, kohya_name
from .lora_start import has_our_names, starting_tensors

_EXAMPLES = 8
# A block's path, such as `input_blocks.4.1.transformer_blocks.0.`
_BLOCK = re.compile(r"^.*(block|layer|refiner)s?\.(\d+\.)+")


def target_layers(module: nn.Module, config: LoraConfig, default_targets: str) -> dict[str, AdaptedLayer]:
    """The layers that `config` gives an adapter, by name: linear ones, then convolutions.

    TrainingError when nothing matches, or when `conv` is asked for and no convolution matches.
    """
    pattern = re.compile(config.targets or default_targets)
    linear = {name: layer for name, layer in module.named_modules() if is_linear(layer)}
    convolutions = {name: layer for name, layer in module.named_modules() if supported_convolution(layer)}
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
        """Fresh adapters, which change nothing yet; what is random is drawn from `generator`, a CPU one.

        TrainingError when nothing matches `config`, and where DoRA cannot read a layer's weight.
        """
        self._module = module
        self._rank = config.rank
        self._dropout = config.dropout
        self._dropout_seeds: tuple[int, ...] = ()
        self._enabled = True
        self._adapters: dict[str, Adapter] = {
            name: build_adapter(AdapterPlan(name, layer, config, generator, device, dtype))
            for name, layer in target_layers(module, config, default_targets).items()
        }

    @property
    def layer_names(self) -> tuple[str, ...]:
        """Names of the layers that have an adapter."""
        return tuple(self._adapters)

    @property
    def listing(self) -> str:
        """Which layers those are: how many have which name inside of their block."""
        counts = Counter(_BLOCK.sub("", name) for name in self._adapters)
        return ", ".join(f"{count} x {name}" for name, count in counts.items())

    @property
    def parameters(self) -> list[nn.Parameter]:
        """Each layer's parts, in order."""
        return [matrix for adapter in self._adapters.values() for matrix in adapter.parts.values()]

    @contextmanager
    def attach(self) -> Generator[None]:
        """Act on the module, whose own parameters are frozen; afterwards it is as it was."""
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
    def disable(self) -> Generator[None]:
        """The module alone, as the base model; adapters act again afterwards."""
        before, self._enabled = self._enabled, False
        try:
            yield
        finally:
            self._enabled = before

    @contextmanager
    def swapped_in(self, values: Sequence[torch.Tensor]) -> Generator[None]:
        """Swap other values (such as a moving average) in for the trained parameters; afterwards they are as before."""
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
        the backward pass, and no global random state is touched.
        """
        self._dropout_seeds = tuple(seeds)

    def state_dict(self, values: Sequence[torch.Tensor] | None = None) -> dict[str, torch.Tensor]:
        """The LoRA by its file keys, detached copies on the CPU; `values` in place of the parameters where given."""
        tensors: dict[str, torch.Tensor] = {}
        sources = iter(self.parameters if values is None else values)
        for name, adapter in self._adapters.items():
            for part, matrix in adapter.parts.items():
                value = next(sources).detach().to("cpu", matrix.dtype, copy=True).contiguous()
                tensors[f"{KEY_PREFIX}{name}.{part}"] = value
            tensors[f"{KEY_PREFIX}{name}.alpha"] = torch.tensor(float(adapter.alpha))
        return tensors

    def load(self, tensors: Mapping[str, torch.Tensor], architecture: str = "") -> None:
        """Start from a LoRA with `diffusion_model.` or kohya keys, or with another program's for a model of that
        `architecture`.

        TrainingError unless algorithm, layers, shapes and alpha fit; then nothing has been changed.
        """
        if not has_our_names(tensors, architecture, self._adapters):
            tensors = starting_tensors(tensors, architecture, self._adapters)
        pairs: list[tuple[nn.Parameter, torch.Tensor]] = []
        dropped = set(tensors)
        for name, adapter in self._adapters.items():
            stems = (f"{KEY_PREFIX}{name}", kohya_name(name))
            found = {stem: {part for part in PARTS if f"{stem}{part}" in tensors} - {".alpha"} for stem in stems}
            stem = next((stem for stem in stems if found[stem]), None)
            if stem is None:
                raise TrainingError(
                    f"The LoRA to start from has no weights for layer {name!r}, which this run trains; use the same "
                    "targets as that LoRA, or start without it."
                )
            wanted = {f".{part}" for part in adapter.parts}
            if found[stem] != wanted:
                raise TrainingError(
                    f"The LoRA to start from has {', '.join(sorted(found[stem]))} for layer {name!r}, this run "
                    f"{', '.join(sorted(wanted))}; use the same algorithm and rank as that LoRA."
                )
            alpha = float(tensors.get(f"{stem}.alpha", torch.tensor(float(self._rank))))
            if not math.isclose(alpha, adapter.alpha, rel_tol=1e-3):
                raise TrainingError(
                    f"The LoRA to start from has alpha {alpha:g}, this run {adapter.alpha:g}; make them equal."
                )
            for part, matrix in adapter.parts.items():
                value = tensors[f"{stem}.{part}"]
                if value.shape != matrix.shape:
                    raise TrainingError(
                        f"The LoRA to start from has shape {tuple(value.shape)} for {name}.{part}, this run "
                        f"{tuple(matrix.shape)}; use the same rank and model."
                    )
                pairs.append((matrix, value))
            dropped -= {f"{stem}{part}" for part in PARTS}
        if dropped:
            raise TrainingError(
                f"The LoRA to start from has {len(dropped)} tensors that this run would drop, such as {min(dropped)}; "
                "use the same targets and conv as that LoRA, or start without it."
            )
        with torch.no_grad():
            _copy([value for _, value in pairs], [matrix for matrix, _ in pairs])

    def _hook(self, index: int, adapter: Adapter) -> Callable[..., torch.Tensor | None]:
        def add(_layer: nn.Module, arguments: tuple[torch.Tensor, ...], output: torch.Tensor) -> torch.Tensor | None:
            if not self._enabled:
                return None
            return adapter.add_update(self._drop_out(arguments[0], index), output)

        return add

    def _drop_out(self, x: torch.Tensor, layer_index: int) -> torch.Tensor:
        if self._dropout == 0 or not self._dropout_seeds:
            return x
        # A model may fold frames or tokens into the batch axis; each sample's rows then stay together.
        chunks = len(self._dropout_seeds) if x.shape[0] % len(self._dropout_seeds) == 0 else 1
        keep: list[torch.Tensor] = []
        for chunk, seed in zip(x.chunk(chunks), self._dropout_seeds, strict=False):
            generator = torch.Generator(x.device).manual_seed((seed + 1_000_003 * layer_index) % 2**63)
            keep.append(torch.rand(chunk.shape, generator=generator, device=x.device) >= self._dropout)
        return x * torch.cat(keep).to(x.dtype) / (1.0 - self._dropout)


def _copy(values: Sequence[torch.Tensor], parameters: Sequence[nn.Parameter]) -> None:
    for value, parameter in zip(values, parameters, strict=True):
        parameter.copy_(value)


def _listing(layers: Mapping[str, nn.Module]) -> str:
    return first_names(list(layers), _EXAMPLES)
