#!/usr/bin/env bash
# One would guess: set_multiplier(0) on a LyCORIS network gives the base model, whatever the algorithm; between 0 and 1 the
# network acts less, and a DoRA (`dora_wd=True`) at 0 is the base as a LoRA at 0 is.
# What happens (lycoris-lora 4.1.3): of a DoRA the multiplier scales the direction alone; the trained magnitude of each row
# is applied in full. At 0 a LoRA that has moved the output by 14 % is gone; its DoRA still moves it, by nearly as much
# as at 1, and so do a LoHa and a LoKr with `dora_wd`. `rescaled=True` of BOFT keeps its scale in the same way. No error, no
# warning.
# Why it matters here: trainers that want the background painted as the base model would (prior preservation, a teacher)
# get the base's prediction by setting the multiplier to 0. With DoRA the teacher is half the pupil, and drifts with it.
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
torch.manual_seed(0)
base = torch.nn.Sequential(torch.nn.Linear(16, 32), torch.nn.Tanh(), torch.nn.Linear(32, 16)).eval()
x = torch.randn(8, 16)


@torch.no_grad()
def moved(algo, multiplier, **options):
    """How far the output is from the base's, relative to it."""
    torch.manual_seed(1)
    model = copy.deepcopy(base)
    network = create_lycoris(model, 1.0, linear_dim=4, linear_alpha=4, algo=algo, **options)
    network.apply_to()
    network.eval()
    generator = torch.Generator().manual_seed(1)
    for parameter in network.parameters():  # as if it were trained
        parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.05)
    network.set_multiplier(multiplier)
    return float((model(x) - base(x)).norm() / base(x).norm())


as_seen = True
for algo, options in (
    ("lora", {}), ("lora", {"dora_wd": True}), ("loha", {"dora_wd": True}), ("lokr", {"dora_wd": True}),
    ("boft", {}), ("boft", {"rescaled": True}),
):
    whole, half, off = (moved(algo, multiplier, **options) for multiplier in (1.0, 0.5, 0.0))
    print(f"{algo:4} {str(options):17} moves the output by {whole:.3f} at 1, {half:.3f} at 0.5, {off:.3f} at 0")
    as_seen &= off > 0.01 if options else off < 1e-6
sys.exit(0 if as_seen else 1)
PYTHON
