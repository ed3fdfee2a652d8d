#!/usr/bin/env bash
# One would guess: torchvision's v2 transforms, which take a picture and its mask together, resize both to the same place.
# What happens (torchvision 0.26.0 and 0.29.1): Resize, RandomResizedCrop and ScaleJitter resize a tv_tensors.Mask by
# legacy "nearest", which reads the first pixel of each cell, and the picture by antialiased bilinear about the centre; no
# option of the transform changes it. Resized by 1/8 a mask lies 3.5 pixels of the original to the right of and below its
# picture, by 1/16 7.5: half a cell less half a pixel. Mask values that are no class numbers alias on top.
# Why it matters here: masks of 512 to 1024 px are brought to a latent grid of 1/8 in this way; half a cell of background
# on one side then counts as the person, and half a cell of the person on the other does not.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --no-compile --disable-pip-version-check torch==2.14.1 torchvision==0.29.1 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import torch
import torchvision
from torchvision import tv_tensors
from torchvision.transforms import v2

print("torchvision", torchvision.__version__)
SIDE = 512
# A tent: its mean column is the middle, and at half of it the same lies on both sides.
column = torch.arange(SIDE) + 0.5
tent = 255 * (1 - (column - SIDE / 2).abs() / (SIDE / 2))
picture = tv_tensors.Image(tent.round().to(torch.uint8).expand(3, SIDE, SIDE).contiguous())
mask = tv_tensors.Mask(picture[:1])


def centre(values):
    row = values[0, 0].double()
    places = (torch.arange(len(row)) + 0.5) * SIDE / len(row)
    return float((row * places).sum() / row.sum())


seen = True
for name, transform, factor in (
    ("Resize", v2.Resize((SIDE // 8, SIDE // 8)), 8),
    ("Resize", v2.Resize((SIDE // 16, SIDE // 16)), 16),
    ("RandomResizedCrop of all", v2.RandomResizedCrop(SIDE // 8, scale=(1, 1), ratio=(1, 1)), 8),
):
    small, small_mask = transform(picture, mask)
    apart = centre(small_mask) - centre(small)
    print(f"{name} by 1/{factor}: the mask lies {apart:+.2f} px of the original off its picture; (s-1)/2 = {(factor - 1) / 2}")
    seen &= abs(apart - (factor - 1) / 2) < 0.1
kernel = v2.functional.resize_mask(torch.as_tensor(mask), [64, 64])
right = torch.nn.functional.interpolate(torch.as_tensor(mask)[None].float(), (64, 64), mode="nearest-exact")[0]
print("torch's nearest-exact for comparison:", f"{centre(right) - SIDE / 2:+.2f} px; the mask kernel: {centre(kernel) - SIDE / 2:+.2f} px")
seen &= abs(centre(right) - SIDE / 2) < 0.6
sys.exit(0 if seen else 1)
PYTHON
