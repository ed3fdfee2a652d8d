"""LoRAs with random parts for every architecture of which diffusers' names are known, without a model."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from maskloss.core.train.diffusers_keys import Rows, theirs
from maskloss.core.train.unet_keys import USUAL_PER_LEVEL

# Some layers of each: those that are split, turned or renamed.
MODULES: dict[str, Sequence[str]] = {
    "wan2.1": ("blocks.0.self_attn.q", "blocks.11.cross_attn.o", "blocks.1.ffn.0", "blocks.1.cross_attn.k_img"),
    "wan2.2": ("blocks.0.self_attn.v", "blocks.39.ffn.2"),
    "flux-1-dev": ("double_blocks.0.img_attn.qkv", "double_blocks.18.txt_mlp.2", "single_blocks.37.linear1"),
    "flux-1-schnell": ("double_blocks.0.txt_attn.qkv", "single_blocks.0.linear2", "double_blocks.1.img_mod.lin"),
    "flux-2": ("double_blocks.0.img_attn.qkv", "single_blocks.0.linear1", "double_blocks.3.txt_mlp.0"),
    "chroma": ("double_blocks.0.txt_attn.qkv", "single_blocks.3.linear1"),
    "longcat-image": ("double_blocks.0.img_attn.proj", "single_blocks.3.linear1"),
    "hunyuan-video": (
        "double_blocks.0.img_attn.qkv", "single_blocks.0.linear1",
        "txt_in.individual_token_refiner.blocks.1.self_attn.qkv",
    ),
    "hunyuan-video-1.5": ("double_blocks.53.txt_attn.qkv", "double_blocks.0.img_mlp.0"),
    "hunyuan-image-2.1": ("double_blocks.0.img_attn.qkv", "single_blocks.39.linear1"),
    "qwen-image": ("transformer_blocks.59.attn.to_add_out", "transformer_blocks.0.txt_mlp.net.0.proj"),
    "stable-diffusion-3": ("joint_blocks.0.x_block.attn2.qkv", "joint_blocks.23.context_block.attn.qkv"),
    "auraflow": ("double_layers.3.attn.w1q", "single_layers.31.mlp.c_proj", "double_layers.0.mlpC.c_fc2"),
    "lumina-2": ("layers.25.attention.qkv", "context_refiner.1.feed_forward.w3", "noise_refiner.0.attention.out"),
    "z-image": ("layers.29.attention.qkv", "context_refiner.1.attention.qkv", "layers.0.feed_forward.w2"),
    "anima": ("blocks.0.self_attn.output_proj", "blocks.27.mlp.layer2"),
    "ltx-video": ("transformer_blocks.27.attn2.to_out.0", "transformer_blocks.0.ff.net.2"),
    "mochi-1-preview": ("blocks.0.attn.qkv_x", "blocks.46.attn.qkv_y", "blocks.1.mlp_x.w1", "blocks.1.mlp_y.w1"),
    "hidream-i1": ("double_stream_blocks.0.block.ff_i.experts.3.w2", "single_stream_blocks.31.block.attn1.to_out"),
    "kandinsky-5": (
        "text_transformer_blocks.1.feed_forward.in_layer", "visual_transformer_blocks.0.cross_attention.to_key",
    ),
    "krea-2": ("blocks.27.attn.gate", "txtfusion.refiner_blocks.1.mlp.down"),
    "ernie-image": ("layers.0.self_attention.to_out.0", "layers.23.mlp.linear_fc2"),
    "stable-diffusion-v1": (
        "input_blocks.1.1.transformer_blocks.0.attn1.to_q", "middle_block.1.transformer_blocks.0.ff.net.2",
        "output_blocks.11.1.transformer_blocks.0.attn2.to_out.0",
    ),
    "stable-diffusion-v2": ("input_blocks.8.1.proj_in", "output_blocks.3.1.proj_out"),
    "stable-diffusion-xl-v1-base": (
        "input_blocks.8.1.transformer_blocks.9.attn2.to_k", "output_blocks.5.1.transformer_blocks.1.ff.net.0.proj",
    ),
    "stable-diffusion-xl-v1-refiner": ("input_blocks.4.1.transformer_blocks.3.attn1.to_v", "middle_block.1.proj_in"),
}  # fmt: skip
INPUTS = 6


def rows_of(architecture: str, module: str) -> int:
    """How many rows such a layer has, with `INPUTS` inputs."""
    found = theirs(architecture, module, USUAL_PER_LEVEL)
    assert found is not None, module
    if found.rows is Rows.STREAM:
        return 3 * INPUTS + 8
    return INPUTS + 4 if found.rows is Rows.GROUPED else 12


def lora_of(
    architecture: str, rank: int = 2, alpha: float = 1.0, modules: Sequence[str] = (), prefix: str = "diffusion_model."
) -> dict[str, torch.Tensor]:
    generator = torch.Generator().manual_seed(len(architecture))
    tensors: dict[str, torch.Tensor] = {}
    for module in modules or MODULES[architecture]:
        rows = rows_of(architecture, module)
        tensors[f"{prefix}{module}.lora_up.weight"] = torch.randn(rows, rank, generator=generator)
        tensors[f"{prefix}{module}.lora_down.weight"] = torch.randn(rank, INPUTS, generator=generator)
        tensors[f"{prefix}{module}.alpha"] = torch.tensor(alpha)
    return tensors


def changes(tensors: dict[str, torch.Tensor], prefix: str) -> dict[str, torch.Tensor]:
    """By layer, what the LoRA adds, in float64."""
    found: dict[str, torch.Tensor] = {}
    for key, up in tensors.items():
        for above, below in ((".lora_up.weight", ".lora_down.weight"), (".lora_B.weight", ".lora_A.weight")):
            if key.endswith(above):
                stem = key.removesuffix(above)
                down = tensors[stem + below]
                alpha = float(tensors.get(f"{stem}.alpha", torch.tensor(float(down.shape[0]))))
                found[stem.removeprefix(prefix)] = up.double() @ down.double() * (alpha / down.shape[0])
    return found
