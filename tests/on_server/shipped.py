"""Shipped prompts as they are, and with tiny models in the place of real ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import maskloss
from maskloss.cli.prompt import read_prompt

from .comfy_server import node

WORKFLOWS = Path(maskloss.__file__).parent / "workflows"
_SMALL = {
    "MaskLossLoadDataset": {"resolution_width": 128, "resolution_height": 128, "bucket_step": 64},
    "MaskLossReferenceFaces": {"face_index": 1},
    "MaskLossTrainLora": {"steps": 2, "save_every": 0, "training_dtype": "fp32"},
    "MaskLossSampling": {"every": 1},
    "BasicScheduler": {"steps": 1},
    "EmptyLatentImage": {"width": 64, "height": 64},
    "KSampler": {"steps": 1},
    "EmptySD3LatentImage": {"width": 64, "height": 64},
}
_LOADERS = {
    "UNETLoader": ["MODEL"],
    "CLIPLoader": ["CLIP"],
    "VAELoader": ["VAE"],
    "CheckpointLoaderSimple": ["MODEL", "CLIP", "VAE"],
}


def prompt_of(name: str) -> dict[str, dict[str, Any]]:
    """A shipped prompt in API form, to be changed at will."""
    prompt = read_prompt(WORKFLOWS / "api" / f"{name}.json")
    return {key: {"class_type": one.class_type, "inputs": dict(one.inputs)} for key, one in prompt.items()}


def made_small(name: str, model: str, vae: str) -> dict[str, dict[str, Any]]:
    """The shipped prompt with tiny models behind its links, and little of everything."""
    prompt = prompt_of(name)
    tiny = {
        "MODEL": node("TinyModel", name=model), "CLIP": node("TinyClip", name=model), "VAE": node("TinyVAE", name=vae),
    }  # fmt: skip
    replaced = {key: _LOADERS[one["class_type"]] for key, one in prompt.items() if one["class_type"] in _LOADERS}
    for one in prompt.values():
        one["inputs"].update(_SMALL.get(one["class_type"], {}))
        for input_name, value in one["inputs"].items():
            if isinstance(value, list) and value[0] in replaced:
                one["inputs"][input_name] = [f"tiny {replaced[value[0]][value[1]]}", 0]
    for key in replaced:
        del prompt[key]
    return prompt | {f"tiny {kind}": one for kind, one in tiny.items()}
