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

# Under which names programs keep a model's tensors in a file of theirs.
_WRAPPERS = ("model", "state_dict", "model_state_dict", "module", "net", "sam")


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
    """The tensors of a .safetensors or a torch checkpoint, also of one that keeps them under `model`, `state_dict` and
    the like, or beside other values. UserError when it is neither; no code in it is run."""
    try:
        if path.suffix == ".safetensors":
            return load_file(path)
        state: Any = torch.load(path, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, EOFError, RuntimeError, ValueError, OSError, SafetensorError) as error:
        raise unusable(path, f"it is not a checkpoint ({_why(error)})", source) from error
    while isinstance(state, dict) and (wrapped := [name for name in _WRAPPERS if isinstance(state.get(name), dict)]):
        state = state[wrapped[0]]
    # Trainers keep the epoch and the like beside the weights.
    tensors = {name: x for name, x in state.items() if isinstance(x, torch.Tensor)} if isinstance(state, dict) else {}
    if not tensors or not all(isinstance(name, str) for name in tensors):
        raise unusable(path, "it holds something else than named tensors", source)
    return tensors


def _why(error: BaseException) -> str:
    if isinstance(error, pickle.UnpicklingError):
        # torch's own text advises to run the code in the file.
        return "it is no file of torch, or it holds objects of a program beside its tensors, and no code in it is run"
    return str(error).split("\n", 1)[0]
