#!/usr/bin/env bash
# One would guess: ResizeLongestSide.apply_image_torch brings a tensor (B, 3, H, W) to the size that apply_image gives the same
# picture as an array, filtered a little differently, as its docstring says.
# What happens (segment-anything 1.0, the only release on PyPI): it takes batch and channels for height and width. Every
# tensor, upright, across or square, comes out as 341 x 1024. apply_coords_torch and apply_boxes_torch go by the true size,
# so that points lie where the picture is not. No error: set_torch_image asks for a longest side of 1024, which it is.
# Why it matters here: photographs that are tensors already (ComfyUI's are) go this way; the segmenter gets a person
# three times as wide as high and clicks in the background, and its masks, brought back to the photograph's size, look merely bad.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --no-compile --disable-pip-version-check \
    torch==2.11.0 torchvision==0.26.0 segment-anything==1.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import importlib.metadata
import sys

import numpy as np
import torch
from segment_anything.utils.transforms import ResizeLongestSide

print(*(f"{name} {importlib.metadata.version(name)}" for name in ("segment-anything", "torch", "torchvision")))
transform = ResizeLongestSide(1024)
as_seen = True
for height, width in ((1500, 1000), (1000, 1500), (800, 800)):
    photograph = np.zeros((height, width, 3), np.uint8)
    array = transform.apply_image(photograph).shape[:2]
    tensor = tuple(transform.apply_image_torch(torch.from_numpy(photograph).permute(2, 0, 1)[None].float()).shape[2:])
    corner = transform.apply_coords_torch(torch.tensor([[[width, height]]]), (height, width))[0, 0].tolist()
    print(f"{height} x {width}: as an array {array}, as a tensor {tensor}, its far corner as a point (x, y) {corner}")
    as_seen &= tensor == (341, 1024) and corner == [array[1], array[0]]
sys.exit(0 if as_seen else 1)
PYTHON
