#!/usr/bin/env bash
# One would guess: `dataset.map(function)` adds the columns that `function` returns; an image that the function has only
# looked at (its size, its mask's share, its latent) is in the new dataset byte for byte.
# What happens (datasets 5.2.0, Pillow 13.0.0, images held as bytes, as in every parquet file): each column that was read
# counts as changed, and is encoded again with Pillow's defaults for its format. JPEG of quality 95 comes out with
# quality 75, and a lossless WebP as a lossy one, its alpha with it or not; once more with every map. PNG stays as it
# is, and so do all images when the function does not touch the column. No warning.
# Why it matters here: weights live in masks, and photographs with weights in alpha are often kept as lossless WebP.
# A first pass that only measures the masks changes the colours behind and beside the person for all passes after it.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check datasets==5.2.0 pillow==13.0.0 numpy==2.4.6
export HF_HOME="$folder/home" HF_HUB_OFFLINE=1 HF_DATASETS_DISABLE_PROGRESS_BARS=1
"$folder/venv/bin/python" - <<'PYTHON'
import io
import sys

import datasets
import numpy as np
import PIL
from PIL import Image

print("datasets", datasets.__version__, "Pillow", PIL.__version__)
datasets.disable_progress_bars()
pixels = np.random.default_rng(0).integers(0, 256, (64, 64, 4), dtype=np.uint8)
photograph, mask = Image.fromarray(pixels[..., :3]), Image.fromarray(pixels)
kinds = {
    "photograph, JPEG 95": (photograph, {"format": "JPEG", "quality": 95}),
    "mask in alpha, WebP, lossless": (mask, {"format": "WEBP", "lossless": True, "exact": True}),
    "mask in alpha, PNG": (mask, {"format": "PNG"}),
}


def looks(row):
    return {"width": row["image"].width}


def looks_elsewhere(row):
    return {"width": row["number"]}


def difference(before, after):
    before, after = (np.asarray(data[0]["image"]).astype(int) for data in (before, after))
    return int(np.abs(before - after).max())


seen = {}
for name, (image, options) in kinds.items():
    file = io.BytesIO()
    image.save(file, **options)
    features = datasets.Features({"image": datasets.Image(), "number": datasets.Value("int64")})
    rows = {"image": [{"bytes": file.getvalue(), "path": None}], "number": [64]}
    data = datasets.Dataset.from_dict(rows, features=features)
    once, other = data.map(looks), data.map(looks_elsewhere)
    seen[name] = difference(data, once), difference(data, other)
    print(f"{name}: largest change of a pixel {seen[name][0]} where map looked, {seen[name][1]} where it did not")
lossless = {name: changes == (0, 0) for name, changes in seen.items()}
elsewhere = all(changes[1] == 0 for changes in seen.values())
sys.exit(0 if elsewhere and list(lossless.values()) == [False, False, True] else 1)
PYTHON
