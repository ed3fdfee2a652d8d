"""Which layers of ComfyUI's networks get an adapter unless told otherwise, and what a LoRA file calls the network."""

from __future__ import annotations

import pytest
import torch
from maskloss.core.comfy.model.architectures import architecture_of, repeated_blocks
from maskloss.core.train.adapters import LoraAdapters
from maskloss.core.train.config import LoraConfig
from tiny_comfy import tiny_models as tiny  # skips where there is no ComfyUI

pytestmark = pytest.mark.comfy

_PARTS = ("attn.qkv", "attn.proj", "mlp.0", "mlp.2")
_STREAMS = "".join(f"2 x {side}_{part}, " for side in ("img", "txt") for part in _PARTS)
_UNET = (
    "4 x proj_in, 4 x attn1.to_q, 4 x attn1.to_k, 4 x attn1.to_v, 4 x attn1.to_out.0, 4 x ff.net.0.proj, "
    "4 x ff.net.2, 4 x attn2.to_q, 4 x attn2.to_k, 4 x attn2.to_v, 4 x attn2.to_out.0, 4 x proj_out"
)
_CONV = ", 8 x in_layers.2, 8 x out_layers.3, 1 x op, 5 x skip_connection, 1 x conv"
_WAN = ", ".join(f"2 x {part}.{layer}" for part in ("self_attn", "cross_attn") for layer in "qkvo") + (
    ", 2 x ffn.0, 2 x ffn.2"
)
# Name in the file, and the layers by their name in a block.
DEFAULTS = {
    "wan": ("wan2.1", _WAN),
    "wan22_5b": ("wan2.2", _WAN),
    "flux": ("flux-1-dev", f"{_STREAMS}2 x linear1, 2 x linear2"),
    "flux_schnell": ("flux-1-schnell", f"{_STREAMS}2 x linear1, 2 x linear2"),
    "chroma_radiance": ("chroma", f"{_STREAMS}2 x linear1, 2 x linear2"),
    "hunyuan_video": ("hunyuan-video", f"{_STREAMS}2 x linear1, 2 x linear2"),
    "sdxl": ("stable-diffusion-xl-v1-base", _UNET),
    "z_image": (
        "z-image",
        "6 x attention.qkv, 6 x attention.out, 6 x feed_forward.w1, 6 x feed_forward.w2, 6 x feed_forward.w3",
    ),
    "aura_flow": (
        "auraflow",
        ", ".join(f"1 x attn.w2{part}" for part in "qkvo")
        + ", "
        + ", ".join(f"2 x attn.w1{part}" for part in "qkvo")
        + ", "
        + ", ".join(f"1 x mlp{part}.c_{layer}" for part in "CX" for layer in ("fc1", "fc2", "proj"))
        + ", 1 x mlp.c_fc1, 1 x mlp.c_fc2, 1 x mlp.c_proj",
    ),
    "ernie": (
        "ernie-image",
        ", ".join(f"2 x self_attention.to_{part}" for part in ("q", "k", "v", "out.0"))
        + ", 2 x mlp.gate_proj, 2 x mlp.up_proj, 2 x mlp.linear_fc2",
    ),
}


def adapters(name: str, conv: bool = False) -> LoraAdapters:
    model = tiny.load_model(name).model
    with torch.inference_mode():
        generator = torch.Generator().manual_seed(0)
        return LoraAdapters(
            model.diffusion_model, LoraConfig(rank=1, conv=conv), architecture_of(model).targets, generator,
            torch.device("cpu"), torch.float32,
        )  # fmt: skip


@pytest.mark.parametrize("name", DEFAULTS)
def test_attention_and_feed_forward_of_the_blocks_get_adapters(name: str) -> None:
    named, layers = DEFAULTS[name]
    assert architecture_of(tiny.load_model(name).model).name == named
    assert sorted(adapters(name).listing.split(", ")) == sorted(layers.split(", "))


def test_convolutions_of_a_unet_get_adapters_where_they_are_asked_for() -> None:
    assert adapters("sdxl", conv=True).listing == _UNET + _CONV


@pytest.mark.parametrize("name", tiny.EVERY_ARCHITECTURE)
def test_every_block_has_adapters_and_what_scales_by_the_timestep_has_none(name: str) -> None:
    model = tiny.load_model(name).model
    network = model.diffusion_model
    chosen = adapters(name).layer_names
    unwanted = ("modulation", "_mod.", ".mod", "norm", "embed", "adaln", "time", "final")
    assert not [layer for layer in chosen if any(word in layer.lower() for word in unwanted)]
    places = {module: path for path, module in network.named_modules()}
    without = {
        (type(block).__name__, places[block].split(".")[0])
        for block in repeated_blocks(network)
        if not any(layer.startswith(places[block] + ".") for layer in chosen)
    }
    if name in ("sd15", "sdxl", "sd2", "sdxl_refiner"):
        assert {kind for kind, _ in without} == {"ResBlock"}, "of which only convolutions matter"
    else:
        # Chroma Radiance's last ones make their weights themselves; reference pictures are not trained on.
        assert without <= {("NerfGLUBlock", "nerf_blocks"), ("OmniGen2TransformerBlock", "ref_image_refiner")}


@pytest.mark.parametrize("name", ["ltx2", "ltx23"])
def test_the_sound_of_a_video_model_stays_as_it_is(name: str) -> None:
    layers = {layer.split(".", 2)[2].split(".")[0] for layer in adapters(name).layer_names}
    assert layers == {"attn1", "attn2", "ff"}
