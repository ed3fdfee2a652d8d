from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from maskloss.core.errors import ModelRunError, SettingError
from maskloss.core.model_runs import convert_model_errors, name_picture_in_errors, onnx_errors

PICTURE_HWC = np.zeros((90, 307, 3), np.uint8)


@pytest.mark.parametrize(
    "failure",
    [
        RuntimeError("shape '[1, 2]' is invalid"), ValueError("bad"), KeyError("logits"), AssertionError(),
        TypeError("x"), AttributeError("none"), ZeroDivisionError("by zero"), NotImplementedError("Half"),
        MemoryError(), OSError("gone"), cv2.error("forward"), NameError("name"), ImportError("timm"), IndexError("7"),
    ],
    ids=lambda failure: type(failure).__name__,
)  # fmt: skip
def test_every_failure_says_model_picture_and_size(failure: Exception) -> None:
    with (
        pytest.raises(ModelRunError) as caught,
        name_picture_in_errors("beach.jpg"),
        convert_model_errors("DPT large", PICTURE_HWC),
    ):
        raise failure
    text = str(caught.value)
    assert "The model DPT large failed while it ran on the picture beach.jpg, 307x90 pixels" in text
    assert type(failure).__name__ in text
    assert caught.value.__cause__ is failure


def test_errors_of_onnxruntime_are_among_them() -> None:
    pytest.importorskip("onnxruntime")
    assert len(onnx_errors()) >= 8
    with pytest.raises(ModelRunError, match="InvalidArgument"), convert_model_errors("net", PICTURE_HWC):
        raise next(kind for kind in onnx_errors() if kind.__name__ == "InvalidArgument")("shape")


def test_ours_pass_and_so_do_interrupts_and_cudas_full_memory() -> None:
    class HostInterrupt(Exception):
        pass

    for error in (SettingError("ours"), torch.cuda.OutOfMemoryError("full"), KeyboardInterrupt(), HostInterrupt()):
        with (
            pytest.raises(type(error)) as caught,
            name_picture_in_errors("a.png"),
            convert_model_errors("net", PICTURE_HWC),
        ):
            raise error
        assert caught.value is error


def test_the_innermost_name_of_a_picture_counts_and_long_texts_are_cut() -> None:
    with pytest.raises(ModelRunError) as caught, name_picture_in_errors("outer"), name_picture_in_errors("inner.png"):  # noqa: SIM117
        with convert_model_errors("net", PICTURE_HWC):
            raise RuntimeError("long " * 500)
    assert caught.value.picture == "inner.png"
    assert len(str(caught.value)) < 800
