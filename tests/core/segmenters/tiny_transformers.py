"""Real networks of transformers' families with few random weights, and what transformers itself makes of them."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from maskloss.core.parts.part_map import SCHEMES

ATR = SCHEMES["atr_18"].names


def bare(directory: Path, config: dict | None = None, preprocessor: dict | None = None) -> Path:
    """A directory that looks whole; its weights are nonsense."""
    directory.mkdir(parents=True)
    names = {str(index): name for index, name in enumerate(ATR)}
    content = {"model_type": "segformer", "id2label": names} if config is None else config
    (directory / "config.json").write_text(json.dumps(content))
    (directory / "preprocessor_config.json").write_text(json.dumps(preprocessor or {}))
    (directory / "model.safetensors").write_bytes(b"nonsense")
    return directory


def tiny_segformer(directory: Path, names: tuple[str, ...], **preprocessing: object) -> Path:
    """A real SegFormer of a few thousand random weights that always prefers class 2 a little."""
    transformers = pytest.importorskip("transformers")
    with torch.random.fork_rng():
        torch.manual_seed(1)
        config = transformers.SegformerConfig(
            num_encoder_blocks=4, depths=[1] * 4, hidden_sizes=[8] * 4, num_attention_heads=[1] * 4,
            decoder_hidden_size=8, id2label=dict(enumerate(names)), label2id={n: i for i, n in enumerate(names)},
        )  # fmt: skip
        model = transformers.SegformerForSemanticSegmentation(config).eval()
    model.save_pretrained(directory)
    settings = {
        "image_processor_type": "SegformerImageProcessor",
        "size": {"height": 64, "width": 64},
        "do_resize": True,
    }
    (directory / "preprocessor_config.json").write_text(json.dumps({**settings, **preprocessing}))
    return directory


VIT = {
    "image_size": 64, "patch_size": 16, "hidden_size": 16, "num_hidden_layers": 4, "num_attention_heads": 2,
    "intermediate_size": 32,
}  # fmt: skip

FAMILIES = {
    "Beit": ("BeitImageProcessor", {**VIT, "out_indices": [1, 2, 3, 4]}),
    "Data2VecVision": ("BeitImageProcessor", {**VIT, "out_indices": [1, 2, 3, 4]}),
    "DPT": (
        "DPTImageProcessor",
        {**VIT, "backbone_out_indices": [0, 1, 2, 3], "neck_hidden_sizes": [8] * 4, "fusion_hidden_size": 8},
    ),
    "MobileViT": (
        "MobileViTImageProcessor",
        {
            "image_size": 64, "hidden_sizes": [16] * 3, "neck_hidden_sizes": [8] * 7, "num_attention_heads": 2,
            "aspp_out_channels": 8,
        },
    ),
    "MobileViTV2": ("MobileViTImageProcessor", {"image_size": 64, "width_multiplier": 0.25}),
    "MobileNetV2": ("MobileNetV2ImageProcessor", {"image_size": 64, "depth_multiplier": 0.25}),
    "UperNet": ("SegformerImageProcessor", {"hidden_size": 8, "use_auxiliary_head": False}),
}  # fmt: skip


def tiny(family: str, directory: Path, dtype: torch.dtype = torch.float32, **preprocessing: object) -> Path:
    """A real model of the family with few random weights and the classes of ATR, and its own preprocessing."""
    transformers = pytest.importorskip("transformers", minversion="5.0")
    processor, sizes = FAMILIES[family]
    if family == "UperNet":
        stages = [f"stage{number}" for number in range(1, 5)]
        backbone = transformers.ConvNextConfig(num_stages=4, hidden_sizes=[8] * 4, depths=[1] * 4, out_features=stages)
        sizes = {**sizes, "backbone_config": backbone}
    labels = {"id2label": dict(enumerate(ATR)), "label2id": {name: index for index, name in enumerate(ATR)}}
    with torch.random.fork_rng():
        torch.manual_seed(1)
        config = getattr(transformers, f"{family}Config")(**sizes, **labels)
        model = getattr(transformers, f"{family}ForSemanticSegmentation")(config)
        for weight in model.parameters():  # as they are drawn, most families prefer one class everywhere
            if weight.ndim > 1:
                torch.nn.init.normal_(weight, std=0.3)
        balance(model.eval())
    model.to(dtype).save_pretrained(directory)
    settings = {"image_processor_type": processor, "size": {"height": 64, "width": 64}, "do_center_crop": False}
    (directory / "preprocessor_config.json").write_text(json.dumps({**settings, **preprocessing}))
    return directory


def balance(model: torch.nn.Module) -> None:
    """Moves the classes' biases so that every class wins somewhere: random weights prefer one nearly everywhere."""
    classifier = [layer for layer in model.modules() if getattr(layer, "out_channels", 0) == len(ATR)][-1]
    with torch.no_grad():
        scores = model(pixel_values=torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))).logits
        classifier.bias -= scores.mean(dim=(0, 2, 3))


def of_transformers(family: str, directory: Path, picture: np.ndarray) -> np.ndarray:
    """The labels by transformers' own processor, model and post-processing, scores compared in float32."""
    transformers = pytest.importorskip("transformers", minversion="5.0")
    processor = transformers.AutoImageProcessor.from_pretrained(directory)
    model = getattr(transformers, f"{family}ForSemanticSegmentation").from_pretrained(directory).eval()
    pixels = processor(images=[picture], return_tensors="pt")["pixel_values"].to(model.dtype)
    with torch.no_grad():
        outputs = model(pixel_values=pixels)
    outputs.logits = outputs.logits.float()
    return processor.post_process_semantic_segmentation(outputs, target_sizes=[picture.shape[:2]])[0].numpy()


def patches(size: tuple[int, int]) -> np.ndarray:
    """A picture (height, width, 3) of coloured patches."""
    coarse_HWC = np.random.default_rng(0).integers(0, 256, (4, 6, 3), dtype=np.uint8)
    return cv2.resize(coarse_HWC, size[::-1], interpolation=cv2.INTER_CUBIC)
