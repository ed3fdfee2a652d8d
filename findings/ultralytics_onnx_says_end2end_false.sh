#!/usr/bin/env bash
# One would guess: one net exported by two releases with the same call has one layout, and where not, `end2end` in the
# file's metadata tells finished detections (1, N, 6 + masks) from raw candidates (1, 4 + classes + masks, N).
# What happens (ultralytics 8.4.130 and 8.4.190, yolo26n-seg, format=onnx): the older one writes finished detections by
# default and with `nms=True`, and says True; the newer one writes raw candidates by default, finished ones with either
# `nms=True`, where it says False, or `nms=False`, where it says True.
# Why it matters here: a reader that believes `end2end`, or the release, takes rows for channels, and gets scraps for masks.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    torch==2.11.0 torchvision==0.26.0 ultralytics==8.4.130 onnx==1.23.2 numpy==2.4.6
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps --target "$folder/newer" ultralytics==8.4.190

cat > "$folder/layouts.py" <<'PYTHON'
import sys

import onnx
import ultralytics
from ultralytics import YOLO
from ultralytics.utils import LOGGER

LOGGER.setLevel("ERROR")
found = []
for given in ({}, {"nms": True}, {"nms": False}):
    # Random weights; 64 pixels have 84 candidates, so that of 300 finished rows only 84 may be there.
    path = YOLO("yolo26n-seg.yaml", task="segment").export(format="onnx", imgsz=64, simplify=False, device="cpu", **given)
    model = onnx.load(path)
    columns = model.graph.output[0].type.tensor_type.shape.dim[2].dim_value
    end2end = {entry.key: entry.value for entry in model.metadata_props}["end2end"]
    found.append(("finished" if columns == 38 else "raw", end2end))
    print(ultralytics.__version__, given or "by default", *found[-1], flush=True)
expected = {
    "8.4.130": [("finished", "True")] * 3,
    "8.4.190": [("raw", "False"), ("finished", "False"), ("finished", "True")],
}
sys.exit(0 if found == expected[ultralytics.__version__] else 1)
PYTHON
cd "$folder"
export YOLO_CONFIG_DIR="$folder" YOLO_OFFLINE=true YOLO_AUTOINSTALL=false
"$folder/venv/bin/python" layouts.py
PYTHONPATH="$folder/newer" "$folder/venv/bin/python" layouts.py
