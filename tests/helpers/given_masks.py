"""A prompt up to its cache for which no model has to be installed: the masks are given, and the models are toys."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

GIVEN = {
    "models": {"class_type": "MaskLossDemoModels", "inputs": {}},
    "load": {
        "class_type": "MaskLossLoadDataset",
        "inputs": {"directory": "set", "mask_directory": "masks", "resolution_width": 64, "resolution_height": 64},
    },
    "merge": {
        "class_type": "MaskLossDatasetMergeAlpha",
        "inputs": {"dataset": ["load", 0], "output_directory": "rgba"},
    },
    "latents": {
        "class_type": "MaskLossCacheLatents",
        "inputs": {"dataset": ["merge", 0], "vae": ["models", 1], "cache_directory": "cache", "batch_size": 2},
    },
    "text": {"class_type": "MaskLossCacheText", "inputs": {"cache": ["latents", 0], "clip": ["models", 2]}},
}


def place_given(folder: Path) -> None:
    """Its five photographs of two sizes with masks and captions."""
    random = np.random.default_rng(0)
    for name in ("set", "masks"):
        (folder / name).mkdir()
        for number in range(5):
            shape = (40, 40 + number // 3 * 24) + ((3,) if name == "set" else ())
            Image.fromarray(random.integers(0, 256, shape, dtype=np.uint8)).save(folder / f"{name}/p{number}.png")
            (folder / f"set/p{number}.txt").write_text(f"ohwx {number % 2}")
