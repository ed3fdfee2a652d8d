from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from maskloss.core.bundled.nets import Net, load_net, sigmoid
from maskloss.core.bundled.registry import SELFIE
from maskloss.core.errors import ModelMissingError, ModelRunError


def test_a_damaged_net_says_what_to_do(tmp_path: Path):
    (tmp_path / "net.tflite").write_bytes(b"\x00" * 64)
    with pytest.raises(ModelMissingError, match=r"net\.tflite cannot be loaded.*maskloss models --install"):
        Net(tmp_path / "net.tflite")


def test_sigmoid_does_not_overflow():
    with np.errstate(all="raise"):
        values = sigmoid(np.array([-1e9, 0.0, 1e9]))
    np.testing.assert_allclose(values, [0, 0.5, 1], atol=1e-7)


@pytest.mark.models
def test_a_net_is_loaded_once_and_repeats_itself():
    net = load_net(SELFIE)
    assert load_net(SELFIE) is net
    picture_HWC = np.random.default_rng(0).random((256, 256, 3)).astype(np.float32)
    (first,) = net.run(picture_HWC, ("activation_10",))
    net.run(np.zeros_like(picture_HWC), ("activation_10",))
    (again,) = net.run(picture_HWC, ("activation_10",))
    np.testing.assert_array_equal(first, again)


@pytest.mark.models
def test_a_net_that_fails_while_running_is_said():
    with pytest.raises(ModelRunError, match=r"selfie.* failed while it ran on a picture of 255x256 \(error: "):
        load_net(SELFIE).run(np.zeros((256, 255, 3), np.float32), ("no such output",))
