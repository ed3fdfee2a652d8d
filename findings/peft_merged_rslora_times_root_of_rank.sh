#!/usr/bin/env bash
# One would guess: `add_weighted_adapter(["face", "body"], [1.0, 0.0], "both")` gives the first LoRA again, whatever kind of
# scale it was trained with: the parts are multiplied by their scales, and the new adapter has alpha = rank, scale 1.
# What happens (peft 0.21.2): the new adapter keeps `use_rslora` of the first, and with it alpha = rank means a scale of
# √rank. At rank 16 the result acts 4 times as strongly, two of them concatenated (rank 32) 5.7 times, at rank 64 8 and
# 11.3 times; for `linear`, `cat` and `svd` alike. No error, no warning. Without rsLoRA the factor is 1.
# Why it matters here: LoRAs of one person, trained on several masks or folders, are put together this way; the picture
# burns, and the training is blamed. The saved file carries the wrong strength on into every program that reads it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --no-compile --disable-pip-version-check \
    torch==2.13.0 peft==0.21.2 accelerate==1.15.0 transformers==5.24.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import importlib.metadata
import sys

import torch
from peft import LoraConfig, get_peft_model

print(*(f"{name} {importlib.metadata.version(name)}" for name in ("peft", "torch")))


def factor(use_rslora, combination, rank, weights):
    """How much stronger the merged adapter acts than its parts with their weights."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(64, 64, bias=False))
    x = torch.eye(64)
    without = model(x).detach()
    config = LoraConfig(
        r=rank, lora_alpha=rank // 2, use_rslora=use_rslora, target_modules=["0"], init_lora_weights=False
    )
    model = get_peft_model(model, config, adapter_name="face")
    model.add_adapter("body", config)
    wanted = 0
    for name, weight in zip(("face", "body"), weights):
        model.set_adapter(name)
        wanted = wanted + weight * (model(x) - without).detach()
    model.add_weighted_adapter(["face", "body"], list(weights), "both", combination_type=combination)
    model.set_adapter("both")
    got = (model(x) - without).detach()
    return float((got * wanted).sum() / (wanted * wanted).sum())


seen = True
for combination, weights, merged in (("linear", (1.0, 0.0), 1), ("svd", (1.0, 0.0), 1), ("cat", (1.0, 1.0), 2)):
    for rank in (16, 4):
        plain, stabilised = (factor(rs, combination, rank, weights) for rs in (False, True))
        print(f"{combination:6} of rank {rank:2}: LoRA x {plain:.3f}, rsLoRA x {stabilised:.3f}")
        seen &= abs(plain - 1) < 0.01 and abs(stabilised - (rank * merged) ** 0.5) < 0.05
sys.exit(0 if seen else 1)
PYTHON
