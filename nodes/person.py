"""Reference Faces, Instance Mask, Apply Instance Mask."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import torch

from ..core.draw.overlay import face_overlay
from ..core.errors import ImageError, SettingError
from ..core.host import current_host
from ..core.masks.known_hair import seen_in
from ..core.parts.part_map import PartMap
from ..core.paths import resolve_read
from ..core.people.decision import MatchRules, OnNoMatch, PersonDecision
from ..core.people.faces import FaceRecognizer
from ..core.people.find_person import find_person
from ..core.people.identity import Identity
from ..core.people.instances import PersonMask, PersonSegmenter, apply_instance
from ..core.people.own_hair import SeenHair
from ..core.people.references import read_pictures, reference_identity
from .node import Node
from .results import as_json, digest_folders, one_or_all, with_pictures
from .sockets import (
    COMBO,
    FACE_RECOGNIZER,
    FLOAT,
    IDENTITY,
    IMAGE,
    INT,
    MASK,
    PARTS,
    PERSON_SEGMENTER,
    SOCKET,
    STRING,
    broadcast,
    check_same_size,
    image_from_pictures,
    mask_from_masks,
    masks_from_mask,
    only,
    pictures_from_image,
)


class MaskLossReferenceFaces(Node):
    TITLE = "Reference Faces"
    CATEGORY = "MaskLoss/Load"
    DESCRIPTION = "Who the person is: from images, a directory of them, or both. All of them make one identity."
    SEARCH_ALIASES = ("face reference", "identity", "face embedding")
    RETURN_TYPES = (IDENTITY, "IMAGE", "STRING")
    RETURN_NAMES = ("identity", "faces", "report")
    INPUT_IS_LIST = True

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {"recognizer": SOCKET(FACE_RECOGNIZER, "From Load Face Recognizer.")},
            "optional": {
                "images": IMAGE("Pictures of the person, one face in each."),
                "directory": STRING("", "A folder of such pictures, or one file."),
                "face_index": INT(-1, -1, 999, "Which face, from left to right, where references show several."),
                "name": STRING("", "What the person is called, where several are to be told apart."),
            },
        }

    @classmethod
    def IS_CHANGED(cls, directory: list[str] | None = None, **_: object) -> str:
        return digest_folders((directory or [""])[:1])

    def run(
        self,
        recognizer: list[FaceRecognizer],
        images: list[torch.Tensor] | None = None,
        directory: list[str] | str = "",
        face_index: list[int] | int = -1,
        name: list[str] | str = "",
    ) -> dict[str, Any]:
        pictures = [picture for image in images or [] for picture in pictures_from_image(image, "images")]
        named = [(f"image {number}", picture) for number, picture in enumerate(pictures, start=1)]
        folder = only(directory, "directory")
        named += read_pictures(resolve_read(current_host().folders(), folder, "directory")) if folder.strip() else []
        identity, report, crops = reference_identity(
            only(recognizer, "recognizer"), named, only(face_index, "face_index")
        )
        identity = replace(identity, name=only(name, "name").strip())
        text = as_json(report)
        return with_pictures((identity, image_from_pictures(crops), text), crops, "reference", text=[text])


class MaskLossInstanceMask(Node):
    TITLE = "Instance Mask"
    CATEGORY = "MaskLoss/Picture"
    DESCRIPTION = "The mask of the one person whose face is the reference's; nobody else is ever kept unasked."
    SEARCH_ALIASES = ("face mask", "face match", "person mask", "face recognition", "isolate person")
    RETURN_TYPES = ("MASK", "IMAGE", "STRING", "BOUNDING_BOX")
    RETURN_NAMES = ("mask", "overlay", "report", "box")

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "image": IMAGE("The picture; faces are numbered from left to right."),
                "recognizer": SOCKET(FACE_RECOGNIZER, "From Load Face Recognizer."),
            },
            "optional": {
                "identity": SOCKET(IDENTITY, "From Reference Faces. Needed unless face_index says who."),
                "person_segmenter": SOCKET(PERSON_SEGMENTER, "From Load Person Segmenter; or connect candidates."),
                "candidates": MASK("One mask per person of one picture, from any segmenter."),
                "min_similarity": FLOAT(0.0, 0, 1, 0.01, "How alike a face must be; 0 = the recogniser's own value."),
                "margin": FLOAT(0.05, 0, 1, 0.01, "How far the best face must be ahead of the second."),
                "on_no_match": COMBO(("error", "empty", "largest"), "What to do when the person cannot be told apart."),
                "face_index": INT(-1, -1, 999, "Take this face without comparing; -1 = compare."),
                "parts": SOCKET(PARTS, "From Segment Parts: adds hair on this head that the person's mask lacks."),
            },
        }

    def run(
        self,
        image: torch.Tensor,
        recognizer: FaceRecognizer,
        identity: Identity | None = None,
        person_segmenter: PersonSegmenter | None = None,
        candidates: torch.Tensor | None = None,
        min_similarity: float = 0.0,
        margin: float = 0.05,
        on_no_match: str = "error",
        face_index: int = -1,
        parts: tuple[PartMap, ...] | None = None,
    ) -> dict[str, Any]:
        pictures = pictures_from_image(image)
        seen = _find_hair(parts, pictures)
        people = _people(person_segmenter, candidates, len(pictures))
        rules = MatchRules(min_similarity, margin, face_index, OnNoMatch(on_no_match))
        found = [
            find_person(rgb_HWC, recognizer, identity, people, rules, hair)
            for rgb_HWC, hair in zip(pictures, seen, strict=True)
        ]
        overlays = [face_overlay(rgb, person.decision) for rgb, person in zip(pictures, found, strict=True)]
        report = as_json(one_or_all([person.decision.to_json() for person in found]))
        mask = mask_from_masks([person.mask_HW for person in found])
        boxes = one_or_all([_bounding_box(person.mask_HW) for person in found])
        clickable = [_clickable(person.decision, rgb_HWC) for rgb_HWC, person in zip(pictures, found, strict=True)]
        result = (mask, image_from_pictures(overlays), report, boxes)
        return with_pictures(result, overlays, "faces", text=[report], faces=clickable)


class MaskLossApplyInstanceMask(Node):
    TITLE = "Apply Instance Mask"
    CATEGORY = "MaskLoss/Picture"
    DESCRIPTION = "Keeps the weights where one person is."
    SEARCH_ALIASES = ("subject only", "isolate person")
    RETURN_TYPES = ("MASK",)
    RETURN_NAMES = ("weights",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {"weights": MASK("Weights of everyone."), "instance": MASK("One person; counts from 0.5.")},
            "optional": {
                "dilate_px": INT(0, 0, 512, "The person's mask grows by so many pixels."),
                "feather_px": INT(
                    0, 0, 512, "Outside it the weights fall off over so many pixels; breaks exact tiers."
                ),
            },
        }

    def run(
        self, weights: torch.Tensor, instance: torch.Tensor, dilate_px: int = 0, feather_px: int = 0
    ) -> tuple[torch.Tensor]:
        both = broadcast(
            {"weights": masks_from_mask(weights, "weights"), "instance": masks_from_mask(instance, "instance")}
        )
        pairs = zip(both["weights"], both["instance"], strict=True)
        return (mask_from_masks([apply_instance(every, one, dilate_px, feather_px) for every, one in pairs]),)


def _people(
    person_segmenter: PersonSegmenter | None, candidates: torch.Tensor | None, pictures: int
) -> PersonSegmenter | list[PersonMask]:
    if person_segmenter is not None and candidates is None:
        return person_segmenter
    if person_segmenter is not None or candidates is None:
        found = "neither is" if candidates is None else "both are"
        raise SettingError(f"people come from person_segmenter or from candidates, and {found} connected; connect one")
    if pictures != 1:
        raise ImageError(f"candidates are the people of one picture, and image holds {pictures}; give one at a time")
    return [PersonMask(mask_HW) for mask_HW in masks_from_mask(candidates, "candidates")]


def _find_hair(parts: tuple[PartMap, ...] | None, pictures: list[np.ndarray]) -> list[SeenHair | None]:
    """What is hair in each picture."""
    if parts is None:
        return [None] * len(pictures)
    if len(parts) != len(pictures):
        raise ImageError(
            f"parts are of {len(parts)} pictures, and image holds {len(pictures)}; segment the parts of this very image"
        )
    for part_map, rgb_HWC in zip(parts, pictures, strict=True):
        check_same_size("parts", part_map.label_HW, "image", rgb_HWC)
    return [seen_in(part_map) for part_map in parts]


def _clickable(decision: PersonDecision, rgb_HWC: np.ndarray) -> dict[str, object]:
    """The decision for the front end, which shows the picture at any size: boxes as fractions of it, within [0, 1]."""
    height, width = rgb_HWC.shape[:2]
    faces = [
        {
            "index": score.index,
            "box": [
                round(min(max(at / side, 0.0), 1.0), 4) for at, side in zip(score.box, (width, height) * 2, strict=True)
            ],
            "similarity": None if score.similarity is None else round(score.similarity, 4),
            "chosen": score.chosen,
        }
        for score in decision.faces
    ]
    return {"faces": faces, "reason": decision.reason}


def _bounding_box(mask_HW: np.ndarray) -> dict[str, int]:
    rows, columns = np.flatnonzero(mask_HW.any(axis=1)), np.flatnonzero(mask_HW.any(axis=0))
    if rows.size == 0:
        return {"x": 0, "y": 0, "width": 0, "height": 0}
    width, height = int(columns[-1] - columns[0] + 1), int(rows[-1] - rows[0] + 1)
    return {"x": int(columns[0]), "y": int(rows[0]), "width": width, "height": height}


NODES = (MaskLossReferenceFaces, MaskLossInstanceMask, MaskLossApplyInstanceMask)
