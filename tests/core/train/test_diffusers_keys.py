"""Diffusers' names of layers: each its own, and the rows of a fused layer where diffusers has them."""

from __future__ import annotations

import pytest
import torch
from maskloss.core.train.diffusers_keys import (
    Rows,
    base_name,
    component,
    every_module,
    is_known,
    known_architectures,
    theirs,
)
from maskloss.core.train.lora_file import KeyFormat, with_key_format
from maskloss.core.train.unet_keys import USUAL_PER_LEVEL

from .loras import INPUTS, MODULES, lora_of

ARCHITECTURES = known_architectures()


def test_every_architecture_has_its_example():
    assert set(MODULES) == set(ARCHITECTURES)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_no_two_layers_share_a_name(architecture: str):
    modules = list(every_module(architecture))
    names = [
        name
        for module in modules
        if (found := theirs(architecture, module, USUAL_PER_LEVEL)) is not None
        for name in found.names
    ]
    assert len(set(modules)) == len(modules)
    if component(architecture) == "transformer":
        assert len(set(names)) == len(names)
        assert not any("N" in name.split(".") or "{" in name for name in (*names, *modules))
        assert len({name.replace(".", "_") for name in names}) == len(names)
    assert len({module.replace(".", "_") for module in modules}) == len(modules)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_rows_go_where_diffusers_has_them(architecture: str):
    """Counted rows: the first layer of the split has the first ones, in order; halves are swapped where said."""
    for module in MODULES[architecture]:
        ours = lora_of(architecture, rank=1, alpha=1, modules=[module])
        up = ours[f"diffusion_model.{module}.lora_up.weight"]
        up.copy_(torch.arange(len(up)).reshape(-1, 1).float())
        found = theirs(architecture, module, USUAL_PER_LEVEL)
        assert found is not None
        written = with_key_format(ours, KeyFormat.DIFFUSERS, architecture)
        pieces = [written[f"{component(architecture)}.{name}.lora_B.weight"].flatten() for name in found.names]
        rows = torch.cat(pieces).long().tolist()
        half = len(rows) // 2
        turned = [*range(half, len(rows)), *range(half)]
        assert rows == (turned if found.rows is Rows.SWAPPED else list(range(len(rows))))
        sizes = [len(piece) for piece in pieces]
        if found.rows is Rows.STREAM:
            assert sizes == [INPUTS, INPUTS, INPUTS, 8]
        elif found.rows is Rows.GROUPED:
            assert sizes == [INPUTS, 2, 2]
        else:
            assert len(set(sizes)) == 1


@pytest.mark.parametrize(
    ("rows", "count", "of", "sizes"),
    [
        (Rows.EQUAL, 3, 12, [4, 4, 4]),
        (Rows.EQUAL, 3, 13, []),
        (Rows.STREAM, 4, 30, [6, 6, 6, 12]),
        (Rows.STREAM, 4, 18, []),
        (Rows.GROUPED, 3, 10, [6, 2, 2]),
        (Rows.GROUPED, 3, 11, []),
        (Rows.SWAPPED, 1, 8, [8]),
    ],
)
def test_how_many_rows_each_gets_and_none_where_they_do_not_fit(rows: Rows, count: int, of: int, sizes: list[int]):
    assert rows.sizes(count, of, inputs=6) == sizes


def test_what_comes_after_the_architectures_name_is_passed_by():
    assert base_name("flux-2/lora") == "flux-2"
    assert is_known("flux-2/lora")
    assert not is_known("flux-9/lora")
    assert theirs("flux-9", "double_blocks.0.img_attn.qkv", USUAL_PER_LEVEL) is None
    assert (component("stable-diffusion-v1/lora"), component("wan2.1")) == ("unet", "transformer")
