#!/usr/bin/env bash
# One would guess: a weight of zeros in 4 bits is zeros again; a row of zeros among others is.
# What happens (comfy-kitchen 0.2.31 and 0.2.40, CPU): NVFP4 takes one scale for the whole tensor from its largest value.
# Where all are 0 that is 0, each block's scale is 0/0, and everything comes back as NaN. No error, no warning. ComfyUI 0.33
# makes its own quantised layers by the same formula.
# Why it matters here: layers that begin at zero are common (output projections of adapters, ControlNets, the last layer of
# a model that is not trained yet). One of them in a base that is quantised on load makes every loss NaN from the first step.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --no-compile --disable-pip-version-check \
    comfy-kitchen==0.2.40 torch==2.13.0 numpy==2.4.6 packaging==25.0
"$folder/venv/bin/python" - <<'PYTHON'
import importlib.metadata
import sys

import torch
from comfy_kitchen.tensor import TensorCoreNVFP4Layout

print("comfy-kitchen", importlib.metadata.version("comfy-kitchen"), "torch", torch.__version__)


def again(weight):
    return TensorCoreNVFP4Layout.dequantize(*TensorCoreNVFP4Layout.quantize(weight))


noise = torch.randn(31, 32, generator=torch.Generator().manual_seed(0))
whole, row = again(torch.zeros(32, 32)), again(torch.cat([torch.zeros(1, 32), noise]))
print("a weight of zeros comes back as NaN in", f"{float(whole.isnan().float().mean()):.0%}", "of its values")
print("a row of zeros among others comes back as", row[0].unique().tolist(), "and without NaN:", not row.isnan().any())
sys.exit(0 if whole.isnan().all() and not row.isnan().any() and (row[0] == 0).all() else 1)
PYTHON
