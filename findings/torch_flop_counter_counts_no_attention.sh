#!/usr/bin/env bash
# One would guess: FlopCounterMode counts a transformer's attention, which for many tokens is most of its work; the same
# model has the same count on every device.
# What happens (torch 2.11.0 and 2.13.0): on the CPU, F.scaled_dot_product_attention runs as one operation that the counter
# has no formula for, and counts as 0, forward and backward; with the MATH backend, 4·B·H·L²·D and twice that again. No
# warning. A block's count then grows by the tokens alone, never by their square.
# Why it matters here: what leaving out a masked background saves is worked out with this counter, on machines without a
# card; half the tokens then seem to save half, where it is up to three quarters.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --no-compile --disable-pip-version-check torch==2.13.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import torch
import torch.nn.functional as F
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

print("torch", torch.__version__)
BATCH, HEADS, WIDTH = 1, 4, 32


def counted(tokens, backward, *backends):
    q, k, v = (torch.randn(BATCH, HEADS, tokens, WIDTH, requires_grad=True) for _ in range(3))
    with FlopCounterMode(display=False) as counter, sdpa_kernel(list(backends)):
        out = F.scaled_dot_product_attention(q, k, v)
        if backward:
            out.sum().backward()
    return counter.get_total_flops()


every = (SDPBackend.FLASH_ATTENTION, SDPBackend.EFFICIENT_ATTENTION, SDPBackend.MATH)
seen = True
for tokens in (64, 128):
    forward = 4 * BATCH * HEADS * tokens**2 * WIDTH
    for backward in (False, True):
        right = forward * (3 if backward else 1)
        default, by_math = counted(tokens, backward, *every), counted(tokens, backward, SDPBackend.MATH)
        print(f"{tokens} tokens, backward {backward}: {default} of {right}; with the MATH backend {by_math}")
        seen &= default == 0 and by_math == right
sys.exit(0 if seen else 1)
PYTHON
