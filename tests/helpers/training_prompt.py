"""A prompt that trains the demo model on four photographs, for processes of their own."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from maskloss.core.images import save_image

STEPS = 3
NODES = {
    "models": ("MaskLossDemoModels", {}),
    "load": ("MaskLossLoadDataset", {"directory": "set", "resolution_width": 64, "resolution_height": 64}),
    "latents": ("MaskLossCacheLatents", {"dataset": ["load", 0], "vae": ["models", 1], "cache_directory": "cache"}),
    "text": ("MaskLossCacheText", {"cache": ["latents", 0], "clip": ["models", 2]}),
    "optimizer": ("MaskLossOptimizer", {"optimizer_args": "eps=1e-4"}),
    "train": (
        "MaskLossTrainLora",
        {
            "model": ["models", 0], "cache": ["text", 0], "optimizer": ["optimizer", 0], "steps": STEPS,
            "output_name": "lora", "gradient_checkpointing": False,
        },
    ),
    "report": ("MaskLossReport", {"cache": ["text", 0], "loss": ["train", 1], "output_directory": "page"}),
}  # fmt: skip


def api(nodes: dict[str, tuple[str, dict[str, object]]]) -> dict[str, object]:
    """Nodes by id, as (class, inputs), as a prompt in API format."""
    return {name: {"class_type": kind, "inputs": given} for name, (kind, given) in nodes.items()}


def make_prompt(folder: Path) -> Path:
    """`prompt.json` in `folder`, and its photographs below `in`."""
    for number in range(4):
        picture = np.random.default_rng(number).integers(0, 256, (64, 64, 3), dtype=np.uint8)
        save_image(folder / f"in/set/{number}.png", picture)
    path = folder / "prompt.json"
    path.write_text(json.dumps(api(NODES)))
    return path
