"""The weights of a base model, one at a time, from its file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from safetensors import SafetensorError

from ..errors import PathError
from ..tensor_files import open_tensors

# In front of the network's own names in a file: none, ComfyUI's, that of whole checkpoints.
_PREFIXES = ("", "diffusion_model.", "model.diffusion_model.")


def base_weights(path: Path) -> Callable[[str], torch.Tensor]:
    """What gives the weight of a module of ComfyUI's network from a model file (.safetensors) as ComfyUI loads it.

    PathError when the file cannot be read; the function raises it for a module that the file lacks, or that is
    quantised there.
    """
    try:
        with open_tensors(path) as file:
            names = set(file.keys())
    except (SafetensorError, OSError) as problem:
        raise PathError(f"The base model {path} cannot be read ({problem}); give a .safetensors file.") from problem

    def weight(module: str) -> torch.Tensor:
        name = next((found for prefix in _PREFIXES if (found := f"{prefix}{module}.weight") in names), None)
        if name is None:
            raise PathError(
                f"{path} has no weight for the layer {module!r}; give the model that the LoRA was trained on, as "
                "ComfyUI loads it."
            )
        with open_tensors(path) as file:
            found = file.get_tensor(name)
        if not found.is_floating_point() or found.element_size() < 2:
            raise PathError(f"{path} has {module!r} quantised ({found.dtype}); give the model in 16 or 32 bits.")
        return found

    return weight
