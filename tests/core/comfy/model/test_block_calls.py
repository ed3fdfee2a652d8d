"""How ComfyUI's networks call their last block."""

from __future__ import annotations

import inspect

import pytest
from maskloss.core.comfy.model.block_calls import last_block_call
from tiny_comfy import tiny_models as tiny  # skips where there is no ComfyUI
from tiny_comfy.adapted import WHOLE

pytestmark = pytest.mark.comfy

SAVING = tuple(name for name in tiny.EVERY_ARCHITECTURE if name not in WHOLE)


@pytest.mark.parametrize("name", SAVING)
def test_the_block_has_what_the_table_names(name: str) -> None:
    network = tiny.load_model(name).model.diffusion_model
    found = last_block_call(network)
    assert found is not None
    block, call = found
    taken = inspect.signature(type(block).forward).parameters
    takes_any = any(parameter.kind is inspect.Parameter.VAR_KEYWORD for parameter in taken.values())
    uniform = tuple(argument for argument, _ in call.uniform)
    wanted = (call.picture, *filter(None, [call.text]), *call.positions, *call.masks, *uniform, *call.single)
    assert takes_any or set(wanted) <= {*taken, *call.names}
    layers = dict(block.named_modules())
    for named in (call.queries, call.keys):
        assert not named or any(layer in layers for layer in named)


@pytest.mark.parametrize("name", ["sd15", "chroma_radiance", "pixeldit"])
def test_what_is_not_known_is_none(name: str) -> None:
    assert last_block_call(tiny.load_model(name).model.diffusion_model) is None
