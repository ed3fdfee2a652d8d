"""Score Pictures, Best LoRA."""

from __future__ import annotations

import math
from typing import Any

import torch

from ..core.dataset.items import Dataset
from ..core.host import current_host
from ..core.paths import PathKind, resolve_read
from ..core.people.faces import FaceRecognizer
from ..core.people.identity import Identity
from ..core.scores.best_checkpoint import RULE
from ..core.scores.picture_scores import PictureScorer
from ..core.scores.score_report import score_pictures
from ..core.scores.training_pictures import from_dataset, masks_for_faces
from ..core.train.lora_file import load_lora
from ..core.train.scored_lora import best_lora
from ..core.warning import warn
from .node import Node
from .results import as_json, digest_folders, with_pictures
from .sockets import (
    DATASET,
    FACE_RECOGNIZER,
    IDENTITY,
    IMAGE,
    SOCKET,
    STRING,
    image_from_pictures,
    only,
    pictures_from_image,
)


class MaskLossScorePictures(Node):
    TITLE = "Score Pictures"
    CATEGORY = "MaskLoss/Train"
    DESCRIPTION = "How like the person the faces are, and how near the pictures come to the training photographs."
    SEARCH_ALIASES = ("likeness", "face similarity", "compare loras", "overfitting", "score")
    RETURN_TYPES = ("STRING", "IMAGE", "FLOAT")
    RETURN_NAMES = ("report", "sheet", "likeness")
    INPUT_IS_LIST = True
    HAS_INTERMEDIATE_OUTPUT = True

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "images": IMAGE("Pictures by any sampler and any LoRA; all of a batch or list are scored."),
                "recognizer": SOCKET(FACE_RECOGNIZER, "From Load Face Recognizer."),
                "identity": SOCKET(IDENTITY, "From Reference Faces."),
            },
            "optional": {
                "dataset": SOCKET(DATASET, "The training photographs: copies and their backgrounds are found."),
            },
        }

    def run(
        self,
        images: list[torch.Tensor],
        recognizer: list[FaceRecognizer],
        identity: list[Identity],
        dataset: list[Dataset] | None = None,
    ) -> dict[str, Any]:
        progress, trained = current_host().progress(), None if dataset is None else only(dataset, "dataset")
        training = None if trained is None else from_dataset(trained, progress)
        scorer = PictureScorer(only(recognizer, "recognizer"), only(identity, "identity"), training)
        pictures = [picture for image in images for picture in pictures_from_image(image, "images")]
        named = [(f"picture {number}", picture) for number, picture in enumerate(pictures, start=1)]
        scores = score_pictures(named, scorer, progress)
        for warning in (*(() if trained is None else masks_for_faces(trained)), *scores.warnings):
            warn(warning)
        text, sheet = as_json(scores.to_json()), scores.sheet(pictures)
        likeness = math.nan if scores.likeness is None else scores.likeness
        return with_pictures((text, image_from_pictures([sheet]), likeness), [sheet], "scores", text=[text])


class MaskLossBestLora(Node):
    TITLE = "Best LoRA"
    CATEGORY = "MaskLoss/Train"
    DESCRIPTION = "Of all saved checkpoints of a run the one to keep, by the scores of its sample pictures."
    SEARCH_ALIASES = ("best checkpoint", "choose lora", "likeness")
    RETURN_TYPES = ("LORA_MODEL", "STRING")
    RETURN_NAMES = ("lora", "path")
    HAS_INTERMEDIATE_OUTPUT = True

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {"required": {"path": STRING("", "The path that Train LoRA returned: connect it.")}}

    @classmethod
    def IS_CHANGED(cls, path: str | None = None, **_: object) -> str:
        return digest_folders((path,))

    def run(self, path: str) -> dict[str, Any]:
        best, choice = best_lora(resolve_read(current_host().folders(), path, "path", PathKind.FILE))
        text = f"{choice.reason} {RULE}"
        told = [f"{best.name}: {text}"]
        return {"ui": {"text": told, "said": told}, "result": (load_lora(best), str(best))}


NODES = (MaskLossScorePictures, MaskLossBestLora)
