#!/usr/bin/env bash
# One would guess: torchvision.io.decode_image(file, mode=RGB_ALPHA) gives any PNG as RGB with its alpha, and 255 where a
# file has none; its page says "RGB with transparency".
# What happens (torchvision 0.26.0 and 0.29.1): so it is for grey and RGB of 8 bits. A grey PNG of 1 bit gets an alpha of
# 1, of 2 bits 3, while its black and white are 0 and 255. Of a palette without transparency, the bytes of
# one pixel run on into the next one's: the colours are scrambled, and alpha is some neighbour's red, green or blue.
# No error, no warning; mode=RGB reads the same files rightly, and so do Pillow and OpenCV.
# Why it matters here: a loader that reads every file as RGBA, since weights may be in alpha, gets for the PNGs that mask
# and annotation tools save small (1 bit, or a palette) weights near 0 or noise, and trains on nothing, or on noise.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --no-compile --disable-pip-version-check \
    torch==2.14.1 torchvision==0.29.1 pillow==13.0.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import io
import sys

import numpy as np
import torch
import torchvision
from PIL import Image
from torchvision.io import ImageReadMode, decode_image

print("torchvision", torchvision.__version__)
mask = np.zeros((16, 16), np.uint8)
mask[4:12, 4:12] = 255
grey = Image.fromarray(mask)
palette = Image.fromarray(mask // 255).convert("P")
palette.putpalette([0, 0, 255, 255, 128, 0])
files = {
    "grey, 8 bits": (grey, {}),
    "grey, 1 bit": (grey.convert("1"), {}),
    "RGB": (grey.convert("RGB"), {}),
    "palette, 8 bits": (palette, {"bits": 8}),
    "palette, 1 bit": (palette, {"bits": 1}),
}
seen = {}
for name, (image, options) in files.items():
    buffer = io.BytesIO()
    image.save(buffer, "PNG", **options)
    data = torch.frombuffer(bytearray(buffer.getvalue()), dtype=torch.uint8)
    right = np.asarray(Image.open(buffer).convert("RGBA")).transpose(2, 0, 1)
    rgb = decode_image(data, mode=ImageReadMode.RGB).numpy()
    rgba = decode_image(data, mode=ImageReadMode.RGB_ALPHA).numpy()
    seen[name] = bool((rgb == right[:3]).all()), bool((rgba[:3] == right[:3]).all()), set(rgba[3, :4].flatten().tolist())
    print(f"{name}: RGB right {seen[name][0]}; RGB_ALPHA colours right {seen[name][1]}, alpha above the mask {seen[name][2]}")
as_guessed = all(seen[name] == (True, True, {255}) for name in ("grey, 8 bits", "RGB"))
one_bit = seen["grey, 1 bit"] == (True, True, {1})
scrambled = all(seen[name][:2] == (True, False) for name in ("palette, 8 bits", "palette, 1 bit"))
sys.exit(0 if as_guessed and one_bit and scrambled else 1)
PYTHON
