"""A loaded ComfyUI model whose large weights are held otherwise while it is trained."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Generator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from types import TracebackType
from typing import Any, TypeGuard

import torch
from torch import nn

from ...autograd.tensors import is_plain
from ...errors import TrainingError
from ...frozen.config import BaseConfig, BasePrecision
from ...frozen.held_base import BaseLayer, HeldBase, Loaded, Product, is_product
from ...frozen.held_weights import Hold, hold
from .architectures import repeated_blocks
from .four_bits import hold_nvfp4, require_nvfp4

# Values of a weight. Outside of the repeated blocks smaller ones, such as those of the first and last layer, stay.
_LARGE = 2**20


class HeldModel:
    """A context in which the large weights of a ComfyUI `BaseModel` are held on `device` as `config` says, and all that
    ComfyUI left in main memory of the others lies there, too. Its parameters and their owners are as before on exit.

    TrainingError where the model is quantised already, or nothing of it can be held.
    """

    def __init__(self, model: Any, device: torch.device, config: BaseConfig) -> None:
        self._network: nn.Module = model.diffusion_model
        self._device = device
        self.holds_weights = config.holds_weights
        layers = held_layers(model, config) if config.holds_weights else []
        self.note = _note(layers) if config.precision is BasePrecision.NVFP4 else ""
        self._base = HeldBase(layers, config, device)
        self._inside = {id(each.layer) for each in layers}
        self._stack = ExitStack()

    def __enter__(self) -> HeldModel:
        with ExitStack() as stack:
            if self._inside:
                stack.enter_context(self._base)
                stack.enter_context(_on_device(self._network, self._device, self._inside))
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    @contextmanager
    def suspend(self) -> Generator[None]:
        """The model as it is, for its owner to run it and move it; held again on exit."""
        self._stack.close()
        try:
            yield
        finally:
            self.__enter__()

    @property
    def nbytes(self) -> int:
        """What held weights take on the device; 0 outside of the context."""
        return self._base.nbytes

    @property
    def inside(self) -> int:
        """See `HeldBase.inside`."""
        return self._base.inside


def held_layers(model: Any, config: BaseConfig) -> list[BaseLayer]:
    """The layers of a ComfyUI `BaseModel` that `config` is about: those of its repeated blocks and other large ones."""
    if config.precision is BasePrecision.NVFP4:
        require_nvfp4()
    network: nn.Module = model.diffusion_model
    blocks = repeated_blocks(network)
    numbers = {id(module): number for number, block in enumerate(blocks) for module in block.modules()}
    swapped = config.swapped(len(blocks), type(model).__name__)
    layers: list[BaseLayer] = []
    for name, layer in network.named_modules():
        number = numbers.get(id(layer))
        if not _is_product(layer) or not (number is not None or layer.weight.numel() >= _LARGE):
            continue
        _refuse_quantised(name, layer, config)
        load = partial(_load, layer, config.precision)
        four_bits = config.precision is BasePrecision.NVFP4 and number is not None and isinstance(layer, nn.Linear)
        how: Hold = hold_nvfp4 if four_bits else hold
        apart = number in swapped
        sharded = None if apart or config.peers is None else number
        layers.append(BaseLayer(name, layer, load, number if apart else None, how, sharded))
    if not layers:
        raise TrainingError(
            f"{type(model).__name__} has no linear layers or convolutions of PyTorch's or ComfyUI's own kind, so "
            "base_precision and blocks_in_main_memory would change nothing; set them to as_loaded and 0."
        )
    return layers


def _note(layers: Sequence[BaseLayer]) -> str:
    """How many layers 4 bits hold, and how many they do not."""
    fours = sum(each.hold is hold_nvfp4 for each in layers)
    convolutions = sum(not isinstance(each.layer, nn.Linear) for each in layers)
    others = len(layers) - fours - convolutions
    return (
        f"base_precision {BasePrecision.NVFP4.value}: {fours} linear layers of the repeated blocks are kept in 4 bits, "
        f"and in int8 {convolutions} convolutions and {others} linear layers outside of the blocks."
    )


def _is_product(layer: nn.Module) -> TypeGuard[Product]:
    own = getattr(type(layer), "forward_comfy_cast_weights", None)
    if own is None:
        return is_product(layer)
    plain = importlib.import_module("comfy.ops").disable_weight_init
    kinds = (plain.Linear, plain.Conv1d, plain.Conv2d, plain.Conv3d)
    # Quantised layers are told by their weight, so that they can be refused by name.
    quantised = type(layer).__qualname__ == "mixed_precision_ops.<locals>.MixedPrecisionOps.Linear"
    return quantised or any(own is kind.forward_comfy_cast_weights for kind in kinds)


def _refuse_quantised(name: str, layer: nn.Module, config: BaseConfig) -> None:
    weight: Any = layer.weight
    plain, precision = is_plain(weight), config.precision
    if plain and (precision is BasePrecision.AS_LOADED or (weight.is_floating_point() and weight.element_size() >= 2)):
        return
    # One of ComfyUI's formats, whose parts can be brought as plain weights are.
    if precision is BasePrecision.AS_LOADED and _is_dequantised_alone(layer):
        return
    found = f"the model is quantised already: {name} is kept as {weight.dtype if plain else type(weight.data).__name__}"
    if precision is BasePrecision.AS_LOADED:
        raise TrainingError(
            f"blocks_in_main_memory is {config.blocks_in_main_memory}, but {found}. Load the model in bf16, fp16, fp32 "
            "or plain fp8, or set blocks_in_main_memory to 0: ComfyUI itself brings what the device has no room for."
        )
    raise TrainingError(
        f"base_precision is {precision.value}, but {found}. Load the model in bf16, fp16 or fp32, or set "
        "base_precision to as_loaded, which trains it as it is."
    )


def _is_dequantised_alone(layer: Any) -> bool:
    """Whether what its quantised weight stands for is all that its input is multiplied by."""
    able = all(hasattr(layer.weight, name) for name in ("__tensor_flatten__", "dequantize"))
    return able and getattr(layer, "pre_quant_scale", None) is None


def _load(layer: Any, precision: BasePrecision, device: torch.device) -> Loaded:
    """Weight and bias with what ComfyUI applies to them as the layer runs, such as a LoRA of the user's."""
    exact = None if precision is BasePrecision.AS_LOADED else torch.float32
    if not hasattr(layer, "comfy_cast_weights"):
        bias = None if layer.bias is None else layer.bias.detach().to(device)
        return layer.weight.detach().to(device), bias
    if not is_plain(layer.weight) and not layer.weight_function:
        return layer.weight.detach().to(device), None if layer.bias is None else layer.bias.detach().to(device)
    # More than the stored precision where it is rounded anyway.
    patched = exact if layer.weight_function else None
    bias_dtype = None if layer.bias is None else layer.bias.dtype
    weight, bias = importlib.import_module("comfy.ops").cast_bias_weight(
        layer, dtype=patched or layer.weight.dtype, device=device, bias_dtype=bias_dtype
    )
    return weight.detach(), None if bias is None else bias.detach()


@contextmanager
def _on_device(network: nn.Module, device: torch.device, apart: set[int]) -> Generator[None]:
    """Keep on `device`, as it acts, what ComfyUI has left in main memory of parameters; restored on exit. Modules whose
    ids are `apart` stay as they are."""
    with ExitStack() as stack:
        for module in network.modules():
            table: dict[str, Any] = vars(module)["_parameters"]
            values = {name: value for name, value in table.items() if value is not None and is_plain(value)}
            functions = {name: getattr(module, f"{name}_function", None) or [] for name in values}
            here = all(value.device == device for value in values.values())
            if id(module) in apart or (here and not any(functions.values())):
                continue
            stack.callback(table.update, dict(table))
            for name, value in values.items():
                table[name] = _acting(value, functions[name], device)
                if functions[name]:
                    stack.callback(setattr, module, f"{name}_function", functions[name])
                    setattr(module, f"{name}_function", [])
        yield


@torch.no_grad()
def _acting(
    value: torch.Tensor, functions: Sequence[Callable[..., torch.Tensor]], device: torch.device
) -> nn.Parameter:
    # ComfyUI's functions may write into what they are given.
    value = value.detach().to(device, copy=bool(functions))
    for function in functions:
        value = function(value)
    return nn.Parameter(value, requires_grad=False)
