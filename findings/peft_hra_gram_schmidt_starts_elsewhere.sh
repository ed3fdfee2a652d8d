#!/usr/bin/env bash
# One would guess: a fresh adapter changes nothing, so that training begins at the base model; HRA (Householder reflections,
# published for subject-driven pictures) sees to it with reflections in equal pairs, which cancel.
# What happens (peft 0.21.2): with `apply_GS=True`, which makes the reflections orthogonal to each other, the second one of each
# pair has nothing left after the first is taken out of it, and what is normalised then is rounding: a reflection along a
# random direction. The fresh adapter moves a layer's output by half of it and more; without apply_GS by rounding. No error,
# no warning, `init_weights` is True.
# Why it matters here: the first step already trains a ruined model, the first loss is that of noise, and what the adapter
# learns is how to undo itself.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --no-compile --disable-pip-version-check \
    torch==2.13.0 peft==0.21.2 accelerate==1.15.0 transformers==5.24.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import copy
import importlib.metadata
import sys

import torch
from peft import HRAConfig, get_peft_model

print(*(f"{name} {importlib.metadata.version(name)}" for name in ("peft", "torch")))
as_seen = True
for width in (64, 256):
    torch.manual_seed(0)
    base = torch.nn.Sequential(torch.nn.Linear(width, width)).eval()
    x = torch.randn(32, width)
    for apply in (False, True):
        model = get_peft_model(copy.deepcopy(base), HRAConfig(r=8, apply_GS=apply, target_modules=["0"])).eval()
        with torch.no_grad():
            moved = float((model(x) - base(x)).norm() / base(x).norm())
        print(f"width {width}, rank 8, apply_GS={apply}: a fresh adapter moves the output by {moved:.1e} of it")
        as_seen &= moved > 0.1 if apply else moved < 1e-5
sys.exit(0 if as_seen else 1)
PYTHON
