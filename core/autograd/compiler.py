"""Whether `torch.compile` can work on this machine: asked before a run, by compiling something small."""

from __future__ import annotations

import importlib
from typing import Any

import torch

from ..errors import TrainingError

_REMEDY = "Or switch compile_blocks off, which gives the same LoRA within rounding and takes longer."
_NEEDED = {
    "cpu": "a C++ compiler: g++ (Debian, Ubuntu: apt install g++), clang, or on Windows that of Visual Studio",
    "cuda": "Triton (pip install triton, on Windows triton-windows) and a C compiler (Debian, Ubuntu: apt install gcc)",
}


def check_compiling(wanted: bool, device: torch.device, dropout: bool) -> None:
    """TrainingError where blocks are to be compiled and this machine cannot, or where there is `dropout` in the
    adapters, which is drawn outside of compiled code."""
    if wanted and dropout:
        raise TrainingError(
            "compile_blocks and dropout in the LoRA do not go together, because what is dropped is drawn outside of "
            "compiled code. Set dropout to 0 in the LoRA Config, or switch compile_blocks off."
        )
    if wanted:
        check_compiler(device)


def check_compiler(device: torch.device) -> None:
    """TrainingError, with what is missing, where nothing can be compiled for `device`."""
    needed = _NEEDED.get(device.type)
    if needed is None:
        raise TrainingError(f"compile_blocks: PyTorch compiles for CPU and CUDA, not for {device.type}. {_REMEDY}")
    if device.type == "cpu":
        _find_compiler(needed)
    dynamo: Any = importlib.import_module("torch._dynamo")
    try:
        with torch.inference_mode(False), torch.no_grad():
            torch.compile(_something, dynamic=False)(torch.ones(32, device=device))
    except (dynamo.exc.TorchDynamoException, OSError, ImportError) as problem:
        reason = next((line.strip() for line in str(problem).splitlines() if line.strip()), type(problem).__name__)
        raise TrainingError(
            f"compile_blocks: nothing can be compiled here ({reason}). It needs {needed}. {_REMEDY}"
        ) from problem


def _find_compiler(needed: str) -> None:
    """Not by compiling alone, which is left out where the same was compiled before."""
    builder: Any = importlib.import_module("torch._inductor.cpp_builder")
    # It remembers what it has found.
    builder.cpp_compiler_search.cache_clear()
    try:
        builder.get_cpp_compiler()
    except (RuntimeError, OSError) as problem:
        raise TrainingError(f"compile_blocks: there is no compiler here. It needs {needed}. {_REMEDY}") from problem


def _something(x: torch.Tensor) -> torch.Tensor:
    return torch.sin(x) + 1
