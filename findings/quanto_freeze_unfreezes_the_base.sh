#!/usr/bin/env bash
# One would guess: after `model.requires_grad_(False)`, optimum.quanto's `quantize` and `freeze` leave the weights as frozen
# as they were; "freeze" above all.
# What happens (optimum-quanto 0.2.7): freeze puts each quantised weight into a new Parameter, and a new Parameter requires
# a gradient. (Biases, and all weights before freeze, stay as they were.) The backward pass then computes, and keeps, a
# full gradient in the computing precision for every layer of the base. No error, no warning. A second
# `requires_grad_(False)` after freeze puts it right.
# Why it matters here: the base is quantised to 8 bits so that a LoRA fits on the card; the backward pass wants four times
# that again in gradients that nobody uses, and a trainer that collects `p.requires_grad` hands the base to its optimizer.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --no-compile --disable-pip-version-check torch==2.13.0 optimum-quanto==0.2.7 numpy==2.4.6
"$folder/venv/bin/python" - 2> >(grep -v -i warn >&2) <<'PYTHON'
import importlib.metadata
import sys

import torch
from optimum.quanto import freeze, qint8, quantize

print(*(f"{name} {importlib.metadata.version(name)}" for name in ("optimum-quanto", "torch")))


def wants(model):
    return [name for name, parameter in model.named_parameters() if parameter.requires_grad]


def gradients(model):
    """MiB of gradients that a backward pass leaves on the base."""
    model.zero_grad(set_to_none=True)
    model(torch.randn(4, 1024, requires_grad=True)).sum().backward()
    return sum(p.grad.numel() * p.grad.element_size() for p in model.parameters() if p.grad is not None) / 2**20


base = torch.nn.Sequential(torch.nn.Linear(1024, 1024), torch.nn.Linear(1024, 1024)).requires_grad_(False)
quantize(base, weights=qint8)
quantised = wants(base)
freeze(base)
frozen, mebibytes = wants(base), gradients(base)
base.requires_grad_(False)
again, nothing = wants(base), gradients(base)
print("after quantize, a gradient is wanted for", quantised)
print("after freeze, for", frozen, f"and a backward pass leaves {mebibytes:g} MiB of them on 2 MiB of weights")
print("after requires_grad_(False) once more, for", again, f"and it leaves {nothing:g} MiB")
sys.exit(0 if not quantised and frozen == ["0.weight", "1.weight"] and mebibytes == 8 and not again and not nothing else 1)
PYTHON
