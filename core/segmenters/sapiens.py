"""Body parts through Sapiens (the first), as TorchScript with 28 classes."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch

from ..model_runs import convert_model_errors
from ..parts.part_map import SCHEMES, PartMap
from ..resample import shrink_then_enlarge
from .label_maps import labels_from_scores
from .model_files import ModelSource, file_digest, unusable
from .torch_models import best_device

SAPIENS = ModelSource(
    purpose="body parts with Sapiens",
    example="models/sapiens/sapiens_1b_goliath_best_goliath_mIoU_7994_epoch_151_torchscript.pt2",
    folder="models/sapiens",
    source="the facebook/sapiens-seg-*-torchscript repositories on Hugging Face",
    licence="CC-BY-NC 4.0",
)

_METHOD = 2  # raise when the same file would give other maps
_SIZE = (768, 1024)  # (width, height); pictures are stretched to it, as the net was trained
_MEAN, _STD = np.array([123.5, 116.5, 103.5], np.float32), np.array([58.5, 57.0, 57.5], np.float32)
_SCHEME = SCHEMES["sapiens_goliath_28"]


class SapiensPartSegmenter:
    """Implements PartSegmenter. path: a TorchScript file (.pt, .pt2); it loads when first used.

    It stays on the device it was loaded to: a traced graph may hold constants that do not move with the weights.
    """

    approximate = False
    notes = ("Sapiens weights are licensed CC-BY-NC 4.0: no commercial use.",)

    def __init__(self, path: Path) -> None:
        self._path = path
        self.name = f"Sapiens {path.name}"

    @property
    def identity(self) -> str:
        """Changes with the file."""
        return f"sapiens-{_METHOD}-{file_digest(self._path)}"

    def segment(self, rgb_HWC: np.ndarray) -> PartMap:
        """Parts of an upright uint8 RGB picture in the scheme sapiens_goliath_28.

        Raises UserError when the file is no TorchScript or does not give 28 classes, ModelRunError when it fails on
        this picture.
        """
        normalised = (shrink_then_enlarge(rgb_HWC, _SIZE).astype(np.float32) - _MEAN) / _STD
        model, device, dtype = self._model
        with torch.inference_mode(), convert_model_errors(self.name, rgb_HWC):
            batch = torch.from_numpy(np.ascontiguousarray(normalised.transpose(2, 0, 1)[None])).to(device, dtype)
            scores: Any = model(batch)
            self._check(scores)
            scores_Khw = scores[0].float().cpu().numpy()
        return PartMap(labels_from_scores(scores_Khw, (rgb_HWC.shape[1], rgb_HWC.shape[0])), _SCHEME)

    def _check(self, scores: Any) -> None:
        classes = len(_SCHEME.names)
        if isinstance(scores, torch.Tensor) and scores.ndim == 4 and tuple(scores.shape[:2]) == (1, classes):
            return
        found = tuple(scores.shape) if isinstance(scores, torch.Tensor) else type(scores).__name__
        raise unusable(
            self._path,
            f"it gives {found}, expected (1, {classes}, height, width), the body parts of Sapiens (its pose, depth and "
            "normal models, and Sapiens2, give something else)",
            SAPIENS,
        )

    @cached_property
    def _model(self) -> tuple[Any, torch.device, torch.dtype]:
        device = best_device()
        try:
            with torch.inference_mode(False):
                model: Any = torch.jit.load(str(self._path), map_location=device).eval()
        except (RuntimeError, ValueError) as error:
            why = f"it is no TorchScript file ({' '.join(str(error).split())[:200]})"
            raise unusable(self._path, why, SAPIENS) from error
        weight = next(model.parameters(), None)
        return model, device, torch.float32 if weight is None else weight.dtype
