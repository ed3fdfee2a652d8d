#!/usr/bin/env bash
# One would guess: ColorJitter of an RGBA photograph changes its colours and leaves its alpha; brightness, contrast and
# saturation do, and so do the geometric transforms.
# What happens (torchvision 0.26.0 and 0.29.1, transforms and transforms.v2 alike): hue goes by way of HSV, which has no
# alpha, and comes back as RGBA with 255 everywhere, by however little it turns. The mode is still RGBA; no warning. (It
# has been pytorch/vision #3219 since 2021.) As a tensor, RGBA is refused with an error; only PIL images, which loaders
# give, lose their mask in silence.
# Why it matters here: trainers read weights from the alpha channel. ColorJitter(0.1, 0.1, 0.1, 0.02) in front of that, a
# usual line, and the whole background is trained with weight 1; what the mask was for looks as if it did not work.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --no-compile --disable-pip-version-check \
    torch==2.14.1 torchvision==0.29.1 pillow==13.0.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import numpy as np
import torchvision
from PIL import Image
from torchvision import transforms
from torchvision.transforms import v2

print("torchvision", torchvision.__version__)
pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 4), dtype=np.uint8)
pixels[..., 3] = 0
pixels[16:48, 16:48, 3] = 255
photograph = Image.fromarray(pixels)
seen = []
for library in (transforms, v2):
    jitters = {
        "brightness": library.ColorJitter(brightness=0.5),
        "contrast": library.ColorJitter(contrast=0.5),
        "saturation": library.ColorJitter(saturation=0.5),
        "hue": library.ColorJitter(hue=(0.01, 0.01)),
    }
    alphas = {name: np.asarray(jitter(photograph))[..., 3] for name, jitter in jitters.items()}
    shares = {name: round(float(alpha.mean()) / 255, 2) for name, alpha in alphas.items()}
    print(f"{library.__name__}: weight of the whole picture", pixels[..., 3].mean() / 255, "->", shares)
    seen.append((alphas.pop("hue") == 255).all() and all((alpha == pixels[..., 3]).all() for alpha in alphas.values()))
sys.exit(0 if all(seen) else 1)
PYTHON
