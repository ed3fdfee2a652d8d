#!/usr/bin/env bash
# One would guess: white of a 10-bit 4:2:0 clip (Y' = 940 of limited range) is 255 as RGB, and the deeper the RGB that is
# asked for, the more exact. What happens (PyAV 14.0.1 to 18.1.0, FFmpeg 7 to 8, libswscale): packed rgb24 gives 253;
# rgb48 and gbrp16 give 65283 of 65535, float gives 0.99615, 10-bit gbrp 1020 of 1023; only planar 8-bit RGB (gbrp) gives
# 255. PyAV's frame.to_ndarray(format="rgb24"), which every video dataset of this field uses, takes the first road.
# Why it matters: clips of telephones and cameras are 10-bit, each is trained two levels too dark; a mask video's full
# weight of 255 becomes 0.992; and HDR's reference white, converted through 16 bits, comes out as 253.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install -q --disable-pip-version-check av==18.1.0 numpy==2.4.6
"$folder/venv/bin/python" - <<'PYTHON'
import sys

import av
import numpy as np
from av import library_versions

frame = av.VideoFrame(32, 16, "yuv420p10le")
for plane, value in zip(frame.planes, (940, 512, 512)):
    plane.update(np.full((plane.height, plane.line_size // 2), value, "<u2").tobytes())
print("PyAV", av.__version__, "libswscale", library_versions["libswscale"])
seen = {}
for name, dtype in (
    ("rgb24", "u1"), ("gbrp", "u1"), ("gbrp10le", "<u2"), ("gbrp16le", "<u2"), ("rgb48le", "<u2"), ("gbrpf32le", "<f4"),
):
    seen[name] = np.frombuffer(frame.reformat(format=name).planes[0], dtype)[0].item()
    print(f"white as {name}: {seen[name]}")
exact = seen.pop("gbrp") == 255
short = seen["rgb24"] < 255 and seen["gbrp16le"] < 65535 and seen["rgb48le"] < 65535 and seen["gbrpf32le"] < 0.999
sys.exit(0 if exact and short else 1)
PYTHON
