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


def seeing_yolo(
    path: Path,
    size: tuple[int, int],
    box_4: tuple[float, ...],
    finished: bool = False,
    dynamic: bool = False,
    half: bool = False,
    batch: int = 1,
) -> Path:
    """A YOLO-seg in form with one person in `box_4` (x0, y0, x1, y1 of the input of `size`, width and height), whose
    mask is where every fourth pixel of the input is red: the logit is 8 · red - 4."""
    kind, number = (TensorProto.FLOAT16, np.float16) if half else (TensorProto.FLOAT, np.float32)
    x0, y0, x1, y1 = box_4
    if finished:
        rows = np.zeros((batch, 300, 7), number)
        rows[0, 0] = x0, y0, x1, y1, 0.9, 0, 1
    else:
        rows = np.zeros((batch, 6, 84), number)
        rows[0, :, 5] = (x0 + x1) / 2, (y0 + y1) / 2, x1 - x0, y1 - y0, 0.9, 1
    nodes = [
        helper.make_node("Slice", ["images", "starts", "ends", "axes", "steps"], ["red"]),
        helper.make_node("Mul", ["red", "eight"], ["scaled"]),
        helper.make_node("Sub", ["scaled", "four"], ["output1"]),
        # Nothing is added, but for onnxruntime too there are as many rows as pictures, however many these are.
        helper.make_node("ReduceMean", ["images"], ["mean"], axes=[2, 3], keepdims=1),
        helper.make_node("ReduceMean", ["mean"], ["grey"], axes=[1, 2], keepdims=0),
        helper.make_node("Reshape", ["grey", "column"], ["greys"]),
        helper.make_node("Mul", ["greys", "nothing"], ["still"]),
        helper.make_node("Add", ["rows", "still"], ["output0"]),
    ]
    constants = {
        "starts": np.array([0, 0, 0]), "ends": np.array([1, 9999, 9999]), "axes": np.array([1, 2, 3]),
        "steps": np.array([1, 4, 4]), "eight": number(8), "four": number(4), "rows": rows,
        "nothing": number(0), "column": np.array([-1, 1, 1]),
    }  # fmt: skip
    pictures = "batch" if dynamic else batch
    free = ["height", "width"] if dynamic else [size[1], size[0]]
    small = ["h", "w"] if dynamic else [size[1] // 4, size[0] // 4]
    shapes = {"output0": [pictures, *rows.shape[1:]], "output1": [pictures, 1, *small]}
    metadata = {
        "names": "{0: 'person'}", "task": "segment", "stride": "32", "imgsz": str([size[1], size[0]]),
        "batch": str(batch), "args": str({"batch": batch, "half": half, "dynamic": dynamic, "nms": finished}),
        "end2end": "False", "channels": "3",
    }  # fmt: skip
    outputs = [helper.make_tensor_value_info(name, kind, shape) for name, shape in shapes.items()]
    inputs = [helper.make_tensor_value_info("images", kind, [pictures, 3, *free])]
    return save(path, nodes, inputs, outputs, constants, metadata)
