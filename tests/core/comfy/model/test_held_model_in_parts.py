"""Models of which ComfyUI has loaded a part, as on a card that is too small, with their weights held in fewer bits."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from maskloss.core.comfy.model.held_model import HeldModel
from maskloss.core.frozen.config import BaseConfig, BasePrecision
from tiny_comfy import tiny_models as tiny  # skips where there is no ComfyUI

pytestmark = pytest.mark.comfy
INT8 = BaseConfig(BasePrecision.INT8)
CPU = torch.device("cpu")


@pytest.fixture
def unloaded() -> Any:
    """A MODEL of which nothing is loaded, to be loaded in parts, as ComfyUI does on a card that is too small."""
    tiny.management.unload_all_models()
    model = tiny.load_model("wan")
    yield model
    model.detach()


def test_a_lora_of_the_users_is_part_of_what_is_held(unloaded: Any) -> None:
    """Also where ComfyUI applies it as a layer runs, because the weights are not on the device."""
    network = unloaded.model.diffusion_model
    names = [f"diffusion_model.blocks.{index}.ffn.0.weight" for index in range(2)]
    generator = torch.Generator().manual_seed(3)
    unloaded.add_patches({name: (torch.randn(256, 128, generator=generator) * 0.1,) for name in names})
    layer, patched = network.blocks[1].ffn[0], []
    x = torch.randn(2, 128)
    before = layer(x)
    for memory in (0, 1):
        unloaded.load(CPU, lowvram_model_memory=memory, full_load=not memory)
        expected = layer(x)
        with HeldModel(unloaded.model, CPU, INT8):
            patched.append(layer(x))
            assert (patched[-1] - expected).norm() < 0.02 * expected.norm()
        assert torch.equal(layer(x), expected)
        unloaded.detach()
    torch.testing.assert_close(*patched)
    assert (patched[0] - before).norm() > 0.1 * before.norm()
    assert torch.equal(layer(x), before)


def test_what_comfyui_left_in_main_memory_of_the_rest_acts_as_it_did(unloaded: Any) -> None:
    layer = unloaded.model.diffusion_model.head.head
    unloaded.add_patches({"diffusion_model.head.head.weight": (torch.ones_like(layer.weight) * 0.1,)})
    x = torch.randn(2, 128)
    before = layer(x)
    unloaded.load(CPU, lowvram_model_memory=1)
    expected = layer(x)
    assert layer.weight_function
    with HeldModel(unloaded.model, CPU, INT8):
        assert not layer.weight_function
        assert torch.equal(layer(x), expected)
    assert layer.weight_function
    assert torch.equal(layer(x), expected)
    unloaded.detach()
    assert torch.equal(layer(x), before)
    assert not torch.equal(before, expected)
