"""Whether something can be compiled is said before a run, and what is missing by name."""

from __future__ import annotations

import pytest
import torch
from maskloss.core.autograd import compiler
from maskloss.core.errors import TrainingError

CPU = torch.device("cpu")


def test_without_a_compiler_its_name_and_remedy_are_said(monkeypatch: pytest.MonkeyPatch) -> None:
    inductor = pytest.importorskip("torch._inductor.config")
    monkeypatch.setattr(inductor.cpp, "cxx", (None, "/nowhere/c++"))
    with pytest.raises(
        TrainingError,
        match=r"there is no compiler here\. It needs a C\+\+ compiler: g\+\+ .* Or switch compile_blocks off",
    ):
        compiler.check_compiling(True, CPU, dropout=False)
    compiler.check_compiling(False, CPU, dropout=True)


def test_dropout_and_devices_that_nothing_is_compiled_for_are_refused() -> None:
    with pytest.raises(TrainingError, match="compile_blocks and dropout in the LoRA do not go together"):
        compiler.check_compiling(True, CPU, dropout=True)
    with pytest.raises(TrainingError, match="PyTorch compiles for CPU and CUDA, not for mps"):
        compiler.check_compiler(torch.device("mps"))


def test_what_fails_to_compile_is_told_with_the_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(function: object, **_: object) -> object:
        raise OSError("Python.h: no such file")

    monkeypatch.setattr(compiler, "_find_compiler", lambda needed: None)
    monkeypatch.setattr(torch, "compile", failing)
    with pytest.raises(TrainingError, match=r"nothing can be compiled here \(Python\.h: no such file\)"):
        compiler.check_compiler(CPU)
