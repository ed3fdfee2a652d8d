"""Runs TFLite networks in torch, several pictures at once.

Equal for any batch and any number of threads: the convolutions are oneDNN's wherever there is one, which sums in the
same order always. Tensors are NCHW whose memory lies as NHWC, as TFLite's do.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F

from .tflite import Graph, Kind, Operator, Table

Run = Callable[..., torch.Tensor]
_NHWC = torch.channels_last
_SAME = 0  # padding of schema.fbs
_NO_PADDING = (0, 0, 0, 0)
_ACTIVATIONS: dict[int, Run | None] = {0: None, 1: torch.relu_, 3: lambda x: x.clamp_(0, 6)}
# The same by the names of oneDNN's fused convolution, with their numbers.
_FUSED: dict[int, tuple[str, list[float]]] = {0: ("none", []), 1: ("relu", []), 3: ("hardtanh", [0.0, 6.0])}


@dataclass(frozen=True, eq=False)
class _Step:
    """One operator as a function of tensors by number; `last`: those that nobody needs after it."""

    run: Run
    inputs: tuple[int, ...]
    output: int
    last: tuple[int, ...]


class TorchGraph:
    """The part of a graph that `outputs` need, for any number of threads.

    KeyError for the name of an output that the graph has not, ValueError for an operator that is used in a way that no
    bundled network has.
    """

    def __init__(self, graph: Graph, outputs: Sequence[str]) -> None:
        self._input = graph.input
        self._outputs = [graph.names[name] for name in outputs]
        needed, operators = set(self._outputs), list[Operator]()
        for operator in reversed(graph.operators):
            if operator.output in needed:
                operators.insert(0, operator)
                needed |= set(operator.inputs)
        uses = Counter(number for operator in operators for number in operator.inputs)
        uses.update(self._outputs)
        # A ReLU that alone reads what a convolution or a sum has just made may change it in its place.
        fresh = {
            operator.output
            for operator in operators
            if operator.kind in (Kind.CONV_2D, Kind.DEPTHWISE_CONV_2D, Kind.ADD) and uses[operator.output] == 1
        }
        self._steps: list[_Step] = []
        later = set(self._outputs)
        for operator in reversed(operators):
            inputs = tuple(number for number in operator.inputs if number not in graph.constants)
            step = _Step(_build(operator, graph, fresh), inputs, operator.output, tuple(set(inputs) - later))
            later |= set(inputs)
            self._steps.insert(0, step)

    @torch.inference_mode()
    def __call__(self, pictures_NHWC: np.ndarray) -> list[np.ndarray]:
        """Feed float32 pictures; returns the outputs in the shapes of the file, with a batch before them."""
        values = {self._input: torch.from_numpy(pictures_NHWC).permute(0, 3, 1, 2)}
        for step in self._steps:
            values[step.output] = step.run(*(values[number] for number in step.inputs))
            for number in step.last:
                del values[number]
        return [_as_file(values[number]).numpy() for number in self._outputs]


def _as_file(x: torch.Tensor) -> torch.Tensor:
    return x.permute(0, 2, 3, 1).contiguous() if x.ndim == 4 else x.contiguous()


def _build(operator: Operator, graph: Graph, fresh: set[int]) -> Run:
    kind, options = operator.kind, operator.options
    constants = [graph.constants[number] for number in operator.inputs if number in graph.constants]
    if kind in (Kind.CONV_2D, Kind.DEPTHWISE_CONV_2D):
        return _convolution(operator, graph, constants)
    if kind in (Kind.MAX_POOL_2D, Kind.AVERAGE_POOL_2D):
        return _pool(operator, graph)
    if kind is Kind.PAD:
        return _pad(constants[0])
    if kind is Kind.PRELU:
        slope = torch.from_numpy(constants[0].reshape(-1).copy())
        return lambda x: F.prelu(x, slope)
    if kind is Kind.RESIZE_BILINEAR:
        return _resize(constants[0], options)
    if kind is Kind.RESHAPE:
        shape = graph.shapes[operator.output][1:]
        return lambda x: _as_file(x).reshape(x.shape[0], *shape)
    if kind is Kind.CUSTOM:
        return _transposed_convolution(operator, constants)
    if constants:
        raise ValueError(f"{kind.name} of a constant")
    if kind is Kind.ADD:
        act = _ACTIVATIONS[0 if options is None else options.number(0, "b")]
        return torch.add if act is None else lambda x, y: act(x + y)
    if kind is Kind.CONCATENATION:
        return lambda *parts: torch.cat(parts, 1)
    if kind is Kind.RELU and operator.inputs[0] in fresh:
        return torch.relu_
    plain: dict[Kind, Run] = {
        Kind.RELU: torch.relu, Kind.LOGISTIC: torch.sigmoid, Kind.HARD_SWISH: F.hardswish, Kind.MUL: torch.mul,
    }  # fmt: skip
    return plain[kind]


def _convolution(operator: Operator, graph: Graph, constants: Sequence[np.ndarray]) -> Run:
    weights, bias = constants
    options = _required(operator)
    depthwise = operator.kind is Kind.DEPTHWISE_CONV_2D
    kernel = torch.from_numpy(weights.transpose((3, 0, 1, 2) if depthwise else (0, 3, 1, 2)).copy())
    kernel, shift = kernel.contiguous(memory_format=_NHWC), torch.from_numpy(bias.copy())
    groups = kernel.shape[0] if depthwise else 1
    activation = options.number(4 if depthwise else 3, "b")
    stride = (options.number(2), options.number(1))
    size = (kernel.shape[2], kernel.shape[3])
    padding = _NO_PADDING
    if options.number(0, "b") == _SAME:
        padding = _same_padding(size, stride, graph.shapes[operator.inputs[0]])
    left, right, top, bottom = padding
    even = left == right and top == bottom
    inside = (top, left) if even else (0, 0)
    convolve = _with_activation(kernel, shift, inside, stride, groups, activation)
    return convolve if even else lambda x: convolve(_bordered(x, padding))


def _with_activation(
    kernel: torch.Tensor,
    shift: torch.Tensor,
    padding: tuple[int, int],
    stride: tuple[int, int],
    groups: int,
    activation: int,
) -> Run:
    """A convolution and what comes after it, in one pass where torch can."""
    act = _ACTIVATIONS[activation]

    def plain(x: torch.Tensor) -> torch.Tensor:
        y = F.conv2d(x, kernel, shift, stride, padding, 1, groups)
        return y if act is None else act(y)

    def by_onednn(x: torch.Tensor) -> torch.Tensor:
        # What F.conv2d would take for some shapes only: for one thread and 1 x 1 it has a slower way of its own.
        x = x.contiguous(memory_format=_NHWC)
        y = torch.mkldnn_convolution(x, kernel, shift, padding, stride, (1, 1), groups)
        return y if act is None else act(y)

    if not _has_onednn():
        return plain
    if not _has_fused():
        return by_onednn
    name, bounds = _FUSED[activation]
    packed = torch.ops.mkldnn._reorder_convolution_weight(kernel, padding, stride, (1, 1), groups)
    return lambda x: torch.ops.mkldnn._convolution_pointwise(
        x.contiguous(memory_format=_NHWC), packed, shift, padding, stride, (1, 1), groups, name, bounds, ""
    )


def _bordered(x: torch.Tensor, padding: tuple[int, int, int, int]) -> torch.Tensor:
    """Zeros around x, as F.pad gives, which fills all of it first."""
    left, right, top, bottom = padding
    pictures, channels, height, width = x.shape
    size = (pictures, channels, height + top + bottom, width + left + right)
    padded = torch.empty(size, dtype=x.dtype, memory_format=_NHWC)
    padded[:, :, :top], padded[:, :, top + height :] = 0, 0
    padded[..., :left], padded[..., left + width :] = 0, 0
    padded[:, :, top : top + height, left : left + width] = x
    return padded


def _transposed_convolution(operator: Operator, constants: Sequence[np.ndarray]) -> Run:
    """MediaPipe's, whose kernel is as large as its stride."""
    weights, bias = constants
    side = weights.shape[1]
    if operator.custom != "Convolution2DTransposeBias" or weights.shape[1] != weights.shape[2]:
        raise ValueError(f"the operator {operator.custom or operator.kind.name}")
    kernel, shift = torch.from_numpy(weights.transpose(3, 0, 1, 2).copy()), torch.from_numpy(bias.copy())
    return lambda x: F.conv_transpose2d(x, kernel, shift, side)


def _pool(operator: Operator, graph: Graph) -> Run:
    options = _required(operator)
    size, stride = (options.number(4), options.number(3)), (options.number(2), options.number(1))
    if options.number(0, "b") == _SAME and any(_same_padding(size, stride, graph.shapes[operator.inputs[0]])):
        raise ValueError("a pool with padding")
    pool = F.max_pool2d if operator.kind is Kind.MAX_POOL_2D else F.avg_pool2d
    return lambda x: pool(x, size, stride)


def _pad(amounts_42: np.ndarray) -> Run:
    """amounts_42: before and behind each axis, NHWC."""
    (_, rows, columns, channels) = amounts_42.tolist()
    padding = [*columns, *rows, *channels]
    return lambda x: F.pad(x, padding)


def _resize(size: np.ndarray, options: Table | None) -> Run:
    target = [int(side) for side in size]
    align_corners = options is not None and bool(options.number(2, "b"))
    if not align_corners and (options is None or not options.number(3, "b")):
        raise ValueError("a resize without half_pixel_centers or align_corners")
    return lambda x: F.interpolate(x, target, mode="bilinear", align_corners=align_corners)


def _same_padding(size: Sequence[int], stride: Sequence[int], shape: Sequence[int]) -> tuple[int, int, int, int]:
    """TFLite's "same": left, right, top and bottom, so that the output is the input's size over the stride."""
    amounts: list[int] = []
    for axis in (1, 0):
        length = shape[axis + 1]
        total = max((-(-length // stride[axis]) - 1) * stride[axis] + size[axis] - length, 0)
        amounts += [total // 2, total - total // 2]
    left, right, top, bottom = amounts
    return left, right, top, bottom


def _required(operator: Operator) -> Table:
    if operator.options is None:
        raise ValueError(f"{operator.kind.name} without options")
    return operator.options


@lru_cache(maxsize=1)
def _has_fused() -> bool:
    """Whether this torch has what its compiler makes of a convolution and an activation: not everyone's does."""
    kernel, x = torch.ones(8, 8, 1, 1), torch.ones(1, 8, 2, 2)
    try:
        packed = torch.ops.mkldnn._reorder_convolution_weight(kernel, (0, 0), (1, 1), (1, 1), 1)
        y = torch.ops.mkldnn._convolution_pointwise(x, packed, torch.ones(8), (0, 0), (1, 1), (1, 1), 1, *_FUSED[3], "")
    except (AttributeError, RuntimeError, TypeError, NotImplementedError):
        return False
    return bool((y == 6).all())


def _has_onednn() -> bool:
    return torch.backends.mkldnn.is_available() and torch.backends.mkldnn.enabled  # pyright: ignore
