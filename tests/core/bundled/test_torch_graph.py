"""Each operator does what TFLite's does, worked out here pixel by pixel."""

from __future__ import annotations

import numpy as np
import pytest
from maskloss.core.bundled.tflite import Graph, Kind, Operator, Table
from maskloss.core.bundled.torch_graph import TorchGraph

from .test_tflite import table_of

RELU6 = 3


def run_one(
    kind: Kind, x_NHWC: np.ndarray, shape: tuple[int, ...], constants: list[np.ndarray], options: Table | None = None
) -> np.ndarray:
    """The output of one operator, of `shape` for one picture, on some pictures."""
    held = dict(enumerate((each for each in constants), start=1))
    last = len(held) + 1
    operator = Operator(kind, (0, *held), last, options, "")
    graph = Graph((operator,), held, {0: (1, *x_NHWC.shape[1:]), last: shape}, {"out": last}, 0)
    (result,) = TorchGraph(graph, ("out",))(x_NHWC)
    assert result.shape == (len(x_NHWC), *shape[1:])
    return result


def random(*shape: int) -> np.ndarray:
    return np.random.default_rng(sum(shape)).normal(size=shape).astype(np.float32)


@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [1, 3, 5])
@pytest.mark.parametrize("depthwise", [False, True])
@pytest.mark.parametrize("same", [True, False])
def test_convolutions(stride: int, size: int, depthwise: bool, same: bool):
    x, bias = random(2, 6, 7, 4), random(4)
    weights = random(1, size, size, 4) if depthwise else random(4, size, size, 4)
    options = table_of(
        {0: ("b", 0 if same else 1), 1: ("i", stride), 2: ("i", stride), (4 if depthwise else 3): ("b", RELU6)}
    )
    out = [(-(-side // stride) if same else (side - size) // stride + 1) for side in (6, 7)]
    total = [max((n - 1) * stride + size - side, 0) if same else 0 for n, side in zip(out, (6, 7), strict=True)]
    padded = np.pad(x, [(0, 0), *((each // 2, each - each // 2) for each in total), (0, 0)])
    expected = np.zeros((2, *out, 4), np.float32)
    for row in range(out[0]):
        for column in range(out[1]):
            seen = padded[:, row * stride : row * stride + size, column * stride : column * stride + size]
            if depthwise:
                expected[:, row, column] = (seen * weights).sum((1, 2))
            else:
                expected[:, row, column] = np.einsum("nhwc,ohwc->no", seen, weights)
    kind = Kind.DEPTHWISE_CONV_2D if depthwise else Kind.CONV_2D
    found = run_one(kind, x, (1, *out, 4), [weights, bias], options)
    np.testing.assert_allclose(found, np.clip(expected + bias, 0, 6), atol=2e-5)


def test_padding_and_prelu_and_reshape():
    x = random(2, 3, 4, 2)
    amounts = np.array([[0, 0], [1, 2], [0, 3], [0, 1]], np.int32)
    np.testing.assert_array_equal(run_one(Kind.PAD, x, (1, 6, 7, 3), [amounts]), np.pad(x, amounts))
    slope = np.array([[[0.5, -2.0]]], np.float32)
    np.testing.assert_allclose(run_one(Kind.PRELU, x, (1, 3, 4, 2), [slope]), np.where(x > 0, x, x * slope))
    np.testing.assert_array_equal(run_one(Kind.RESHAPE, x, (1, 24), []), x.reshape(2, 24))


def test_pools_and_resize():
    x = random(1, 4, 6, 3)
    halves = table_of({0: ("b", 1), 1: ("i", 2), 2: ("i", 2), 3: ("i", 2), 4: ("i", 2)})
    blocks = x.reshape(1, 2, 2, 3, 2, 3)
    np.testing.assert_array_equal(run_one(Kind.MAX_POOL_2D, x, (1, 2, 3, 3), [], halves), blocks.max((2, 4)))
    np.testing.assert_allclose(
        run_one(Kind.AVERAGE_POOL_2D, x, (1, 2, 3, 3), [], halves), blocks.mean((2, 4)), atol=1e-6
    )
    size = np.array([7, 11], np.int32)
    enlarged = run_one(Kind.RESIZE_BILINEAR, x, (1, 7, 11, 3), [size], table_of({2: ("b", 1)}))
    np.testing.assert_allclose(enlarged[:, ::2, ::2], x, atol=1e-6)
    np.testing.assert_allclose(enlarged[:, 1, 0], (x[:, 0, 0] + x[:, 1, 0]) / 2, atol=1e-6)


def test_what_no_bundled_network_has_is_refused():
    x = random(1, 4, 4, 2)
    with pytest.raises(ValueError, match="half_pixel_centers"):
        run_one(Kind.RESIZE_BILINEAR, x, (1, 8, 8, 2), [np.array([8, 8], np.int32)], table_of({}))
    with pytest.raises(ValueError, match="CUSTOM"):
        run_one(Kind.CUSTOM, x, (1, 8, 8, 2), [random(2, 2, 2, 2), random(2)])
    with pytest.raises(ValueError, match="ADD of a constant"):
        run_one(Kind.ADD, x, (1, 4, 4, 2), [random(2)])


def test_only_what_the_outputs_need_is_run_and_a_name_that_is_none_is_refused():
    relu = Operator(Kind.RELU, (0,), 1, None, "")
    unknown = Operator(Kind.CUSTOM, (0,), 2, None, "never built")
    shapes = {number: (1, 2, 2, 1) for number in range(3)}
    graph = Graph((relu, unknown), {}, shapes, {"one": 1, "two": 2}, 0)
    x = np.array([[[[-1.0], [2.0]], [[0.0], [-3.0]]]], np.float32)
    np.testing.assert_array_equal(TorchGraph(graph, ("one",))(x)[0], np.maximum(x, 0))
    assert x.min() == -3, "what is fed stays as it is"
    with pytest.raises(KeyError, match="three"):
        TorchGraph(graph, ("three",))
