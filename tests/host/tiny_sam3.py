"""ComfyUI's own SAM 3 with random weights, as small as its classes allow: for tests, and as a node in a server.

ComfyUI must be importable; in a server this file lies in custom_nodes.
"""

from __future__ import annotations

from typing import Any

import comfy.model_management
import comfy.model_patcher
import comfy.sd
import comfy.supported_models
import comfy.supported_models_base
import comfy.text_encoders.sam3_clip as sam3_clip
import torch

_WIDTH = 64
_NETWORK = {"d_model": 32, "mem_dim": 32, "embed_dim": _WIDTH, "num_queries": 6, "depth": 1, "mlp_ratio": 1.0}
_TEXT = {"num_hidden_layers": 1, "hidden_size": _WIDTH, "intermediate_size": 64, "num_attention_heads": 1}


def load_sam3(seed: int = 0, version: str = "SAM3") -> tuple[Any, Any]:
    """MODEL and CLIP as Load Checkpoint gives them. version: SAM3, or SAM31, which tracks in videos."""
    configuration = getattr(comfy.supported_models, version)({"image_model": version, **_NETWORK})
    configuration.set_inference_dtype(torch.float32, None)
    options = {"sam3_clip_model_config": {**sam3_clip.SAM3_CLIP_CONFIG, **_TEXT}}
    target = comfy.supported_models_base.ClipTarget(sam3_clip.SAM3TokenizerWrapper, sam3_clip.SAM3ClipModelWrapper)
    with torch.inference_mode():
        model = configuration.get_model({}, "", device="cpu")
        clip = comfy.sd.CLIP(target, model_options=options)
        detector = model.diffusion_model.detector
        # How many layers there are cannot be chosen, and each looks at 5184 places of the picture.
        for stack in (detector.transformer.encoder.layers, detector.transformer.decoder.layers):
            del stack[1:]
        del detector.geometry_encoder.encode[1:]
        for network in (model.diffusion_model, clip.cond_stage_model):
            _randomise(network, seed)
        device = comfy.model_management.get_torch_device()
        return comfy.model_patcher.ModelPatcher(model, device, torch.device("cpu")), clip


def _randomise(network: torch.nn.Module, seed: int) -> None:
    """Weights of a size at which signals neither grow nor vanish."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in network.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        if parameter.ndim >= 2:
            value = noise * parameter[0].numel() ** -0.5
        else:
            value = noise * 0.02 + (0.0 if name.endswith("bias") else 1.0)
        parameter.data = value.to(parameter.dtype)


class TinySam3:
    """The loader, for a server in which no checkpoint is so small."""

    CATEGORY = "tests"
    FUNCTION = "load"
    RETURN_TYPES = ("MODEL", "CLIP")

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {}, "optional": {"version": ("STRING", {"default": "SAM3"})}}

    def load(self, version: str = "SAM3") -> tuple[Any, Any]:
        return load_sam3(version=version)


NODE_CLASS_MAPPINGS = {"TinySam3": TinySam3}
