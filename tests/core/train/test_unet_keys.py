"""What diffusers calls the blocks of Stable Diffusion's UNets."""

from __future__ import annotations

import pytest
import torch
from maskloss.core.errors import TrainingError
from maskloss.core.train.lora_file import KeyFormat, with_key_format
from maskloss.core.train.unet_keys import USUAL_PER_LEVEL, blocks_per_level, unet_kernel, unet_modules, unet_name


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("input_blocks.0.0", "conv_in"),
        ("input_blocks.1.0.in_layers.2", "down_blocks.0.resnets.0.conv1"),
        ("input_blocks.2.1.proj_in", "down_blocks.0.attentions.1.proj_in"),
        ("input_blocks.3.0.op", "down_blocks.0.downsamplers.0.conv"),
        ("input_blocks.11.0.out_layers.3", "down_blocks.3.resnets.1.conv2"),
        ("middle_block.0.emb_layers.1", "mid_block.resnets.0.time_emb_proj"),
        ("middle_block.1.proj_out", "mid_block.attentions.0.proj_out"),
        ("middle_block.2.in_layers.2", "mid_block.resnets.1.conv1"),
        ("output_blocks.0.0.skip_connection", "up_blocks.0.resnets.0.conv_shortcut"),
        ("output_blocks.2.1.conv", "up_blocks.0.upsamplers.0.conv"),
        ("output_blocks.5.2.conv", "up_blocks.1.upsamplers.0.conv"),
        ("output_blocks.11.1.transformer_blocks.0.ff.net.2", "up_blocks.3.attentions.2.transformer_blocks.0.ff.net.2"),
        ("input_blocks.1.2.proj_in", "down_blocks.0.attentions.0.proj_in"),
        ("input_blocks.1.0.nonsense", None),
        ("nonsense", None),
    ],
)
def test_blocks_of_the_unet(module: str, name: str | None):
    assert unet_name(module, USUAL_PER_LEVEL) == name


def test_a_distilled_unet_is_told_by_its_numbers_and_an_impossible_one_refused():
    assert blocks_per_level(["input_blocks.1.1.proj_in", "input_blocks.5.1.proj_in"]) == 3
    assert blocks_per_level(["input_blocks.3.1.proj_in", "input_blocks.2.0.op"]) == 2
    odd = ["input_blocks.2.1.proj_in", "input_blocks.3.1.proj_in", "input_blocks.4.1.proj_in"]
    assert blocks_per_level(odd) is None
    lora = {
        f"diffusion_model.{module}.lora_{part}.weight": torch.ones(2, 2) for module in odd for part in ("up", "down")
    }
    with pytest.raises(TrainingError, match="fit no layout"):
        with_key_format(lora, KeyFormat.DIFFUSERS, "stable-diffusion-v1")


@pytest.mark.parametrize(
    ("module", "linear", "kernel"),
    [
        ("input_blocks.0.0", True, (3, 3)),
        ("input_blocks.3.0.op", True, (3, 3)),
        ("output_blocks.0.0.skip_connection", True, (1, 1)),
        ("input_blocks.1.1.proj_in", True, ()),
        ("input_blocks.1.1.proj_in", False, (1, 1)),
        ("input_blocks.1.1.transformer_blocks.0.attn1.to_q", False, ()),
        ("input_blocks.1.0.emb_layers.1", False, ()),
    ],
)
def test_kernels_of_its_convolutions(module: str, linear: bool, kernel: tuple[int, ...]):
    assert unet_kernel(module, USUAL_PER_LEVEL, linear) == kernel


def test_every_layer_has_a_name_of_diffusers():
    modules = list(unet_modules())
    assert len(modules) == len(set(modules)) > 1000
    assert all(unet_name(module, USUAL_PER_LEVEL) for module in modules)
