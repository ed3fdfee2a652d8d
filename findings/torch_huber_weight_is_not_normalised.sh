#!/usr/bin/env bash
# One would guess: with `weight=mask` and the default reduction, huber_loss is what mse_loss and l1_loss are: Σ(w·err)/Σw.
# What happens (torch 2.11.0 and 2.13.0): mse_loss and l1_loss divide by the sum of the weights, huber_loss by the number of
# elements. In the square range, Huber is half of MSE; here it is that times the mask's share of the picture.
# Why it matters here: whoever changes the loss from MSE to Huber for robustness trains a face that fills 4 % of a
# photograph with 4 % of the gradient, and a portrait with all of it; every photograph gets its own learning rate.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check torch==2.13.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import torch
import torch.nn.functional as F

print("torch", torch.__version__)
seen = []
for side in (40, 20, 8):
    mask = torch.zeros(1, 4, 40, 40)
    mask[..., :side, :side] = 1.0
    error, none = torch.full_like(mask, 0.5), torch.zeros_like(mask)
    l1, mse, huber = (
        loss(error, none, weight=mask).item() for loss in (F.l1_loss, F.mse_loss, F.huber_loss)
    )
    share = mask.mean().item()
    print(f"mask of {share:4.0%}: l1 {l1:.3f}, mse {mse:.3f}, huber {huber:.4f} = mse / 2 x {huber / (mse / 2):.2f}")
    seen.append(l1 == 0.5 and mse == 0.25 and abs(huber - mse / 2 * share) < 1e-6)
sys.exit(0 if all(seen) else 1)
PYTHON
