"""Networks run on the GPU where its provider is there; a missing library and a file that is none are said."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from maskloss.core.errors import UserError
from maskloss.core.segmenters.model_files import ModelSource
from maskloss.core.segmenters.onnx_session import import_onnxruntime, open_session, providers

pytest.importorskip("onnxruntime")
helper = pytest.importorskip("onnx").helper

from .tiny_onnx import floats, save  # noqa: E402

SOURCE = ModelSource("masks", "models/x/a.onnx", "models/x", "the moon", "MIT")


@pytest.mark.parametrize(
    ("available", "expected"),
    [
        (["CPUExecutionProvider"], ["CPUExecutionProvider"]),
        (["CPUExecutionProvider", "CUDAExecutionProvider"], ["CUDAExecutionProvider", "CPUExecutionProvider"]),
        (["TensorrtExecutionProvider", "AzureExecutionProvider", "CPUExecutionProvider"], ["CPUExecutionProvider"]),
    ],
)
def test_cuda_comes_first_and_providers_that_nobody_asked_for_are_not_used(
    available: list[str], expected: list[str]
) -> None:
    assert providers(SimpleNamespace(get_available_providers=lambda: available)) == expected


def test_a_network_runs_as_it_is_written(tmp_path: Path) -> None:
    nodes = [helper.make_node("Mul", ["images", "two"], ["output"])]
    shape = [1, 3]
    constants = {"two": np.float32(2)}
    path = save(tmp_path / "double.onnx", nodes, [floats("images", shape)], [floats("output", shape)], constants)
    session = open_session(path, SOURCE)
    (output,) = session.run(None, {"images": np.array([[1, 2, 3]], np.float32)})
    assert output.tolist() == [[2, 4, 6]]


def test_a_file_that_is_none_is_said_with_what_it_is_for(tmp_path: Path) -> None:
    path = tmp_path / "page.onnx"
    path.write_bytes(b"<html>not found</html>")
    with pytest.raises(
        UserError, match=r"page\.onnx cannot be used for masks: onnxruntime does not read it .*the moon"
    ):
        open_session(path, SOURCE)


def test_a_missing_library_is_said_with_its_purpose(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(UserError, match=r"two faces.*pip install onnxruntime"):
        import_onnxruntime("two faces")
