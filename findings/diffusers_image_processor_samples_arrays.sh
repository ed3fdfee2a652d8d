#!/usr/bin/env bash
# One would guess: VaeImageProcessor, with its `resample="lanczos"`, scales a photograph in the same way whether it is
# given as a PIL image, an array or a tensor.
# What happens (diffusers 0.42.1): only PIL images are filtered. Arrays and tensors are scaled with torch's `interpolate`
# without a mode: one pixel of 4x4 is taken and the rest thrown away, and `resample` has no effect. Stripes of mean 0.25
# come out as 1 or 0, by where the first stripe lies. A soft mask (VaeImageProcessor is what masks go through too,
# `do_convert_grayscale`, `do_normalize=False`) loses every hair. No warning.
# Why it matters here: training scripts load with PIL, turn pictures into tensors for their crops, and then hand them to
# the pipeline's processor. The LoRA learns jagged hair; and weights that were made on averages stand on other pixels.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --no-compile --disable-pip-version-check torch==2.13.0 diffusers==0.42.1 pillow==13.0.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import importlib.metadata
import sys

import numpy as np
import torch
from diffusers.image_processor import VaeImageProcessor
from PIL import Image

print(*(f"{name} {importlib.metadata.version(name)}" for name in ("diffusers", "torch", "pillow")))
photographs = VaeImageProcessor(do_normalize=False)
masks = VaeImageProcessor(do_normalize=False, do_convert_grayscale=True)
surprise = True
for phase in range(4):
    stripes = np.zeros((512, 512, 3), np.uint8)
    stripes[:, phase::4] = 255
    array = (stripes / np.float32(255))[None]
    tensor = torch.from_numpy(array).permute(0, 3, 1, 2)
    given = {
        "PIL": (photographs, Image.fromarray(stripes)),
        "array": (photographs, array),
        "tensor": (photographs, tensor),
        "mask": (masks, tensor[:, :1]),
    }
    means = {
        name: round(processor.preprocess(picture, height=128, width=128).mean().item(), 2)
        for name, (processor, picture) in given.items()
    }
    print(f"first stripe at {phase}, mean 0.25 ->", means)
    filtered = means.pop("PIL")
    surprise &= abs(filtered - 0.25) < 0.02 and set(means.values()) == {1.0 if phase == 0 else 0.0}
sys.exit(0 if surprise else 1)
PYTHON
