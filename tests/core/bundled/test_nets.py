from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from maskloss.core.bundled import torch_graph
from maskloss.core.bundled.blazeface import _OUTPUTS as FACE_OUTPUTS
from maskloss.core.bundled.face_mesh import _OUTPUTS as MESH_OUTPUTS
from maskloss.core.bundled.install import require
from maskloss.core.bundled.nets import Net, load_net, sigmoid
from maskloss.core.bundled.pose_mask import _OUTPUTS as POSE_OUTPUTS
from maskloss.core.bundled.registry import FACE_DETECTOR, FACE_MESH, POSE, SELFIE
from maskloss.core.errors import ModelMissingError, ModelRunError

SELFIE_OUTPUTS = ("activation_10",)
NETS = [
    (FACE_DETECTOR, 192, FACE_OUTPUTS),
    (FACE_MESH, 192, MESH_OUTPUTS),
    (SELFIE, 256, SELFIE_OUTPUTS),
    (POSE, 256, POSE_OUTPUTS),
]


def pictures(side: int, count: int) -> np.ndarray:
    return np.random.default_rng(0).random((count, side, side, 3)).astype(np.float32)


@pytest.mark.parametrize("content", [b"\x00" * 64, b"", b"TFL3" * 100, b"\xff" * 64])
def test_a_damaged_net_says_what_to_do(tmp_path: Path, content: bytes):
    (tmp_path / "net.tflite").write_bytes(content)
    with pytest.raises(ModelMissingError, match=r"net\.tflite cannot be loaded.*maskloss models --install"):
        Net(tmp_path / "net.tflite", ("any",))


@pytest.mark.models
@pytest.mark.parametrize("share", [0.02, 0.5, 0.98])
def test_a_net_that_is_cut_off_says_what_to_do(tmp_path: Path, share: float):
    content = require(FACE_MESH).read_bytes()
    (tmp_path / "net.tflite").write_bytes(content[: int(len(content) * share)])
    with pytest.raises(ModelMissingError, match="cannot be loaded"):
        Net(tmp_path / "net.tflite", MESH_OUTPUTS)


def test_sigmoid_does_not_overflow():
    with np.errstate(all="raise"):
        values = sigmoid(np.array([-1e9, 0.0, 1e9]))
    np.testing.assert_allclose(values, [0, 0.5, 1], atol=1e-7)


@pytest.mark.models
@pytest.mark.parametrize(("name", "side", "outputs"), NETS)
def test_a_net_gives_what_opencv_makes_of_the_same_file(name: str, side: int, outputs: tuple[str, ...]):
    pictures_NHWC = pictures(side, 1)
    engine = getattr(cv2.dnn, "ENGINE_CLASSIC", None)
    other = cv2.dnn.readNetFromTFLite(str(require(name)), *(() if engine is None else (engine,)))
    other.setInput(np.ascontiguousarray(pictures_NHWC.transpose(0, 3, 1, 2)))
    for ours, theirs in zip(load_net(name, outputs).run(pictures_NHWC), other.forward(list(outputs)), strict=True):
        assert ours.shape[0] == 1
        np.testing.assert_allclose(ours.reshape(-1), np.array(theirs).reshape(-1), rtol=2e-3, atol=2e-2)


@pytest.mark.models
@pytest.mark.parametrize(("name", "side", "outputs"), NETS)
@pytest.mark.parametrize("threads", [1, 2])
def test_a_picture_gives_the_same_in_any_company(name: str, side: int, outputs: tuple[str, ...], threads: int):
    net, pictures_NHWC, before = load_net(name, outputs), pictures(side, 3), torch.get_num_threads()
    together = net.run(pictures_NHWC)
    torch.set_num_threads(threads)
    try:
        for number in range(3):
            for alone, among in zip(net.run(pictures_NHWC[number : number + 1]), together, strict=True):
                np.testing.assert_allclose(alone[0], among[number], rtol=0, atol=1e-9)
    finally:
        torch.set_num_threads(before)


@pytest.mark.models
def test_a_net_is_loaded_once_and_repeats_itself():
    net = load_net(SELFIE, SELFIE_OUTPUTS)
    assert load_net(SELFIE, SELFIE_OUTPUTS) is net
    pictures_NHWC = pictures(256, 1)
    (first,) = net.run(pictures_NHWC)
    net.run(np.zeros_like(pictures_NHWC))
    (again,) = net.run(pictures_NHWC)
    np.testing.assert_array_equal(first, again)


@pytest.mark.models
def test_without_onednn_or_its_fused_convolutions_a_net_gives_the_same(monkeypatch: pytest.MonkeyPatch):
    pictures_NHWC = pictures(192, 2)
    usual = load_net(FACE_DETECTOR, FACE_OUTPUTS).run(pictures_NHWC)
    monkeypatch.setattr(torch_graph, "_has_fused", lambda: False)
    for one, other in zip(Net(require(FACE_DETECTOR), FACE_OUTPUTS).run(pictures_NHWC), usual, strict=True):
        np.testing.assert_array_equal(one, other)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: False)
    for one, other in zip(Net(require(FACE_DETECTOR), FACE_OUTPUTS).run(pictures_NHWC), usual, strict=True):
        np.testing.assert_allclose(one, other, atol=1e-3)


@pytest.mark.models
def test_a_net_that_fails_while_running_is_said():
    with pytest.raises(ModelRunError, match=r"selfie.* failed while it ran on a picture of 255x256 \(RuntimeError: "):
        load_net(SELFIE, SELFIE_OUTPUTS).run(np.zeros((1, 256, 255, 3), np.float32))
