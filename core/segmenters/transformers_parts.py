"""Body or face parts through transformers: Sapiens2, SegFormer and any other semantic segmentation in a directory."""

from __future__ import annotations

import json
import os
import pickle
import sys
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError

from ..errors import ModelMissingError
from ..model_runs import convert_model_errors
from ..parts.part_map import PartMap, PartScheme
from .label_maps import labels_from_scores
from .model_files import ModelSource, file_digest, missing_library, unusable
from .scheme_choice import FACE_ONLY, scheme_for
from .torch_models import lent_device
from .whole_picture import what_is_cut

TRANSFORMERS = ModelSource(
    purpose="parts with a transformers model",
    example="models/segformer/segformer_b2_clothes/config.json, preprocessor_config.json and model.safetensors",
    folder="models/segformer or models/sapiens2",
    source="mattmdjaga/segformer_b2_clothes, jonathandinu/face-parsing or facebook/sapiens2-seg-* on Hugging Face",
    licence="each model's own; Sapiens2's forbids biometric processing",
)

_METHOD = 1  # raise when the same files would give other maps
_WEIGHTS = ("*.safetensors", "pytorch_model*.bin")
_SAPIENS2 = "sapiens2"
# What transformers raises on configurations, weights and preprocessing that it does not understand.
_FAILURES = (
    ImportError, OSError, ValueError, LookupError, RuntimeError, TypeError, AttributeError, AssertionError,
    ArithmeticError, EOFError, pickle.UnpicklingError, SafetensorError,
)  # fmt: skip
# These give masks with a class each, and not a class for every pixel.
_MASK_MODELS = {
    "detr": "DETR",
    "eomt": "EoMT",
    "eomt_dinov3": "EoMT",
    "mask2former": "Mask2Former",
    "maskformer": "MaskFormer",
    "oneformer": "OneFormer",
    "rf_detr": "RF-DETR",
    "videomt": "VidEoMT",
}


class TransformersPartSegmenter:
    """Implements PartSegmenter over a local directory; nothing is downloaded. The model loads when first used.

    The class table is chosen at once, by the names in config.json or else their number. `face_only` models know the
    head alone: what they call background may be body. Raises ModelMissingError when files are missing, UserError when
    config.json fits no class table.
    """

    approximate = False

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        config = _read_config(directory)
        self.name = f"{config.get('model_type', 'transformers')} {directory.name}"
        self.scheme: PartScheme = _scheme(directory, config)
        self.face_only = self.scheme.id in FACE_ONLY
        self.forbids_biometrics = config.get("model_type") == _SAPIENS2
        self.notes: tuple[str, ...] = (
            ("The Sapiens2 licence forbids biometric processing.",) if self.forbids_biometrics else ()
        )

    @property
    def identity(self) -> str:
        """Changes with the weights, the configuration and the preprocessing."""
        files = sorted({*_weight_files(self._directory), *self._directory.glob("*.json")})
        return f"transformers-{_METHOD}-" + "-".join(file_digest(file)[:6] for file in files)

    def segment(self, rgb_HWC: np.ndarray) -> PartMap:
        """Parts of an upright uint8 RGB picture in the model's scheme.

        Raises UserError when transformers is missing, does not read the directory, or the model's preprocessing or
        output does not fit, ModelRunError when it fails on this picture.
        """
        processor, model = self._load
        with convert_model_errors(self.name, rgb_HWC), lent_device(model) as device:
            inputs = processor(images=[rgb_HWC], return_tensors="pt")
            scores = model(pixel_values=inputs["pixel_values"].to(device, model.dtype)).logits
            if scores.ndim != 4 or scores.shape[1] != len(self.scheme.names):
                why = f"it gives {tuple(scores.shape)}, expected (1, {len(self.scheme.names)}, height, width)"
                raise unusable(self._directory, why, TRANSFORMERS)
            scores_Khw = scores[0].float().cpu().numpy()
        return PartMap(labels_from_scores(scores_Khw, (rgb_HWC.shape[1], rgb_HWC.shape[0])), self.scheme)

    @cached_property
    def _load(self) -> tuple[Any, Any]:
        """The image processor, which stretches the whole picture, and the model on the CPU."""
        try:
            import torch
            from transformers import (  # pyright: ignore[reportMissingImports]
                AutoImageProcessor,
                AutoModelForSemanticSegmentation,
            )
        except ImportError as error:
            raise missing_library("transformers", f"The model {self._directory.name}", error) from error
        here = os.fspath(self._directory)
        try:
            with torch.inference_mode(False):
                processor: Any = AutoImageProcessor.from_pretrained(here, local_files_only=True)
                model: Any
                model, loading = AutoModelForSemanticSegmentation.from_pretrained(
                    here, local_files_only=True, output_loading_info=True
                )
            cut = what_is_cut(processor)
        except (*_FAILURES, *_configuration_errors()) as error:
            why = f"transformers does not read it ({' '.join(str(error).split())[:300]})"
            raise unusable(self._directory, why, TRANSFORMERS) from error
        if loading["missing_keys"]:
            # transformers fills these with random numbers and goes on.
            why = f"its weights lack {', '.join(sorted(loading['missing_keys'])[:3])}"
            raise unusable(self._directory, why, TRANSFORMERS)
        if cut:
            why = f"its preprocessing has {cut}, and only models that see the whole picture are known"
            raise unusable(self._directory, why, TRANSFORMERS)
        return processor, model.eval().requires_grad_(False)


def _configuration_errors() -> tuple[type[BaseException], ...]:
    """What huggingface_hub raises on a value of a wrong type in config.json: it shares no base but Exception."""
    strict = getattr(sys.modules.get("huggingface_hub.errors"), "StrictDataclassError", None)
    return () if strict is None else (strict,)


def _read_config(directory: Path) -> dict[str, Any]:
    """config.json, after a look that everything else is there."""
    missing = [name for name in ("config.json", "preprocessor_config.json") if not (directory / name).is_file()]
    if not _weight_files(directory):
        missing.append("model.safetensors")
    if missing:
        raise ModelMissingError(f"{directory} lacks {', '.join(missing)}. {TRANSFORMERS.describe()}")
    try:
        config = json.loads((directory / "config.json").read_text(encoding="utf-8"))
    except ValueError as error:
        raise unusable(directory / "config.json", f"it is not JSON ({error})", TRANSFORMERS) from error
    if not isinstance(config, dict):
        raise unusable(directory / "config.json", "it holds no settings", TRANSFORMERS)
    kind = config.get("model_type")
    if kind in _MASK_MODELS:
        why = (
            f"it is {_MASK_MODELS[kind]}, which gives masks of things; models of a class for every pixel are read "
            "(SegFormer, Sapiens2, BEiT, Data2Vec, DPT, UPerNet, MobileViT, MobileNetV2)"
        )
        raise unusable(directory, why, TRANSFORMERS)
    return config


def _scheme(directory: Path, config: dict[str, Any]) -> PartScheme:
    table = config.get("id2label")
    if not isinstance(table, dict):
        return scheme_for(directory.name, (), int(config.get("num_labels", 2)))
    try:
        names = [str(table[key]) for key in sorted(table, key=int)]
    except ValueError as error:
        raise unusable(
            directory / "config.json", f"id2label has a key that is no number ({error})", TRANSFORMERS
        ) from error
    return scheme_for(directory.name, names, len(names))


def _weight_files(directory: Path) -> list[Path]:
    return sorted(file for pattern in _WEIGHTS for file in directory.glob(pattern))
