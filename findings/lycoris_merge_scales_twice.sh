#!/usr/bin/env bash
# One would guess: merging a LoHa or LoKr into a model with LyCORIS gives the weights that LyCORIS trained.
# What happens (lycoris-lora 4.1.3): while training, ΔW counts alpha / rank; `merge_to` and `lycoris.utils.merge` count
# (alpha / rank)². At alpha = rank nothing is to be seen; at the common alpha = rank / 2 half of what was learnt is lost,
# at alpha 1 with rank 16 all but a sixteenth. No error, no warning. A plain LoRA is merged as it was trained.
# Why it matters here: people merge a LoHa of ours (or of kohya's trainers) with this library and judge the training by
# the result; ComfyUI and musubi-tuner read the same file with alpha / rank once.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    torch==2.11.0 lycoris-lora==4.1.3 numpy==2.4.6 einops==0.8.2 safetensors==0.8.0 tqdm==4.70.1 toml==0.10.2

"$folder/venv/bin/python" - <<'PYTHON'
import contextlib
import importlib.metadata
import io
import sys

import torch
from lycoris.modules.locon import LoConModule
from lycoris.modules.loha import LohaModule
from lycoris.modules.lokr import LokrModule

torch.manual_seed(0)
print("lycoris-lora", importlib.metadata.version("lycoris-lora"), "torch", torch.__version__)
surprise = True
for kind in (LoConModule, LohaModule, LokrModule):
    for alpha in (4.0, 2.0, 1.0):
        layer = torch.nn.Linear(256, 256, bias=False)
        base = layer.weight.detach().clone()
        with contextlib.redirect_stdout(io.StringIO()), torch.no_grad():
            module = kind("layer", layer, multiplier=1.0, lora_dim=4, alpha=alpha)
            for parameter in module.parameters():
                parameter.copy_(torch.randn(parameter.shape) * 0.1)
            x = torch.eye(256)
            module.apply_to()
            trained = (layer(x) - x @ base.T).T
            module.restore()
            module.merge_to(1.0)
        merged = layer.weight.detach() - base
        ratio = float((merged * trained).sum() / (trained * trained).sum())
        print(f"{kind.__name__:12} rank 4, alpha {alpha:g}: merged / trained = {ratio:.4f}")
        expected = 1.0 if kind is LoConModule else alpha / 4
        surprise = surprise and abs(ratio - expected) < 1e-3
print("LoHa and LoKr are merged with the scale squared" if surprise else "merging gives what was trained, or something new")
sys.exit(0 if surprise else 1)
PYTHON
