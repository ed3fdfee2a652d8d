#!/usr/bin/env bash
# One would guess: `crop: true`, whose style is "random" where none is given, cuts a photograph at random and notes where
# (crop_coordinates), so that SDXL's size conditioning says the truth and a mask can be cut at the same place.
# What happens (SimpleTuner 3.1.6 from PyPI, trainingsample 0.3.2): the library that cuts does not tell where. What is noted is
# always the middle; of a dozen crops hardly one is there. With `crop_style: center` both agree. Nothing is
# said. (In its repository at bc8e6ab, run whole, picture, note and mask of `crop: false` were at three different places.)
# Why it matters here: a mask in a conditioning dataset is cut by the same code, at a random place of its own: the weights
# lie beside the person. And SDXL learns that off-centre pictures are centred ones, which is what that conditioning was to
# prevent. A dataset exported for it has to name `crop_style`.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --no-compile --disable-pip-version-check \
    torch==2.14.1 torchvision==0.29.1 accelerate==1.15.0 diffusers==0.42.1 pillow==13.0.0 numpy==2.4.6
"$folder/venv/bin/pip" install -q --no-compile --disable-pip-version-check --no-deps \
    simpletuner==3.1.6 trainingsample==0.3.2  # what the cutting needs; the trainer itself has fifty more
cd "$folder"
venv/bin/python - 2>log <<'PYTHON' || { tail -n 5 log; exit 1; }
import importlib.metadata
import sys
import types

import numpy as np
from PIL import Image
from simpletuner.helpers.image_manipulation.training_sample import TrainingSample
from simpletuner.helpers.training.state_tracker import StateTracker

print(*(f"{name} {importlib.metadata.version(name)}" for name in ("simpletuner", "trainingsample")))
StateTracker.set_args(
    types.SimpleNamespace(
        aspect_bucket_alignment=64, aspect_bucket_rounding=2, resolution=512, resolution_type="pixel", model_family="sdxl",
        seed=1, controlnet=False,
    )
)
# 1024 x 512, in which every four columns tell where they are.
photograph = Image.fromarray(np.dstack([np.tile(np.arange(1024) // 4, (512, 1)).astype(np.uint8)] * 3))
as_seen = True
for style in (None, "center"):
    backend = {"id": "photos", "crop": True, "crop_aspect": "square", "resolution": 512, "resolution_type": "pixel"}
    StateTracker.set_data_backend_config("photos", backend | ({"crop_style": style} if style else {}))
    found = []
    for _ in range(12):
        prepared = TrainingSample(photograph, "photos", image_metadata={"original_size": (1024, 512)}).prepare()
        found.append((int(np.asarray(prepared.image)[0, 0, 0]) * 4, prepared.crop_coordinates[0]))
    true, noted = ([pair[place] for pair in found] for place in (0, 1))
    print(f"crop_style {style}: cut at x = {sorted(set(true))}, noted as {sorted(set(noted))}")
    as_seen &= set(noted) == {256} and (set(true) == {256} if style else len(set(true)) > 1)
sys.exit(0 if as_seen else 1)
PYTHON
