#!/usr/bin/env bash
# One would guess: safetensors.numpy.save_file writes an array as it is, or refuses, as safetensors.torch does with a tensor
# that is not contiguous ("You are trying to save a non contiguous tensor").
# What happens (safetensors 0.8.0): it writes the memory as it lies, under the array's shape. A picture that was brought
# from (H, W, C) to (C, H, W) comes back with its channels mixed and its rows cut up; so does a transposed or a
# Fortran-ordered array, such as scikit-learn gives. No error, no warning; 0.7.0 writes all of them rightly.
# safetensors/safetensors #825, open when this was written, is about it.
# Why it matters here: masks, weights and pictures beside latents are cached with numpy, and transposed on the way; shape
# and dtype of the file are right, the mean of the mask even is, and the LoRA is trained with confetti for weights.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check safetensors==0.8.0 numpy==2.4.6
"$folder/venv/bin/pip" install -q --disable-pip-version-check --no-deps --target "$folder/older" safetensors==0.7.0
cat > "$folder/round_trip.py" <<'PYTHON'
import sys

import numpy as np
import safetensors
from safetensors.numpy import load_file, save_file

mask = np.zeros((64, 48), np.float32)
mask[16:48, 12:36] = 1.0
picture = np.stack([mask, mask / 2, mask / 4], axis=-1)
arrays = {
    "as it is": mask,
    "(H, W, C) to (C, H, W)": picture.transpose(2, 0, 1),
    "transposed": mask.T,
    "Fortran order": np.asfortranarray(mask),
}
same = {}
for name, array in arrays.items():
    save_file({"weights": array}, sys.argv[1])
    loaded = load_file(sys.argv[1])["weights"]
    same[name] = bool((loaded == array).all())
    wrong = float((loaded != array).mean())
    print(f"{safetensors.__version__}, {name}: shape {loaded.shape}, mean {loaded.mean():.3f}, wrong {wrong:.0%}", flush=True)
only_plain = {name: name == "as it is" for name in arrays}
expected = {"0.7.0": dict.fromkeys(arrays, True), "0.8.0": only_plain}
sys.exit(0 if same == expected[safetensors.__version__] else 1)
PYTHON
PYTHONPATH="$folder/older" "$folder/venv/bin/python" "$folder/round_trip.py" "$folder/a.safetensors"
"$folder/venv/bin/python" "$folder/round_trip.py" "$folder/a.safetensors"
