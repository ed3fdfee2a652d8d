#!/usr/bin/env bash
# One would guess: an image processor turns an RGBA photograph into RGB as Pillow's convert("RGB") does, by dropping alpha;
# the processors of CLIP, SAM and BLIP did that for years, and a new release gives a model the same numbers.
# What happens (transformers 4.57.3, and 5.24.0): the older one gives the colours as stored. The newer one lays the
# photograph onto white first: where alpha is 0 the model sees white, where it is 128 half of it. No error, no warning; of
# an opaque picture nothing changes. ViT's processor, which converts nothing, gives four channels, where the older one
# raised.
# Why it matters here: photographs with their weights in alpha (background 0, body 128) go through these processors for
# captions, segmentation and likeness scores. The upgrade takes the scene away and bleaches the body, and every score of a
# dataset moves by itself; white that a segmenter finds beside the person goes into the next mask.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
seen=yes
for version in 4.57.3 5.24.0; do
    python3 -m venv "$folder/$version"
    "$folder/$version/bin/pip" install -q --no-compile --disable-pip-version-check \
        "transformers==$version" pillow==13.0.0 numpy==2.4.6
    "$folder/$version/bin/python" - "$version" <<'PYTHON' || seen=no
import sys

import numpy as np
import transformers
from PIL import Image

EXPECTED = {
    "4.57.3": {255: [200, 40, 90], 128: [200, 40, 90], 0: [200, 40, 90]},
    "5.24.0": {255: [200, 40, 90], 128: [227, 147, 172], 0: [255, 255, 255]},
}
plain = dict.fromkeys(("do_resize", "do_center_crop", "do_rescale", "do_normalize", "do_pad"), False)
print("transformers", transformers.__version__)
as_expected = True
for name in ("CLIPImageProcessor", "SamImageProcessor", "BlipImageProcessor"):
    processor = getattr(transformers, name)(**plain)
    got = {}
    for alpha in (255, 128, 0):
        photograph = np.full((64, 64, 4), (200, 40, 90, alpha), np.uint8)
        values = processor(Image.fromarray(photograph), return_tensors="np")["pixel_values"]
        got[alpha] = np.asarray(values)[0, :, 0, 0].astype(int).tolist()
    print(f"  {name:18} (200, 40, 90) with alpha", ", ".join(f"{alpha}: {rgb}" for alpha, rgb in got.items()))
    as_expected &= got == EXPECTED[sys.argv[1]]
sys.exit(0 if as_expected else 1)
PYTHON
done
[ "$seen" = yes ]
