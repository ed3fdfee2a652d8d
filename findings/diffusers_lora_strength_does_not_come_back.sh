#!/usr/bin/env bash
# One would guess: fuse_lora(lora_scale=0.5) and unfuse_lora() leave a model as it was before; and a call with
# joint_attention_kwargs={"scale": s} uses that strength for itself alone.
# What happens (diffusers 0.42.1, peft 0.21.2): after fusing at 0.5 and unfusing, the LoRA acts at 0.5 for ever, after the
# next time at 0.25. A call with a scale of 0.5 gives back what it took; one with 0, a picture without the LoRA for
# comparison, sets the strength to 1: a LoRA that set_adapters had at 0.5 acts in full in all later pictures. No error,
# no warning.
# Why it matters here: strengths are compared side by side, 0 among them, to see how much of the scene a LoRA brings
# along. The pictures after the first one with 0 are all of another strength than is written below them.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --no-compile --disable-pip-version-check \
    torch==2.13.0 diffusers==0.42.1 peft==0.21.2 accelerate==1.15.0 transformers==5.24.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import importlib.metadata
import sys

import torch
from diffusers import FluxTransformer2DModel
from peft import LoraConfig

print(*(f"{name} {importlib.metadata.version(name)}" for name in ("diffusers", "peft", "torch")))
torch.manual_seed(0)
model = FluxTransformer2DModel(
    patch_size=1, in_channels=4, num_layers=1, num_single_layers=1, attention_head_dim=16, num_attention_heads=2,
    joint_attention_dim=32, pooled_projection_dim=32, axes_dims_rope=[4, 4, 8],
)
model.add_adapter(LoraConfig(r=4, lora_alpha=4, target_modules=["to_q", "to_k"], init_lora_weights=False), "face")
given = {
    "hidden_states": torch.randn(1, 16, 4), "encoder_hidden_states": torch.randn(1, 8, 32),
    "pooled_projections": torch.randn(1, 32), "timestep": torch.tensor([0.5]),
    "img_ids": torch.zeros(16, 3), "txt_ids": torch.zeros(8, 3),
}


@torch.no_grad()
def picture(**extra):
    return model(**given, **extra)[0]


def strength():
    """At which of these strengths the model paints now."""
    now = picture()
    return min(known, key=lambda each: float((known[each] - now).norm()))


known = {}
for each in (1.0, 0.5, 0.25):
    model.set_adapters(["face"], [each])
    known[each] = picture()
model.set_adapters(["face"], [1.0])
fused = []
for _ in range(2):
    model.fuse_lora(lora_scale=0.5)
    model.unfuse_lora()
    fused.append(strength())
print("at 1; after fusing at 0.5 and unfusing, once and twice:", fused)
called = {}
for scale in (0.5, 0.0):
    model.set_adapters(["face"], [0.5])
    picture(joint_attention_kwargs={"scale": scale})
    called[scale] = strength()
print("at 0.5; after a call with scale:", called)
sys.exit(0 if fused == [0.5, 0.25] and called == {0.5: 0.5, 0.0: 1.0} else 1)
PYTHON
