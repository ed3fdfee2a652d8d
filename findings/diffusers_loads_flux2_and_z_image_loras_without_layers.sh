#!/usr/bin/env bash
# One would guess: `load_lora_weights` either loads a LoRA or raises; diffusers reads files with ComfyUI's module names
# (`diffusion_model.…`) for Flux 2 and Z-Image, so that one with `lora_down` / `lora_up` and alpha, as ComfyUI's trainer
# node and others write them, loads like one with `lora_A` / `lora_B`.
# What happens (diffusers 0.42.1, peft 0.21.2): both calls return without an error. Of the Flux 2 file not one layer is
# loaded; of the Z-Image file every fused attention.qkv is left out, and the rest acts. A line in the log says that keys
# were not used. The same tensors under kohya's names (`lora_unet_…`) load whole.
# Why it matters here: a picture without the person looks like bad training, not like a file that was not read.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    torch==2.11.0 diffusers==0.42.1 peft==0.21.2 accelerate==1.15.0 transformers==5.24.0 safetensors==0.8.0 numpy==2.4.6

"$folder/venv/bin/python" - <<'PYTHON'
import importlib.metadata
import sys

import torch
from diffusers import Flux2Transformer2DModel, ZImageTransformer2DModel
from diffusers.loaders.lora_pipeline import Flux2LoraLoaderMixin, ZImageLoraLoaderMixin
from peft.tuners.tuners_utils import BaseTunerLayer

print(*(f"{name} {importlib.metadata.version(name)}" for name in ("diffusers", "peft", "torch")))


def lora(prefix, layers, separator):
    tensors = {}
    for name, (rows, columns) in layers.items():
        stem = prefix + name.replace(".", separator)
        tensors[f"{stem}.lora_down.weight"] = torch.ones(4, columns)
        tensors[f"{stem}.lora_up.weight"] = torch.ones(rows, 4)
        tensors[f"{stem}.alpha"] = torch.tensor(4.0)
    return tensors


def loaded(mixin, model, tensors):
    """How many layers carry an adapter afterwards; whatever the loader raises comes out."""
    members = {"transformer": model, "hf_device_map": None, "components": {}}
    type("Pipeline", (mixin,), members)().load_lora_weights(tensors)
    return sorted(name for name, layer in model.named_modules() if isinstance(layer, BaseTunerLayer))


def flux2():
    return Flux2Transformer2DModel(
        num_layers=1, num_single_layers=1, num_attention_heads=1, joint_attention_dim=64, in_channels=16
    )


def z_image():
    return ZImageTransformer2DModel(dim=384, n_layers=1, n_refiner_layers=1, n_heads=3, n_kv_heads=3, cap_feat_dim=64)


flux_layers = {"double_blocks.0.img_attn.qkv": (384, 128), "double_blocks.0.img_attn.proj": (128, 128)}
z_layers = {
    f"layers.0.{name}": shape
    for name, shape in {
        "attention.qkv": (1152, 384), "attention.out": (384, 384),
        "feed_forward.w1": (1024, 384), "feed_forward.w2": (384, 1024), "feed_forward.w3": (1024, 384),
    }.items()
}
found = {
    "Flux 2, diffusion_model.": loaded(Flux2LoraLoaderMixin, flux2(), lora("diffusion_model.", flux_layers, ".")),
    "Flux 2, lora_unet_": loaded(Flux2LoraLoaderMixin, flux2(), lora("lora_unet_", flux_layers, "_")),
    "Z-Image, diffusion_model.": loaded(ZImageLoraLoaderMixin, z_image(), lora("diffusion_model.", z_layers, ".")),
    "Z-Image, lora_unet_": loaded(ZImageLoraLoaderMixin, z_image(), lora("lora_unet_", z_layers, "_")),
}
for name, layers in found.items():
    print(f"{name:26} {len(layers)} layers: {', '.join(layers) or 'none'}")
surprise = (
    not found["Flux 2, diffusion_model."]
    and len(found["Flux 2, lora_unet_"]) == 4
    and len(found["Z-Image, diffusion_model."]) == 4
    and not [layer for layer in found["Z-Image, diffusion_model."] if layer.endswith(("to_q", "to_k", "to_v"))]
    and len(found["Z-Image, lora_unet_"]) == 7
)
print("layers are left out without an error" if surprise else "it is no longer so")
sys.exit(0 if surprise else 1)
PYTHON
