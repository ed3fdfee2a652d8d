"""ComfyUI's own SAM 3 with random weights, as small as its classes allow."""

from __future__ import annotations

from typing import Any

import torch

from .tiny_models import randomise  # skips where there is no ComfyUI

import comfy.model_management  # isort: skip
import comfy.model_patcher  # isort: skip
import comfy.sd  # isort: skip
import comfy.supported_models  # isort: skip
import comfy.supported_models_base  # isort: skip
import comfy.text_encoders.sam3_clip as sam3_clip  # isort: skip

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
            randomise(network, seed)
        device = comfy.model_management.get_torch_device()
        return comfy.model_patcher.ModelPatcher(model, device, torch.device("cpu")), clip
