"""Small ONNX files that real runtimes load, whose results can be worked out on paper."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def save(path: Path, nodes: list, inputs: list, outputs: list, constants: dict, metadata: dict | None = None) -> Path:
    initializers = [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()]
    graph = helper.make_graph(nodes, "tiny", inputs, outputs, initializers)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    helper.set_model_props(model, metadata or {})
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(model, path)
    return path


def floats(name: str, shape: list) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)


def face_detector(path: Path, side: int | None = None, keypoints: bool = True) -> Path:
    """An SCRFD in form: every 32 px cell that is red (more than 0.5 after normalising) is a face of its size.

    Eyes lie 8 px left and right of its middle and 8 above, the nose on it, the mouth's corners 8 px below.
    """
    height, width = (side, side) if side else ("height", "width")
    nodes = [
        helper.make_node("Slice", ["image", "zero", "one", "channels"], ["red"]),
        helper.make_node("MaxPool", ["red"], ["pool8"], kernel_shape=[8, 8], strides=[8, 8]),
        helper.make_node("MaxPool", ["red"], ["pool16"], kernel_shape=[16, 16], strides=[16, 16]),
        helper.make_node("AveragePool", ["red"], ["pool32"], kernel_shape=[32, 32], strides=[32, 32]),
    ]
    constants: dict = {
        "zero": np.array([0]),
        "one": np.array([1]),
        "channels": np.array([1]),
        "column": np.array([-1, 1]),
        "never": np.float32(-9),
        "nothing": np.float32(0),
        "box": np.array([[0, 0, 1, 1]], np.float32),
        "points": np.array([[8, 8, 24, 8, 16, 16, 8, 24, 24, 24]], np.float32) / 32,
    }
    scores, boxes, points = [], [], []
    for stride in (8, 16, 32):
        twice = f"twice{stride}"
        # Two anchors a cell: the second one never speaks.
        nodes += [
            helper.make_node("Reshape", [f"pool{stride}", "column"], [f"cells{stride}"]),
            helper.make_node("Mul", [f"cells{stride}", "nothing"], [f"quiet{stride}"]),
            helper.make_node("Add", [f"quiet{stride}", "never"], [f"mute{stride}"]),
            helper.make_node(
                "Concat", [f"{'cells' if stride == 32 else 'mute'}{stride}", f"mute{stride}"], [twice], axis=1
            ),
            helper.make_node("Reshape", [twice, "column"], [f"score{stride}"]),
            helper.make_node("Mul", [f"score{stride}", "nothing"], [f"flat{stride}"]),
            helper.make_node("Add", [f"flat{stride}", "box"], [f"box{stride}"]),
            helper.make_node("Add", [f"flat{stride}", "points"], [f"points{stride}"]),
        ]
        scores.append(floats(f"score{stride}", [f"n{stride}", 1]))
        boxes.append(floats(f"box{stride}", [f"n{stride}", 4]))
        points.append(floats(f"points{stride}", [f"n{stride}", 10]))
    outputs = scores + boxes + (points if keypoints else [])
    return save(path, nodes, [floats("image", [1, 3, height, width])], outputs, constants)


def face_embedder(path: Path, factor: float = 1.0) -> Path:
    """An ArcFace in form: the embedding is the mean colour of the aligned face, RGB in [-1, 1], times `factor`."""
    nodes = [
        helper.make_node("GlobalAveragePool", ["face"], ["mean"]),
        helper.make_node("Reshape", ["mean", "row"], ["colour"]),
        helper.make_node("Mul", ["colour", "factor"], ["embedding"]),
    ]
    constants = {"row": np.array([1, 3]), "factor": np.float32(factor)}
    return save(path, nodes, [floats("face", [1, 3, 112, 112])], [floats("embedding", [1, 3])], constants)


def yolo(
    path: Path,
    size: tuple[int, int],
    rows_ab: np.ndarray,
    protos_Mhw: np.ndarray,
    metadata: dict | None = None,
    dynamic: bool = False,
    batch: int = 1,
    half: bool = False,
    swapped: bool = False,
) -> Path:
    """A YOLO-seg in form that gives the same rows and prototypes for every picture of `size` (width, height).

    rows_ab: raw candidates (4 + classes + M, N) or finished rows (N, 6 + M). Of a batch, all but the first picture get
    zeros. swapped: the prototypes are the first output.
    """
    kind, number = (TensorProto.FLOAT16, np.float16) if half else (TensorProto.FLOAT, np.float32)
    shape = ["batch", 3, "height", "width"] if dynamic else [batch, 3, size[1], size[0]]
    nodes = [
        helper.make_node("ReduceMean", ["images"], ["mean"], keepdims=0),
        helper.make_node("Mul", ["mean", "nothing"], ["still"]),
        helper.make_node("Add", ["rows", "still"], ["output0"]),
        helper.make_node("Add", ["masks", "still"], ["output1"]),
    ]
    rest = [np.zeros((batch - 1, *array.shape), number) for array in (rows_ab, protos_Mhw)]
    constants = {
        "nothing": number(0),
        "rows": np.concatenate([rows_ab[None].astype(number), rest[0]]),
        "masks": np.concatenate([protos_Mhw[None].astype(number), rest[1]]),
    }
    outputs = [
        helper.make_tensor_value_info(name, kind, list(constants[what].shape))
        for name, what in (("output0", "rows"), ("output1", "masks"))
    ]
    inputs = [helper.make_tensor_value_info("images", kind, shape)]
    return save(path, nodes, inputs, outputs[::-1] if swapped else outputs, constants, metadata)
