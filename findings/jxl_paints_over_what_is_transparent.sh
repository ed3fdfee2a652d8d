#!/usr/bin/env bash
# One would guess: a lossy RGBA photograph loses as much where alpha is 0 as elsewhere, as it does in AVIF and HEIC at the same
# level; alpha itself is kept, so weights in alpha and the colours below them come back as they were, within that loss.
# What happens (pillow-jxl-plugin 1.3.8, at its default quality of 90; libjxl's own default): alpha comes back exactly, but
# below alpha 0 the picture is replaced by a smear that is cheap to store, off by 80 on average and by up to 255.
# `lossless=True` keeps it. No warning; the same photograph without alpha is fine.
# Why it matters here: weights in alpha say 0 for "does not count", not for "is not there". Kept as JPEG XL to save space,
# such a folder has lost its scenes: for the next mask, for crops and segmenters, and for an autoencoder, which sees the
# smear beside the person in each latent.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check \
    pillow==13.0.0 pillow-jxl-plugin==1.3.8 pillow-heif==1.8.1 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import importlib.metadata
import io
import sys

import numpy as np
import pillow_heif
import pillow_jxl  # registers itself
from PIL import Image

pillow_heif.register_heif_opener()
print(*(f"{name} {importlib.metadata.version(name)}" for name in ("pillow-jxl-plugin", "pillow-heif", "pillow")))
across = np.linspace(0, 255, 192)
rgb = np.empty((128, 192, 3), np.uint8)
rgb[..., 0], rgb[..., 1], rgb[..., 2] = across, across[::-1], 60 + 40 * np.sin(np.arange(192) / 5)
alpha = np.zeros((128, 192), np.uint8)
alpha[24:104, 48:144], alpha[40:80, 72:120] = 128, 255
photograph = Image.fromarray(np.dstack([rgb, alpha]))


def loss(picture, kind, **options):
    """Mean error below alpha 0, mean error elsewhere, whether alpha came back."""
    file = io.BytesIO()
    picture.save(file, kind, **options)
    back = np.asarray(Image.open(file).convert("RGBA")).astype(int)
    error = np.abs(back[..., :3] - rgb).mean(-1)
    same = picture.mode == "RGB" or bool((back[..., 3] == alpha).all())
    return float(error[alpha == 0].mean()), float(error[alpha > 0].mean()), same


cases = {
    "JXL": (photograph, "JXL", {}),
    "JXL, lossless": (photograph, "JXL", {"lossless": True}),
    "JXL, without alpha": (photograph.convert("RGB"), "JXL", {}),
    "AVIF": (photograph, "AVIF", {}),
    "HEIF": (photograph, "HEIF", {}),
}
found = {}
for title, (picture, kind, options) in cases.items():
    found[title] = below, seen, same = loss(picture, kind, **options)
    print(f"{title:18} below alpha 0 off by {below:5.1f}, elsewhere {seen:4.1f}, alpha kept: {same}")
as_seen = found["JXL"][0] > 20 and found["JXL"][2]
as_seen &= all(found[title][0] < 5 for title in ("JXL, lossless", "JXL, without alpha", "AVIF", "HEIF"))
sys.exit(0 if as_seen else 1)
PYTHON
