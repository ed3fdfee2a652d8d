"""The weights of a base model by ComfyUI's names, from files under any of the usual prefixes."""

from pathlib import Path

import pytest
import torch
from maskloss.core.errors import PathError
from maskloss.core.train.base_weights import base_weights
from safetensors.torch import save_file

WEIGHT = torch.arange(6.0).reshape(2, 3)


@pytest.mark.parametrize("prefix", ["", "diffusion_model.", "model.diffusion_model."])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_weight_is_found_under_any_usual_prefix(tmp_path: Path, prefix: str, dtype: torch.dtype):
    path = tmp_path / "model.safetensors"
    save_file({f"{prefix}blocks.0.attn.q.weight": WEIGHT.to(dtype), "other.weight": torch.zeros(1)}, path)
    found = base_weights(path)("blocks.0.attn.q")
    assert found.dtype is dtype
    assert torch.equal(found, WEIGHT.to(dtype))


def test_a_layer_that_is_not_there_or_is_quantised_is_named(tmp_path: Path):
    path = tmp_path / "model.safetensors"
    save_file({"a.weight": WEIGHT.to(torch.float8_e4m3fn), "b.weight": WEIGHT.to(torch.int8)}, path)
    weight = base_weights(path)
    with pytest.raises(PathError, match="no weight for the layer 'c'"):
        weight("c")
    for module in ("a", "b"):
        with pytest.raises(PathError, match=rf"has '{module}' quantised \(torch\.\w+8"):
            weight(module)


def test_a_file_that_is_none_is_said(tmp_path: Path):
    (tmp_path / "model.safetensors").write_bytes(b"<html>")
    for name in ("model.safetensors", "gone.safetensors"):
        with pytest.raises(PathError, match=rf"The base model .*{name} cannot be read"):
            base_weights(tmp_path / name)
