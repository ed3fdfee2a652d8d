from __future__ import annotations

from pathlib import Path

import pytest
import torch
from maskloss.core.errors import UserError
from maskloss.core.segmenters.model_files import ModelSource
from maskloss.core.segmenters.torch_models import lent_device, read_state

SOURCE = ModelSource("masks", "a.pt", "models/x", "the moon", "MIT")


def use_and_fail(module: torch.nn.Module) -> None:
    with lent_device(module) as device:
        assert {weight.device.type for weight in module.parameters()} == {device.type}
        assert module(torch.ones(1, 2, device=device)).is_inference()
        raise ValueError("stop")


def test_a_module_is_lent_without_gradients_and_comes_back_even_after_an_error() -> None:
    module = torch.nn.Linear(2, 2)
    with torch.inference_mode(), pytest.raises(ValueError, match="stop"):
        use_and_fail(module)
    assert module.weight.device.type == "cpu"
    assert not module.weight.is_inference()
    module(torch.ones(1, 2)).sum().backward()


def test_a_checkpoint_runs_no_code(tmp_path: Path) -> None:
    class Trap:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (tmp_path / "sprung",)  # pyright: ignore[reportReturnType]

    torch.save({"weight": Trap()}, tmp_path / "a.pt")
    with pytest.raises(UserError, match="it is not a checkpoint"):
        read_state(tmp_path / "a.pt", SOURCE)
    assert not (tmp_path / "sprung").exists()
