"""Where torch models run, and files that torch writes."""

from __future__ import annotations

import pickle
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file

from .model_files import ModelSource, unusable


def best_device() -> torch.device:
    """CUDA where there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


@contextmanager
def lent_device(module: torch.nn.Module) -> Generator[torch.device]:
    """The module on the best device while the block runs, without gradients; afterwards it is back on the CPU.

    The GPU's memory is wanted by what comes after the masks: encoders and the training.
    """
    device = best_device()
    with torch.inference_mode(False):  # ComfyUI runs nodes in inference mode, in which weights cannot change place
        module.to(device)
    try:
        with torch.inference_mode():
            yield device
    finally:
        with torch.inference_mode(False):
            module.to("cpu")


def read_state(path: Path, source: ModelSource) -> dict[str, torch.Tensor]:
    """The tensors of a .safetensors or a torch checkpoint. UserError when it is neither; no code in it is run."""
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state: Any = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, EOFError, RuntimeError, ValueError, OSError, SafetensorError) as error:
        raise unusable(path, f"it is not a checkpoint ({_first_line(error)})", source) from error
    if isinstance(state, dict) and isinstance(state.get("model"), dict):
        state = state["model"]
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise unusable(path, "it holds something else than named tensors", source)
    return state


def _first_line(error: BaseException) -> str:
    return str(error).split("\n", 1)[0]
