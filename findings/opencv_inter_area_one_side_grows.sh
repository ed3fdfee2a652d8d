#!/usr/bin/env bash
# Guess: cv2.INTER_AREA averages every side that shrinks, so that a fine pattern keeps its mean.
# Seen (opencv-python-headless 4.12.0.88): it averages only where no side grows. One more row than before, and the columns
# that shrink to a quarter are sampled: of stripes with the mean 64 become 64, 191 or 0, by where the first stripe lies.
# It matters to nets that stretch pictures to a fixed size (segmenters, face nets): wide photographs alias, in silence.
# The way out is two calls: the sides that shrink with INTER_AREA, then those that grow.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check opencv-python-headless==4.12.0.88 numpy==2.2.6
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import cv2
import numpy as np

print("OpenCV", cv2.__version__)
seen = []
for phase in range(4):
    stripes = np.zeros((900, 3072), np.uint8)
    stripes[:, phase::4] = 255
    means = [round(float(cv2.resize(stripes, (768, rows), interpolation=cv2.INTER_AREA).mean())) for rows in (900, 901)]
    print(f"first stripe at {phase}: mean {stripes.mean():.0f} -> 768x900: {means[0]}, 768x901: {means[1]}")
    seen.append(means)
averaged = all(means[0] == 64 for means in seen)
sampled = any(abs(means[1] - 64) > 50 for means in seen)
sys.exit(0 if averaged and sampled else 1)
PYTHON
