#!/usr/bin/env bash
# One would guess: pycocotools.mask.encode takes a uint8 mask for what is not 0; a mask of 0 and 255 works as well as one of
# 0 and 1, so a weighted one gives the outline of what counts at all.
# What happens (pycocotools 2.0.11): the encoder counts runs of equal values and takes every second run for background. With
# 0 and 255 nothing is to be noticed. In a mask of tiers each further one inside another toggles: body 80 is kept, the
# ring of 128 in it is background, the face of 255 within is kept again. A soft edge becomes stripes. `area` and `toBbox`
# follow from that, and `decode` gives it back. No error, no warning.
# Why it matters here: RLE is how segment-anything writes its masks and how datasets of masks are exchanged. Weights that
# are exported so lose the part between head and clothes, and of a mask with feathered edges half of the border.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check pycocotools==2.0.11 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import importlib.metadata
import sys

import numpy as np
from pycocotools import mask as coco

print("pycocotools", importlib.metadata.version("pycocotools"))
tiers = np.zeros((40, 40), np.uint8)
tiers[4:36, 4:36] = 80
tiers[10:30, 10:30] = 128
tiers[15:25, 15:25] = 255
edge = np.tile(np.linspace(0, 255, 40).astype(np.uint8), (40, 1))


def shares(mask):
    """Of each value but 0, how much of it is still there."""
    kept = coco.decode(coco.encode(np.asfortranarray(mask)))
    return {int(value): float(kept[mask == value].mean()) for value in np.unique(mask) if value}


outline = shares(np.where(tiers > 0, np.uint8(255), np.uint8(0)))
nested, soft = shares(tiers), float(np.mean(list(shares(edge).values())))
area = int(coco.area(coco.encode(np.asfortranarray(tiers))))
print("0 and 255:", outline)
print("tiers:    ", nested, f"area {area} of {int((tiers > 0).sum())}")
print(f"soft edge: {soft:.2f} of its steps are kept")
as_seen = outline == {255: 1.0} and nested == {80: 1.0, 128: 0.0, 255: 1.0} and 0.4 < soft < 0.6
sys.exit(0 if as_seen else 1)
PYTHON
