#!/usr/bin/env bash
# One would guess: `predict(retina_masks=True)` of ultralytics gives the masks of `predict()`, finer, at the same place.
# What happens (ultralytics 8.4.130): it cuts the letterbox's grey off in whole prototypes of four pixels. Where the grey
# is not a multiple of that, the mask is moved by up to half a prototype and stretched: for a picture of 401x97 on a net
# of 256 pixels, 3 rows of 97. 8.4.190 cuts in pixels of the input, and the masks lie where they belong.
# Why it matters here: masks of ours, which lie where they belong, have an IoU of 0.85 to 0.95 with those of the older
# release on small or flat pictures, and of 0.99 with those of the newer one.
set -euo pipefail

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check \
    torch==2.11.0 torchvision==0.26.0 ultralytics==8.4.130 numpy==2.4.6
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps --target "$folder/newer" ultralytics==8.4.190

cat > "$folder/edge.py" <<'PYTHON'
import torch
import ultralytics
from ultralytics.utils import ops

height, width, side = 97, 401, 256
inner = round(height * side / width)
top = round((side - inner) / 2 - 0.1)
# One prototype whose logits rise downwards and are 0 at the middle of the picture: everything below it is the person.
middle = top + inner / 2
rows = torch.arange(side // 4) * 4 + 2.0
prototypes = (rows - middle)[None, :, None].expand(1, side // 4, side // 4).contiguous()
box = torch.tensor([[0.0, 0.0, width, height]])
mask = ops.process_mask_native(prototypes, torch.ones(1, 1), box, (height, width))[0]
edge = int(mask[:, width // 2].argmax())
print(f"{ultralytics.__version__}: the mask begins at row {edge}, {height / 2} would be right", flush=True)
print(edge - height / 2)
PYTHON
export YOLO_CONFIG_DIR="$folder" YOLO_OFFLINE=true YOLO_AUTOINSTALL=false
older=$("$folder/venv/bin/python" "$folder/edge.py" | tee -a /dev/stderr | tail -n 1)
newer=$(PYTHONPATH="$folder/newer" "$folder/venv/bin/python" "$folder/edge.py" | tee -a /dev/stderr | tail -n 1)
python3 -c "import sys; sys.exit(0 if abs($older) >= 1.5 and abs($newer) <= 0.5 else 1)"
