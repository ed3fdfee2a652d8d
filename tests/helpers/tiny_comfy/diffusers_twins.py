"""The tiny networks that diffusers has too: its class and configuration of each, and its converter of checkpoints.

Skips where diffusers, PEFT or ComfyUI is missing.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch

from .tiny_networks import NETWORKS, TEXT, TinyNetwork

for _package in ("diffusers", "peft", "accelerate"):
    pytest.importorskip(_package, reason=f"{_package} is not installed; diffusers' loaders are not tried")

import diffusers.loaders.lora_conversion_utils as conversions  # noqa: E402
import diffusers.loaders.lora_pipeline as pipelines  # noqa: E402
import diffusers.loaders.single_file_utils as single_file  # noqa: E402

Weights = dict[str, torch.Tensor]


@dataclass(frozen=True)
class Twin:
    """`network`: ComfyUI's, `kind` and `config`: diffusers' class of the same network, `loader` its mixin of LoRAs
    where a pipeline has one; `convert` makes ComfyUI's weights into diffusers'."""

    network: TinyNetwork
    kind: str
    config: dict[str, Any]
    convert: Callable[[Weights], Weights]
    loader: str = ""
    conv: bool = False

    @property
    def part(self) -> str:
        return "unet" if "UNet" in self.kind else "transformer"


def _same(weights: Weights) -> Weights:
    return weights


def _with_sizes(module: Any, name: str, sizes: Mapping[str, object]) -> Callable[..., Any]:
    """diffusers' function of that name, with the sizes that it has written out replaced by the tiny network's."""
    source = inspect.getsource(getattr(module, name))
    for written, tiny_size in sizes.items():
        assert written in source, (name, written)
        source = source.replace(written, str(tiny_size))
    space = dict(vars(module))
    exec(compile(source, name, "exec"), space)  # noqa: S102 - the installed library's own function
    return space[name]


# Of diffusers' converters of other programs' LoRAs too.
for _name, _sizes in (
    ("_convert_kohya_flux_lora_to_diffusers", {"[3072, 3072, 3072, 12288]": "[128, 128, 128, 512]"}),
    ("_convert_hunyuan_video_lora_to_diffusers", {"hidden_size = 3072": "hidden_size = 128"}),
    ("_convert_non_diffusers_lumina2_lora_to_diffusers", {"[2304, 768, 768]": "[192, 96, 96]"}),
):
    setattr(pipelines, _name, _with_sizes(conversions, _name, _sizes))


def _by(name: str, sizes: Mapping[str, object] | None = None) -> Callable[[Weights], Weights]:
    """diffusers' converter of checkpoints of that name."""

    def convert(weights: Weights) -> Weights:
        return _with_sizes(single_file, name, sizes or {})(_Forgiving(weights))

    return convert


class _Forgiving(dict[str, torch.Tensor]):
    """What a converter asks for and this network lacks (embedders of other variants) is there, and empty."""

    def pop(self, key: str, *default: Any) -> Any:
        return super().pop(key, *(default or (torch.zeros(2, 2),)))


def _hunyuan(weights: Weights) -> Weights:
    """By the names of the first release, which ComfyUI renames."""
    names = {
        "_attn.qkv": "_attn_qkv", "_attn.proj": "_attn_proj", "mlp.0": "mlp.fc1", "mlp.2": "mlp.fc2",
        "_mod.lin.": "_mod.linear.", "modulation.lin.": "modulation.linear.",
    }  # fmt: skip
    renamed: Weights = {}
    for name, weight in weights.items():
        for ours, theirs in names.items():
            name = name.replace(ours, theirs)
        renamed[name] = weight
    return dict(_by("convert_hunyuan_video_transformer_to_diffusers", {"3072": 128})(renamed))


def _unet(config: dict[str, Any]) -> Callable[[Weights], Weights]:
    def convert(weights: Weights) -> Weights:
        prefixed = {f"model.diffusion_model.{name}": weight for name, weight in weights.items()}
        return single_file.convert_ldm_unet_checkpoint(prefixed, dict(config))

    return convert


_FLUX_SIZES = {"inner_dim = 3072": "inner_dim = 128"}
_FLUX = {
    "in_channels": 64, "num_layers": 2, "num_single_layers": 2, "attention_head_dim": 128, "num_attention_heads": 1,
    "joint_attention_dim": TEXT,
}  # fmt: skip
_HUNYUAN = {
    "in_channels": 16, "out_channels": 16, "num_attention_heads": 1, "attention_head_dim": 128, "num_layers": 2,
    "num_single_layers": 2, "text_embed_dim": TEXT,
}  # fmt: skip
_WAN = {
    "num_attention_heads": 1, "attention_head_dim": 128, "in_channels": 16, "out_channels": 16, "ffn_dim": 256,
    "num_layers": 2,
}  # fmt: skip
_UNET = {
    "in_channels": 4, "out_channels": 4, "layers_per_block": 2, "norm_num_groups": 32, "sample_size": 32,
}  # fmt: skip
_SD1 = {
    **_UNET, "block_out_channels": (64, 64, 128, 128), "cross_attention_dim": 64, "attention_head_dim": 8,
    "down_block_types": ("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
    "up_block_types": ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
}  # fmt: skip
_SDXL = {
    **_UNET, "block_out_channels": (64, 128, 128), "cross_attention_dim": 192, "attention_head_dim": (1, 2, 2),
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "transformer_layers_per_block": (1, 2, 2), "use_linear_projection": True, "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256, "projection_class_embeddings_input_dim": 128 + 6 * 256,
}  # fmt: skip
_COMFY_SD1 = {
    **NETWORKS["sd15"].config, "model_channels": 64, "num_res_blocks": [2, 2, 2, 2], "channel_mult": [1, 1, 2, 2],
    "transformer_depth": [1, 1, 1, 1, 1, 1, 0, 0], "transformer_depth_output": [1] * 9 + [0] * 3, "context_dim": 64,
}  # fmt: skip
_COMFY_SDXL = {
    **NETWORKS["sdxl"].config, "num_res_blocks": [2, 2, 2], "channel_mult": [1, 2, 2],
    "transformer_depth": [0, 0, 2, 2, 2, 2], "transformer_depth_output": [0, 0, 0, 2, 2, 2, 2, 2, 2],
    "transformer_depth_middle": 2,
}  # fmt: skip


def _variant(name: str, **config: Any) -> TinyNetwork:
    network = NETWORKS[name]
    return replace(network, config={**network.config, **config}, detected=False)


TWINS: dict[str, Twin] = {
    "wan": Twin(
        NETWORKS["wan"], "WanTransformer3DModel", _WAN, _by("convert_wan_transformer_to_diffusers"),
        "WanLoraLoaderMixin",
    ),
    "flux": Twin(
        NETWORKS["flux"], "FluxTransformer2DModel",
        {**_FLUX, "pooled_projection_dim": 32, "guidance_embeds": True},
        _by("convert_flux_transformer_checkpoint_to_diffusers", _FLUX_SIZES), "FluxLoraLoaderMixin",
    ),
    "flux2": Twin(
        NETWORKS["flux2"], "Flux2Transformer2DModel", {**_FLUX, "in_channels": 128},
        _by("convert_flux2_transformer_checkpoint_to_diffusers"), "Flux2LoraLoaderMixin",
    ),
    "chroma": Twin(
        NETWORKS["chroma"], "ChromaTransformer2DModel",
        {**_FLUX, "approximator_hidden_dim": 128, "approximator_layers": 1},
        _by("convert_chroma_transformer_checkpoint_to_diffusers", _FLUX_SIZES), "FluxLoraLoaderMixin",
    ),
    "longcat": Twin(
        NETWORKS["longcat"], "LongCatImageTransformer2DModel", {**_FLUX, "pooled_projection_dim": TEXT},
        _by("convert_flux_transformer_checkpoint_to_diffusers", _FLUX_SIZES),
    ),
    "hunyuan_video": Twin(
        NETWORKS["hunyuan_video"], "HunyuanVideoTransformer3DModel", _HUNYUAN, _hunyuan, "HunyuanVideoLoraLoaderMixin"
    ),
    "hunyuan_video15": Twin(
        _variant("hunyuan_video15", depth_single_blocks=0), "HunyuanVideo15Transformer3DModel",
        {"num_attention_heads": 1, "num_layers": 2, "text_embed_dim": TEXT}, _hunyuan,
    ),
    "hunyuan_image": Twin(
        NETWORKS["hunyuan_image"], "HunyuanImageTransformer2DModel",
        {**_HUNYUAN, "in_channels": 64, "out_channels": 64, "patch_size": (1, 1), "rope_axes_dim": (64, 64)}, _hunyuan,
    ),
    "qwen_image": Twin(
        NETWORKS["qwen_image"], "QwenImageTransformer2DModel",
        {"num_layers": 2, "num_attention_heads": 1, "joint_attention_dim": TEXT}, _same, "QwenImageLoraLoaderMixin",
    ),
    "sd3": Twin(
        _variant("sd3", x_block_self_attn_layers=[0]), "SD3Transformer2DModel",
        {
            "num_layers": 2, "num_attention_heads": 2, "joint_attention_dim": TEXT, "caption_projection_dim": 128,
            "pooled_projection_dim": 32, "pos_embed_max_size": 32, "dual_attention_layers": (0,), "qk_norm": "rms_norm",
        },
        _by("convert_sd3_transformer_checkpoint_to_diffusers"), "SD3LoraLoaderMixin",
    ),
    "aura_flow": Twin(
        NETWORKS["aura_flow"], "AuraFlowTransformer2DModel",
        {
            "num_mmdit_layers": 1, "num_single_dit_layers": 1, "num_attention_heads": 1, "joint_attention_dim": TEXT,
            "caption_projection_dim": 256,
        },
        _by("convert_auraflow_transformer_checkpoint_to_diffusers"), "AuraFlowLoraLoaderMixin",
    ),
    "lumina2": Twin(
        _variant("lumina2", dim=192, n_heads=2, n_kv_heads=1), "Lumina2Transformer2DModel",
        {
            "hidden_size": 192, "num_layers": 2, "num_attention_heads": 2, "num_kv_heads": 1, "cap_feat_dim": TEXT,
            "ffn_dim_multiplier": 1.0,
        },
        _by("convert_lumina2_to_diffusers", {"2304": 192, "768": 96}), "Lumina2LoraLoaderMixin",
    ),
    "z_image": Twin(
        _variant("z_image", dim=384, n_heads=3, n_kv_heads=3), "ZImageTransformer2DModel",
        {"dim": 384, "n_layers": 2, "n_heads": 3, "n_kv_heads": 3, "cap_feat_dim": TEXT},
        _by("convert_z_image_transformer_checkpoint_to_diffusers"), "ZImageLoraLoaderMixin",
    ),
    "anima": Twin(
        NETWORKS["anima"], "CosmosTransformer3DModel",
        {"num_attention_heads": 1, "num_layers": 2, "adaln_lora_dim": 32, "extra_pos_embed_type": None},
        _by("convert_cosmos_transformer_checkpoint_to_diffusers"), "AnimaLoraLoaderMixin",
    ),
    "ltxv": Twin(
        NETWORKS["ltxv"], "LTXVideoTransformer3DModel",
        {"num_attention_heads": 1, "cross_attention_dim": 64, "num_layers": 2, "caption_channels": TEXT},
        _by("convert_ltx_transformer_checkpoint_to_diffusers"), "LTXVideoLoraLoaderMixin",
    ),
    "mochi": Twin(
        NETWORKS["mochi"], "MochiTransformer3DModel",
        {"num_attention_heads": 1, "num_layers": 2, "pooled_projection_dim": 64, "text_embed_dim": TEXT},
        _by("convert_mochi_transformer_checkpoint_to_diffusers", {"num_layers = 48": "num_layers = 2"}),
        "Mochi1LoraLoaderMixin",
    ),
    "hidream": Twin(
        NETWORKS["hidream"], "HiDreamImageTransformer2DModel",
        {
            "patch_size": 2, "in_channels": 16, "out_channels": 16, "num_layers": 1, "num_single_layers": 1,
            "num_attention_heads": 1, "caption_channels": [TEXT, TEXT], "text_emb_dim": 32, "llama_layers": [0, 1],
            "axes_dims_rope": (64, 32, 32),
        },
        _same, "HiDreamImageLoraLoaderMixin",
    ),
    "kandinsky5": Twin(
        NETWORKS["kandinsky5"], "Kandinsky5Transformer3DModel",
        {
            "in_visual_dim": 16, "in_text_dim": TEXT, "in_text_dim2": 32, "time_dim": 64, "out_visual_dim": 16,
            "model_dim": 128, "ff_dim": 128, "num_text_blocks": 1, "num_visual_blocks": 2, "axes_dims": (32, 48, 48),
            "visual_cond": True,
        },
        _same, "KandinskyLoraLoaderMixin",
    ),
    "krea2": Twin(
        NETWORKS["krea2"], "Krea2Transformer2DModel",
        {
            "num_layers": 2, "num_attention_heads": 1, "num_key_value_heads": 1, "intermediate_size": 384,
            "timestep_embed_dim": 64, "text_hidden_dim": 64, "num_text_layers": 2, "text_num_attention_heads": 1,
            "text_num_key_value_heads": 1, "text_intermediate_size": 256,
        },
        _by("convert_krea2_transformer_checkpoint_to_diffusers"), "Krea2LoraLoaderMixin",
    ),
    "ernie": Twin(
        NETWORKS["ernie"], "ErnieImageTransformer2DModel",
        {"hidden_size": 128, "num_attention_heads": 1, "num_layers": 2, "ffn_hidden_size": 128, "text_in_dim": TEXT},
        _same, "ErnieImageLoraLoaderMixin",
    ),
    "sd15": Twin(
        TinyNetwork("SD15", _COMFY_SD1, text=64), "UNet2DConditionModel", _SD1, _unet(_SD1),
        "StableDiffusionLoraLoaderMixin", conv=True,
    ),
    "sd2": Twin(
        TinyNetwork("SD20", {**_COMFY_SD1, "use_linear_in_transformer": True}, text=64), "UNet2DConditionModel",
        {**_SD1, "use_linear_projection": True}, _unet({**_SD1, "use_linear_projection": True}),
        "StableDiffusionLoraLoaderMixin", conv=True,
    ),
    "sdxl": Twin(
        TinyNetwork("SDXL", _COMFY_SDXL, text=192, pooled=128), "UNet2DConditionModel", _SDXL, _unet(_SDXL),
        "StableDiffusionXLLoraLoaderMixin", conv=True,
    ),
}  # fmt: skip
