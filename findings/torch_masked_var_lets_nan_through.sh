#!/usr/bin/env bash
# One would guess: torch.masked's reductions take what the mask leaves out for absent, in value and in gradient: NaN or inf
# there makes no difference. So it is for mean, sum, prod, amax, norm and logsumexp.
# What happens (torch 2.11.0 and 2.13.0): for var and std the value is right, to the last digit. Their gradient is NaN for
# every element of the mask, and for those outside. With finite values outside, the gradient is right.
# Why it matters here: per-sample variance inside a mask is what losses that are normalised by contrast or by an adapted
# weight want, and outside a mask stand division by zero, log of zero and padding. The loss that is printed looks well;
# after one step the LoRA is NaN, and the mask, which was there to prevent just this, is the last thing one suspects.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check torch==2.13.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import torch

print("torch", torch.__version__)
torch.manual_seed(0)
whole = torch.randn(3, 8, dtype=torch.float64)
mask = torch.rand(3, 8) > 0.4
as_seen = True
for name in ("mean", "norm", "var", "std"):
    for outside in (0.0, float("nan"), float("inf")):
        x = torch.where(mask, whole, outside).requires_grad_()
        extra = {"ord": 2.0} if name == "norm" else {"unbiased": False} if name in ("var", "std") else {}
        value = getattr(torch.masked, name)(x, dim=1, mask=mask, **extra).sum()
        value.backward()
        bad = x.grad[mask].isnan().float().mean().item()
        alone = sum(
            {"mean": row.mean, "norm": row.norm, "var": lambda row=row: row.var(unbiased=False),
             "std": lambda row=row: row.std(unbiased=False)}[name]()
            for row in (line[chosen] for line, chosen in zip(whole, mask))
        )
        print(f"{name:4} with {outside} outside: value off by {abs(value - alone):.0e}, NaN in {bad:.0%} of the mask's gradient")
        wanted = 1.0 if name in ("var", "std") and outside != 0.0 else 0.0
        as_seen &= bad == wanted and abs(value - alone).item() < 1e-12
sys.exit(0 if as_seen else 1)
PYTHON
