#!/usr/bin/env bash
# One would guess: a frozen base quantised with torchao passes gradients on to the LoRAs before it, as Int8WeightOnlyConfig
# does to 4 digits; and where a configuration can only infer, backward() raises.
# What happens (torchao 0.18.0): with Int8DynamicActivationInt8WeightConfig a layer's output says requires_grad=False
# whatever its input says. Beside it, the LoRA's own path still has a gradient, so that nothing raises: the last layer
# trains, and all LoRAs before it get a gradient of exactly 0 (their successors' `lora_B` start at 0), later a wrong one.
# Why it matters here: W8A8 is chosen to fit a large model onto a small card; the loss falls a little, by the last layer
# alone, and hours later the LoRA knows nobody. The first gradient of every layer tells it at once.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --no-compile --disable-pip-version-check torch==2.13.0 torchao==0.18.0 numpy==2.4.6
"$folder/venv/bin/python" - 2> >(grep -v Warning >&2) <<'PYTHON'
import importlib.metadata
import sys

import torch
from torchao.quantization import Int8DynamicActivationInt8WeightConfig, Int8WeightOnlyConfig, quantize_

print(*(f"{name} {importlib.metadata.version(name)}" for name in ("torchao", "torch")))


class Adapted(torch.nn.Module):
    """A frozen layer and a LoRA beside it, whose second half starts at 0 as everywhere."""

    def __init__(self, base):
        super().__init__()
        self.base = base
        self.down = torch.nn.Parameter(torch.randn(4, base.in_features) / 8)
        self.up = torch.nn.Parameter(torch.zeros(base.out_features, 4))

    def forward(self, x):
        return self.base(x) + x @ self.down.T @ self.up.T


def gradients(config):
    torch.manual_seed(0)
    base = torch.nn.Sequential(*(torch.nn.Linear(64, 64) for _ in range(4))).requires_grad_(False)
    if config is not None:
        quantize_(base, config)
    layers = torch.nn.Sequential(*map(Adapted, base))
    layers(torch.randn(8, 64)).square().mean().backward()
    return [layer.up.grad.norm().item() for layer in layers]


plain = gradients(None)
found = {}
for config in (Int8WeightOnlyConfig(), Int8DynamicActivationInt8WeightConfig()):
    found[type(config).__name__] = [round(got / true, 2) for got, true in zip(gradients(config), plain)]
for name, shares in found.items():
    print(f"{name}: gradient of the LoRAs, first layer to last, as a share of the true one: {shares}")
weight_only, dynamic = found.values()
close = all(0.95 < share < 1.05 for share in (*weight_only, dynamic[-1]))
sys.exit(0 if close and dynamic[:-1] == [0.0, 0.0, 0.0] else 1)
PYTHON
