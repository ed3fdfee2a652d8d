"""Turns failures inside third-party networks into errors that name the model and the picture."""

from __future__ import annotations

import sys
from collections.abc import Generator
from contextlib import contextmanager

import cv2
import numpy as np
import torch

from .errors import MaskLossError, ModelRunError
from .progress import check_interrupted

# Whatever a foreign library may raise when it goes wrong; not the interrupts of a host, which share only Exception.
_FAILURES: tuple[type[BaseException], ...] = (
    ArithmeticError, AssertionError, AttributeError, BufferError, EOFError, ImportError, LookupError, MemoryError,
    NameError, OSError, RuntimeError, TypeError, ValueError, cv2.error,
)  # fmt: skip
_ONNX = (
    "EPFail", "Fail", "InvalidArgument", "InvalidGraph", "InvalidProtobuf", "ModelLoaded", "NoModel", "NoSuchFile",
    "NotImplemented", "RuntimeException",
)  # fmt: skip
_TEXT_LENGTH = 300


def onnx_errors() -> tuple[type[BaseException], ...]:
    """What onnxruntime raises: its classes share no base but Exception. Empty while it is not imported."""
    state = getattr(getattr(sys.modules.get("onnxruntime"), "capi", None), "onnxruntime_pybind11_state", None)
    return tuple(getattr(state, name) for name in _ONNX if hasattr(state, name))


@contextmanager
def convert_model_errors(model: str, rgb_HWC: np.ndarray) -> Generator[None]:
    """Turn what fails in the block, `model` (its name) running on a picture, into a ModelRunError.

    May raise the host's interrupt before the block. Our own errors pass unchanged, and so does CUDA's out-of-memory
    error, which ComfyUI handles.
    """
    check_interrupted()
    try:
        yield
    except (MaskLossError, torch.cuda.OutOfMemoryError):
        raise
    except (*_FAILURES, *onnx_errors()) as error:
        text = " ".join(str(error).split())[:_TEXT_LENGTH]
        why = f"{type(error).__name__}: {text}" if text else type(error).__name__
        raise ModelRunError(model, (rgb_HWC.shape[1], rgb_HWC.shape[0]), why) from error


@contextmanager
def name_picture_in_errors(name: str) -> Generator[None]:
    """Add the picture's name to a ModelRunError of the block; the innermost name counts."""
    try:
        yield
    except ModelRunError as error:
        if error.picture:
            raise
        raise ModelRunError(error.model, error.size, error.why, name) from error.__cause__
