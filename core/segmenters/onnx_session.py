"""ONNX networks through onnxruntime, on the GPU where its CUDA provider is there."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..model_runs import onnx_errors
from .model_files import ModelSource, missing_library, unusable


def import_onnxruntime(purpose: str) -> Any:
    """The onnxruntime module. UserError when it does not import."""
    try:
        import onnxruntime
    except ImportError as error:
        raise missing_library("onnxruntime", purpose, error) from error
    return onnxruntime


def providers(onnxruntime: Any) -> list[str]:
    """CUDA first where there is one, the CPU always."""
    available = onnxruntime.get_available_providers()
    wanted = ("CUDAExecutionProvider", "CPUExecutionProvider")
    return [provider for provider in wanted if provider in available]


def open_session(path: Path, source: ModelSource) -> Any:
    """An InferenceSession over `path`. UserError when onnxruntime is missing or refuses the file."""
    onnxruntime = import_onnxruntime(f"{path.name}")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(str(path), sess_options=options, providers=providers(onnxruntime))
    except onnx_errors() as error:
        raise unusable(path, f"onnxruntime does not read it ({error})", source) from error
