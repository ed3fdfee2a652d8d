#!/usr/bin/env bash
# One would guess: imageio reads a PNG with transparency as RGBA; a tool that makes the file smaller by a palette, keeping
# every pixel's alpha (PNG has an alpha per colour of the palette), changes the bytes on disk only.
# What happens (imageio 2.38.1 with Pillow 13.0.0): the same picture comes as (height, width, 4) from the large file, and as
# (height, width, 3), without any alpha, from the small one. Pillow's convert("RGBA") gives it back whole. imageio says
# nothing; a warning of Pillow's is about something else. scikit-image's imread is imageio's.
# Why it matters here: photographs with their weights in alpha are run through an optimiser before they are shared; a
# trainer that reads with imageio finds no alpha then, and "no alpha" means that everything counts.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check imageio==2.38.1 pillow==13.0.0 numpy==2.4.6
"$folder/venv/bin/python" - "$folder" <<'PYTHON'
import sys
from pathlib import Path

import imageio.v2
import imageio.v3
import numpy as np
import PIL
from PIL import Image

print("imageio", imageio.__version__, "Pillow", PIL.__version__)
folder = Path(sys.argv[1])
pixels = np.zeros((64, 64, 4), np.uint8)
pixels[..., :3] = [120, 90, 60]
pixels[16:48, 16:48] = [200, 160, 140, 255]
pixels[28:36, 28:36, 3] = 128
large, small = folder / "large.png", folder / "small.png"
Image.fromarray(pixels).save(large)
Image.fromarray(pixels).quantize(16).save(small)
seen = {}
for path in (large, small):
    whole = (np.asarray(Image.open(path).convert("RGBA")) == pixels)[..., 3].all()
    shapes = [reader.imread(path).shape for reader in (imageio.v2, imageio.v3)]
    print(f"{path.name}: alpha as written, by Pillow: {whole}; imageio.v2 {shapes[0]}, imageio.v3 {shapes[1]}")
    seen[path.name] = bool(whole), *shapes
surprise = seen == {
    "large.png": (True, (64, 64, 4), (64, 64, 4)),
    "small.png": (True, (64, 64, 3), (64, 64, 3)),
}
sys.exit(0 if surprise else 1)
PYTHON
