"""Models for the card benchmark: the published architectures with random weights, made on the card, and tiny ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import comfy.model_management
import comfy.model_patcher
import torch
from maskloss.core.comfy.model.full_size import CaptionShape, FullSize, full_size_models

_TEXT = 64
_TINY_WAN = {
    "image_model": "wan2.1", "dim": 128, "out_dim": 16, "num_heads": 1, "ffn_dim": 256, "num_layers": 4,
    "patch_size": (1, 2, 2), "freq_dim": 256, "window_size": (-1, -1), "qk_norm": True, "cross_attn_norm": True,
    "eps": 1e-6, "in_dim": 16, "model_type": "t2v",
}  # fmt: skip
_TINY_FLUX = {
    "axes_dim": [16, 56, 56], "num_heads": 1, "hidden_size": 128, "context_in_dim": _TEXT, "in_channels": 16,
    "out_channels": 16, "mlp_ratio": 4.0, "qkv_bias": True, "guidance_embed": True, "image_model": "flux",
    "vec_in_dim": 32, "patch_size": 2, "depth": 2, "depth_single_blocks": 2, "theta": 10000, "txt_ids_dims": [],
}  # fmt: skip
_TINY_Z_IMAGE = {
    "image_model": "lumina2", "patch_size": 2, "in_channels": 16, "dim": 256, "cap_feat_dim": _TEXT, "n_layers": 2,
    "qk_norm": True, "n_heads": 2, "n_kv_heads": 2, "axes_dims": [32, 48, 48], "axes_lens": [300, 512, 512],
    "rope_theta": 256.0, "ffn_dim_multiplier": 8 / 3, "z_image_modulation": True, "time_scale": 1000.0,
    "pad_tokens_multiple": 32,
}  # fmt: skip
_TINY_KREA = {
    "image_model": "krea2", "features": 128, "channels": 16, "patch": 2, "layers": 2, "heads": 1, "kvheads": 1,
    "txtlayers": 2, "txtdim": _TEXT, "txtheads": 1, "txtkvheads": 1, "tdim": 64,
}  # fmt: skip
_TINY_SDXL = {
    "in_channels": 4, "out_channels": 4, "num_head_channels": 64, "use_spatial_transformer": True,
    "use_temporal_attention": False, "image_size": 32, "legacy": False, "model_channels": 64, "num_res_blocks": [1, 1],
    "channel_mult": [1, 2], "num_heads": -1, "transformer_depth": [0, 1], "transformer_depth_output": [0, 0, 1, 1],
    "transformer_depth_middle": 1, "context_dim": 192, "use_linear_in_transformer": True,
    "adm_in_channels": 128 + 6 * 256, "num_classes": "sequential",
}  # fmt: skip
TINY: Mapping[str, FullSize] = {
    "krea-2": FullSize("Krea2", 0, 8, 4, CaptionShape(2 * _TEXT, 6), _TINY_KREA),
    "z-image": FullSize("ZImage", 0, 8, 1, CaptionShape(_TEXT, 6, masked=True), _TINY_Z_IMAGE),
    "wan2.2-14b": FullSize("WAN21_T2V", 0, 8, 4, CaptionShape(4096, 6, 16), _TINY_WAN),
    "flux-1-dev": FullSize("Flux", 0, 8, 1, CaptionShape(_TEXT, 6, pooled=32), _TINY_FLUX),
    "sdxl": FullSize("SDXL", 0, 8, 1, CaptionShape(192, 7, pooled=128), _TINY_SDXL),
}
"""By the names of the full-size ones."""


def architecture(name: str, tiny: bool) -> FullSize:
    """At full size, or tiny."""
    return TINY[name] if tiny else full_size_models()[name]


def random_model(full: FullSize, dtype: torch.dtype, device: torch.device, home: torch.device) -> Any:
    """A MODEL of ComfyUI's for `device` with random weights, which are made there and lie in `home` when they are not
    in use."""
    with torch.inference_mode(), torch.device(device):
        model = full.configuration(dtype).get_model({}, "", device=device)
        generator = torch.Generator(device).manual_seed(0)
        for name, parameter in model.diffusion_model.named_parameters():
            parameter.data = _values(name, parameter, generator)
        for buffer in model.diffusion_model.buffers():
            # SD3's is whatever lay in memory.
            if buffer.is_floating_point() and not torch.isfinite(buffer).all():
                buffer.zero_()
        model.diffusion_model.to(home)
    return comfy.model_patcher.ModelPatcher(model, device, home)


def _values(name: str, parameter: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Of a size at which signals neither grow nor vanish."""
    wide = parameter.dtype if parameter.dtype.itemsize > 1 else torch.bfloat16
    noise = torch.empty(parameter.shape, dtype=wide, device=parameter.device).normal_(generator=generator)
    if parameter.ndim >= 2:
        value = noise.mul_(parameter[0].numel() ** -0.5)
    else:
        value = noise.mul_(0.02).add_(0.0 if name.endswith("bias") else 1.0)
    return value.to(parameter.dtype)


def forget_models() -> None:
    """Give the card's memory back."""
    comfy.model_management.unload_all_models()
    comfy.model_management.soft_empty_cache()
