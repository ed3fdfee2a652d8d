#!/usr/bin/env bash
# One would guess: `bypass_mode`, which leaves the base's weights alone (quantised ones cannot be changed), computes what the
# ordinary way computes: a network trained with it, saved and loaded without it, acts as it was trained.
# What happens (lycoris-lora 4.1.3): LoRA, LoHa and LoKr keep that to rounding. BOFT turns the layer's whole output in bypass
# mode, its bias too; otherwise, and merged, the weight alone. On layers with a bias a fifth or more of the change is
# another one after loading; without a bias all is equal. No error, no warning: the file holds the rotations, not the mode.
# Why it matters here: bypass is how such networks are trained on 8-bit bases, and nearly all layers of the models of this
# field have biases. Samples while training show the face; the same file in ComfyUI, or merged, shows another one.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --no-compile --disable-pip-version-check \
    torch==2.13.0 lycoris-lora==4.1.3 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import copy
import importlib.metadata
import logging
import sys

import torch
from lycoris import LycorisNetwork, create_lycoris

print(*(f"{name} {importlib.metadata.version(name)}" for name in ("lycoris-lora", "torch")))
logging.disable(logging.WARNING)  # it tells what it makes
LycorisNetwork.apply_preset({"target_module": ["Linear"]})
x = torch.randn(8, 16, generator=torch.Generator().manual_seed(2))


@torch.no_grad()
def apart(algo, bias):
    """How far what was trained in bypass mode is from the same parameters without it, relative to the change."""
    torch.manual_seed(0)
    base = torch.nn.Sequential(torch.nn.Linear(16, 32, bias=bias)).eval()
    models = []
    for bypass in (True, False):
        model = copy.deepcopy(base)
        network = create_lycoris(model, 1.0, linear_dim=4, linear_alpha=4, algo=algo, bypass_mode=bypass)
        network.apply_to()
        network.eval()
        if bypass:
            generator = torch.Generator().manual_seed(1)
            for parameter in network.parameters():  # as if it were trained
                parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.05)
            trained = network.state_dict()
        else:
            network.load_state_dict(trained)
        models.append(model(x))
    return float((models[0] - models[1]).norm() / (models[1] - base(x)).norm())


as_seen = True
for algo in ("lora", "loha", "lokr", "boft"):
    with_bias, without = apart(algo, True), apart(algo, False)
    print(f"{algo:4} apart by {with_bias:.6f} of the change with a bias, {without:.6f} without")
    as_seen &= without < 1e-4 and (with_bias > 0.1 if algo == "boft" else with_bias < 1e-4)
sys.exit(0 if as_seen else 1)
PYTHON
