"""ComfyUI's networks, each configured as small as its class allows, and what its text encoder gives beside them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch

TEXT = 64


@dataclass(frozen=True)
class TinyNetwork:
    """`kind` is ComfyUI's class of configuration; `detected`: its loader recognises so small a network by its weights.

    `text` and `pooled` are the widths of a caption's embeddings (no pooled one: 0); with `masked` they come with an
    attention mask, `translated` with T5's tokens. `cells` is the least side of a latent.
    """

    kind: str
    config: dict[str, Any]
    detected: bool = False
    text: int = TEXT
    pooled: int = 0
    masked: bool = False
    translated: bool = False
    cells: int = 8


_STREAMS = {
    "axes_dim": [16, 56, 56], "num_heads": 1, "hidden_size": 128, "context_in_dim": TEXT, "in_channels": 16,
    "out_channels": 16, "mlp_ratio": 4.0, "qkv_bias": True, "guidance_embed": True,
}  # fmt: skip
_WAN = {
    "image_model": "wan2.1", "dim": 128, "out_dim": 16, "num_heads": 1, "ffn_dim": 256, "num_layers": 2,
    "patch_size": (1, 2, 2), "freq_dim": 256, "window_size": (-1, -1), "qk_norm": True, "cross_attn_norm": True,
    "eps": 1e-6, "in_dim": 16, "model_type": "t2v",
}  # fmt: skip
_FLUX = {
    **_STREAMS, "image_model": "flux", "vec_in_dim": 32, "patch_size": 2, "depth": 2, "depth_single_blocks": 2,
    "theta": 10000, "txt_ids_dims": [],
}  # fmt: skip
_HUNYUAN = {
    **_STREAMS, "image_model": "hunyuan_video", "patch_size": [1, 2, 2], "vec_in_dim": 768, "depth": 2,
    "depth_single_blocks": 2, "theta": 256, "meanflow": False, "byt5": False, "use_cond_type_embedding": False,
    "vision_in_dim": None, "meanflow_sum": False,
}  # fmt: skip
_QWEN = {
    "image_model": "qwen_image", "in_channels": 64, "num_layers": 2, "num_attention_heads": 1,
    "joint_attention_dim": TEXT,
}  # fmt: skip
_SD15 = {
    "in_channels": 4, "out_channels": 4, "model_channels": 320, "num_res_blocks": [1], "channel_mult": [1],
    "num_heads": 8, "num_head_channels": -1, "use_spatial_transformer": True, "transformer_depth": [1],
    "transformer_depth_output": [1, 1], "transformer_depth_middle": 1, "context_dim": 768,
    "use_linear_in_transformer": False, "adm_in_channels": None, "use_temporal_attention": False, "image_size": 32,
    "legacy": False, "num_classes": None,
}  # fmt: skip
_SDXL = {
    **_SD15, "model_channels": 64, "num_res_blocks": [1, 1], "channel_mult": [1, 2], "num_heads": -1,
    "num_head_channels": 64, "transformer_depth": [0, 1], "transformer_depth_output": [0, 0, 1, 1],
    "context_dim": 192, "use_linear_in_transformer": True, "adm_in_channels": 128 + 6 * 256,
    "num_classes": "sequential",
}  # fmt: skip
_SD2 = {**_SDXL, "model_channels": 64, "context_dim": 1024, "adm_in_channels": None, "num_classes": None}
_SD3 = {
    "in_channels": 16, "patch_size": 2, "depth": 2, "input_size": None, "adm_in_channels": 32,
    "context_embedder_config": {"target": "torch.nn.Linear", "params": {"in_features": TEXT, "out_features": 128}},
    "pos_embed_max_size": 32, "num_patches": 1024, "qk_norm": "rms", "x_block_self_attn_layers": [],
}  # fmt: skip
_FLUX2 = {
    **_FLUX, "image_model": "flux2", "axes_dim": [32] * 4, "in_channels": 128, "out_channels": 128, "patch_size": 1,
    "theta": 2000, "global_modulation": True, "mlp_silu_act": True, "mlp_ratio": 3.0, "qkv_bias": False,
    "ops_bias": False, "txt_ids_dims": [3], "vec_in_dim": None, "default_ref_method": "index", "ref_index_scale": 10.0,
}  # fmt: skip
_UNGUIDED = {**_FLUX, "txt_ids_dims": [1, 2], "vec_in_dim": None, "guidance_embed": False}
_CHROMA = {
    **{key: value for key, value in _FLUX.items() if key != "guidance_embed"}, "image_model": "chroma",
    "in_channels": 64, "out_channels": 64, "in_dim": 64, "out_dim": 128, "hidden_dim": 128, "n_layers": 1,
    "vec_in_dim": None,
}  # fmt: skip
_RADIANCE = {
    **_CHROMA, "image_model": "chroma_radiance", "in_channels": 3, "out_channels": 3, "patch_size": 16,
    "nerf_hidden_size": 32, "nerf_mlp_ratio": 2, "nerf_depth": 2, "nerf_max_freqs": 4, "nerf_tile_size": 512,
    "nerf_final_head_type": "conv", "nerf_embedder_dtype": torch.float32, "use_x0": False,
    "use_sequential_txt_ids": False,
}  # fmt: skip
_HUNYUAN_IMAGE = {
    **_HUNYUAN, "patch_size": [1, 1], "axes_dim": [64, 64], "in_channels": 64, "out_channels": 64, "vec_in_dim": None,
    "guidance_embed": False, "meanflow": True,
}  # fmt: skip
_HUNYUAN_15 = {
    **_HUNYUAN, "patch_size": [1, 1, 1], "in_channels": 65, "out_channels": 32, "vec_in_dim": None,
    "guidance_embed": False, "use_cond_type_embedding": True,
}  # fmt: skip
_LUMINA = {
    "image_model": "lumina2", "patch_size": 2, "in_channels": 16, "dim": 96, "cap_feat_dim": TEXT, "n_layers": 2,
    "qk_norm": True, "n_heads": 1, "n_kv_heads": 1, "axes_dims": [32, 32, 32], "axes_lens": [300, 512, 512],
    "rope_theta": 10000.0, "ffn_dim_multiplier": 4.0,
}  # fmt: skip
_Z_IMAGE = {
    **_LUMINA, "dim": 256, "n_heads": 2, "n_kv_heads": 2, "axes_dims": [32, 48, 48], "rope_theta": 256.0,
    "ffn_dim_multiplier": 8 / 3, "z_image_modulation": True, "time_scale": 1000.0, "pad_tokens_multiple": 32,
}  # fmt: skip
_Z_IMAGE_PIXEL = {
    **_Z_IMAGE, "image_model": "zimage_pixel", "in_channels": 3, "decoder_hidden_size": 64, "decoder_num_res_blocks": 1,
}  # fmt: skip
_OMNIGEN = {
    "image_model": "omnigen2", "axes_dim_rope": [40, 40, 40], "axes_lens": [1024, 1664, 1664], "hidden_size": 240,
    "ffn_dim_multiplier": None, "in_channels": 16, "multiple_of": 64, "norm_eps": 1e-5, "num_attention_heads": 2,
    "num_kv_heads": 1, "num_layers": 2, "num_refiner_layers": 1, "out_channels": None, "patch_size": 2,
    "text_feat_dim": TEXT, "timestep_scale": 1000.0,
}  # fmt: skip
_BOOGU = {
    "image_model": "boogu", "hidden_size": 240, "num_layers": 1, "num_double_stream_layers": 1,
    "num_refiner_layers": 1, "instruction_feat_dim": TEXT, "num_attention_heads": 2, "num_kv_heads": 1,
    "multiple_of": 64,
}  # fmt: skip
_HIDREAM = {
    "image_model": "hidream", "attention_head_dim": 128, "axes_dims_rope": [64, 32, 32],
    "caption_channels": [TEXT, TEXT], "max_resolution": [128, 128], "in_channels": 16, "llama_layers": [0, 1, 1],
    "num_attention_heads": 1, "num_routed_experts": 4, "num_activated_experts": 2, "num_layers": 1,
    "num_single_layers": 1, "out_channels": 16, "patch_size": 2, "text_emb_dim": 32,
}  # fmt: skip
_KANDINSKY = {
    "image_model": "kandinsky5", "model_dim": 128, "axes_dims": (32, 48, 48), "rope_scale_factor": (1.0, 1.0, 1.0),
    "time_dim": 64, "ff_dim": 128, "visual_embed_dim": 64, "num_text_blocks": 1, "num_visual_blocks": 2,
    "in_text_dim": TEXT, "in_text_dim2": 32,
}  # fmt: skip
_PIXART = {
    "image_model": "pixart_sigma", "num_heads": 2, "patch_size": 2, "hidden_size": 96, "in_channels": 4, "depth": 2,
    "caption_channels": TEXT, "micro_condition": False, "input_size": 128, "pe_interpolation": 2,
    "model_max_length": 32,
}  # fmt: skip
_AURA = {
    "max_seq": 1024, "cond_seq_dim": TEXT, "n_double_layers": 1, "n_layers": 2, "dim": 256, "n_heads": 1,
    "global_conddim": 256,
}  # fmt: skip
_MOCHI = {
    "image_model": "mochi_preview", "depth": 2, "patch_size": 2, "num_heads": 1, "hidden_size_x": 128,
    "hidden_size_y": 64, "mlp_ratio_x": 96.0, "mlp_ratio_y": 4.0, "learn_sigma": False, "in_channels": 12,
    "qk_norm": True, "qkv_bias": False, "out_bias": True, "attn_drop": 0.0, "patch_embed_bias": True,
    "posenc_preserve_area": True, "timestep_mlp_bias": True, "attend_to_padding": False, "timestep_scale": 1000.0,
    "use_t5": True, "t5_feat_dim": TEXT, "t5_token_length": 256, "rope_theta": 10000.0,
}  # fmt: skip
_LTXV = {
    "image_model": "ltxv", "num_layers": 2, "attention_head_dim": 64, "num_attention_heads": 1,
    "cross_attention_dim": 64, "caption_channels": TEXT,
}  # fmt: skip
_LTX2 = {
    **_LTXV, "image_model": "ltxav", "audio_cross_attention_dim": 64, "audio_attention_head_dim": 64,
    "audio_num_attention_heads": 1, "connector_attention_head_dim": 64, "connector_num_attention_heads": 1,
    "connector_num_layers": 1,
}  # fmt: skip
_MINIMAX = {
    "image_model": "minimax_h3", "hidden_size": 96, "num_layers": 2, "token_refiner_num_layers": 1,
    "num_attention_heads": 2, "attention_head_dim": 64, "ffn_hidden_size": 128, "text_dim": TEXT,
    "timestep_input_dim": 64, "time_embed_hidden_size": 64, "time_embed_dim": 64, "rope_inv_freq_len": 8,
}  # fmt: skip
_JOY = {
    "image_model": "joyimage", "in_channels": 16, "hidden_size": 128, "patch_size": [1, 2, 2], "num_layers": 2,
    "num_attention_heads": 1, "text_dim": TEXT,
}  # fmt: skip
_KREA = {
    "image_model": "krea2", "features": 128, "channels": 16, "patch": 2, "layers": 2, "heads": 1, "kvheads": 1,
    "txtlayers": 2, "txtdim": TEXT, "txtheads": 1, "txtkvheads": 1, "tdim": 64,
}  # fmt: skip
_LENS = {
    "image_model": "lens", "in_channels": 128, "out_channels": 32, "num_layers": 2, "num_attention_heads": 1,
    "enc_hidden_dim": TEXT, "multi_layer_encoder_feature": False, "selected_layer_index": (0,),
}  # fmt: skip
_ERNIE = {
    "image_model": "ernie", "hidden_size": 128, "num_attention_heads": 1, "num_layers": 2, "ffn_hidden_size": 128,
    "text_in_dim": TEXT,
}  # fmt: skip
_PIXELDIT = {
    "image_model": "pixeldit_t2i", "num_groups": 1, "hidden_size": 64, "pixel_hidden_size": 16,
    "pixel_attn_hidden_size": 64, "pixel_num_groups": 1, "patch_depth": 2, "pixel_depth": 1, "txt_embed_dim": TEXT,
}  # fmt: skip

_ANIMA = {
    "image_model": "anima", "max_img_h": 240, "max_img_w": 240, "max_frames": 128, "in_channels": 16,
    "out_channels": 16, "patch_spatial": 2, "patch_temporal": 1, "concat_padding_mask": True, "model_channels": 128,
    "num_blocks": 2, "num_heads": 1, "crossattn_emb_channels": 1024, "pos_emb_cls": "rope3d",
    "pos_emb_learnable": True, "pos_emb_interpolation": "crop", "use_adaln_lora": True, "adaln_lora_dim": 32,
}  # fmt: skip

# Trained whole, in every way that there is a test for.
MAIN = {
    "wan": TinyNetwork("WAN21_T2V", _WAN, detected=True, text=4096),
    "hunyuan_video": TinyNetwork("HunyuanVideo", _HUNYUAN, detected=True, pooled=768),
    "flux": TinyNetwork("Flux", _FLUX, detected=True, pooled=32),
    "sd15": TinyNetwork("SD15", _SD15, detected=True, text=768),
    "qwen_image": TinyNetwork("QwenImage", _QWEN),
    "sdxl": TinyNetwork("SDXL", _SDXL, text=192, pooled=128),
    "sd3": TinyNetwork("SD3", _SD3, pooled=32),
}
# Carried by the same code: gradients, batches and LoRA files are tested.
FURTHER = {
    "wan22_5b": TinyNetwork("WAN22_T2V", {**_WAN, "in_dim": 48, "out_dim": 48}, text=4096),
    "flux_schnell": TinyNetwork("FluxSchnell", {**_FLUX, "guidance_embed": False}, pooled=32),
    "flux2": TinyNetwork("Flux2", _FLUX2),
    "ovis": TinyNetwork("Flux", {**_UNGUIDED, "yak_mlp": True, "txt_norm": True}),
    "longcat": TinyNetwork("LongCatImage", _UNGUIDED),
    "chroma": TinyNetwork("Chroma", _CHROMA),
    "chroma_radiance": TinyNetwork("ChromaRadiance", _RADIANCE),
    "sd3_context": TinyNetwork("SD3", {**_SD3, "context_processor_layers": 2, "context_size": TEXT}, pooled=32),
    "hunyuan_image": TinyNetwork("HunyuanImage21", _HUNYUAN_IMAGE),
    "hunyuan_video15": TinyNetwork("HunyuanVideo15", _HUNYUAN_15, pooled=32),
    "anima": TinyNetwork("Anima", _ANIMA, text=1024, translated=True),
    "sd2": TinyNetwork("SD20", _SD2, text=1024),
    "sdxl_refiner": TinyNetwork("SDXLRefiner", {**_SDXL, "adm_in_channels": 128 + 5 * 256}, text=192, pooled=128),
    "lumina2": TinyNetwork("Lumina2", _LUMINA, masked=True),
    "z_image": TinyNetwork("ZImage", _Z_IMAGE, masked=True),
    "z_image_pixel": TinyNetwork("ZImagePixelSpace", _Z_IMAGE_PIXEL, masked=True),
    "omnigen2": TinyNetwork("Omnigen2", _OMNIGEN, masked=True),
    "boogu": TinyNetwork("Boogu", _BOOGU, masked=True),
    "hidream": TinyNetwork("HiDream", _HIDREAM, pooled=32),
    "kandinsky5": TinyNetwork("Kandinsky5", {**_KANDINSKY, "visual_embed_dim": 132}, pooled=32),
    "kandinsky5_image": TinyNetwork("Kandinsky5Image", _KANDINSKY, pooled=32),
    "pixart": TinyNetwork("PixArtSigma", _PIXART, cells=64),
    "aura_flow": TinyNetwork("AuraFlow", _AURA),
    "mochi": TinyNetwork("GenmoMochi", _MOCHI, masked=True),
    "ltxv": TinyNetwork("LTXV", _LTXV, masked=True),
    "ltx2": TinyNetwork("LTXAV", _LTX2),
    "ltx23": TinyNetwork(
        "LTXAV",
        {**_LTX2, "caption_proj_before_connector": True, "cross_attention_adaln": True, "apply_gated_attention": True},
    ),
    "minimax_h3": TinyNetwork("MiniMaxH3", _MINIMAX),
    "joy_image": TinyNetwork("JoyImage", _JOY),
    "krea2": TinyNetwork("Krea2", _KREA, text=2 * TEXT),
    "lens": TinyNetwork("Lens", _LENS),
    "mage_flow": TinyNetwork("MageFlow", {**_QWEN, "image_model": "mage_flow", "in_channels": 128}),
    "ernie": TinyNetwork("ErnieImage", _ERNIE),
    "pixeldit": TinyNetwork("PixelDiTT2I", _PIXELDIT, masked=True),
}
# Told its references from its picture in another way than the others.
PLACED = {"qwen_image_2511": TinyNetwork("QwenImage", {**_QWEN, "default_ref_method": "index_timestep_zero"})}
# Given more than text beside the noise.
CONDITIONED = {
    "wan_i2v": TinyNetwork("WAN21_I2V", {**_WAN, "in_dim": 36, "model_type": "i2v"}, text=4096),
    "wan22_i2v": TinyNetwork("WAN21_T2V", {**_WAN, "in_dim": 36}, detected=True, text=4096),
    "wan_control": TinyNetwork("WAN21_T2V", {**_WAN, "in_dim": 32}, detected=True, text=4096),
    "wan_vace": TinyNetwork(
        "WAN21_Vace", {**_WAN, "model_type": "vace", "vace_in_dim": 96, "vace_layers": 1}, text=4096
    ),
    "wan_s2v": TinyNetwork("WAN22_S2V", {**_WAN, "model_type": "s2v"}, text=4096),
    "hunyuan_i2v": TinyNetwork("HunyuanVideoI2V", {**_HUNYUAN, "in_channels": 33}, pooled=768),
    "sd15_inpaint": TinyNetwork("SD15", {**_SD15, "in_channels": 9}, text=768),
    "sdxl_inpaint": TinyNetwork("SDXL", {**_SDXL, "in_channels": 9}, text=192, pooled=128),
    "sd15_ip2p": TinyNetwork("SD15_instructpix2pix", {**_SD15, "in_channels": 8}, text=768),
    "flux_fill": TinyNetwork("FluxInpaint", {**_FLUX, "in_channels": 96}, pooled=32),
    "hunyuan_3d": TinyNetwork(
        "Hunyuan3Dv2",
        {
            "image_model": "hunyuan3d2", "in_channels": 64, "context_in_dim": TEXT, "hidden_size": 128,
            "mlp_ratio": 4.0, "num_heads": 1, "depth": 1, "depth_single_blocks": 1, "qkv_bias": True,
            "guidance_embed": False,
        },
    ),
}  # fmt: skip


def _with_blocks(name: str, **blocks: Any) -> TinyNetwork:
    network = {**MAIN, **FURTHER}[name]
    return replace(network, config={**network.config, **blocks}, detected=False)


# With blocks between the first and the last: of these the middle ones can be skipped by some tokens.
DEEP = {
    **{f"{name}_deep": _with_blocks(name, num_layers=4) for name in ("wan", "wan22_5b", "qwen_image", "mage_flow")},
    **{f"{name}_deep": _with_blocks(name, n_layers=4) for name in ("z_image", "lumina2")},
    "sd3_deep": _with_blocks("sd3", num_blocks=4, x_block_self_attn_layers=[0, 1]),
    **{
        f"{name}_deep": _with_blocks(name)  # two of each of their two kinds of blocks
        for name in (
            "flux", "flux_schnell", "flux2", "longcat", "chroma", "hunyuan_video", "hunyuan_video15", "hunyuan_image",
        )
    },
}  # fmt: skip
NETWORKS = {**MAIN, **FURTHER, **PLACED, **CONDITIONED, **DEEP}
