"""Load Part Segmenter, Load Person Segmenter, Load Face Recognizer, SAM 3 Segmenters."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

from ..core.comfy.sam3 import Sam3, Sam3PartSegmenter, Sam3PersonSegmenter, check_prompt
from ..core.errors import SettingError
from ..core.host import current_host
from ..core.host.host import ModelKind
from ..core.paths import listing_digest
from ..core.segmenters.find import (
    BUNDLED,
    find_face_packs,
    find_part_segmenters,
    find_person_segmenters,
    load_face_recognizer,
    load_part_segmenter,
    load_person_segmenter,
)
from ..core.warning import warn
from .checks import verdict
from .node import Node
from .sockets import COMBO, FACE_RECOGNIZER, PART_SEGMENTER, PERSON_SEGMENTER, SOCKET, STRING

# ComfyUI asks for INPUT_TYPES many times in a prompt, and a models folder may lie on a slow disk.
SECONDS_BETWEEN_LOOKS = 5.0

Folders = tuple[Path, ...]
Find = Callable[..., list[str]]


class ModelLoader(Node):
    """A loader whose one input is `bundled` or names a model that the user has.

    `FIND` and `LOAD` take the folders of each of `KINDS`; `LOAD` takes the model's name before them and reads nothing
    large.
    """

    CATEGORY = "MaskLoss/Load"
    KINDS: ClassVar[tuple[ModelKind, ...]] = ()
    FIND: ClassVar[Find]
    LOAD: ClassVar[Callable[..., Any]]
    PLACES: ClassVar[str] = ""

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        names = _list_found(cls.FIND, cls.folders(), int(time.monotonic() / SECONDS_BETWEEN_LOOKS))
        tip = f"bundled: small models installed by `maskloss models --install`. Others: {cls.PLACES}."
        return {"required": {"model": COMBO(dict.fromkeys((BUNDLED, *names)), tip)}}

    @classmethod
    def VALIDATE_INPUTS(cls, model: str | None = None) -> bool | str:
        return True if model is None else verdict(lambda: cls.make(model))

    @classmethod
    def IS_CHANGED(cls, model: str | None = None, **_: object) -> str:
        """Changes with the model's files, so that a new file under an old name is loaded again."""
        folders = [folder / inner for kind in cls.folders() for folder in kind for inner in (".", "models")]
        return listing_digest([folder / model for folder in folders if model and (folder / model).exists()])

    @classmethod
    def folders(cls) -> tuple[Folders, ...]:
        """The folders of each of KINDS."""
        return tuple(current_host().model_folders(kind) for kind in cls.KINDS)

    @classmethod
    def make(cls, model: object) -> Any:
        """The object that `model` names. Raises SettingError for another kind, ModelMissingError for lost files."""
        if not isinstance(model, str):
            raise SettingError(f"model is {model!r}, expected 'bundled' or the name of a model")
        return cls.LOAD(model, *cls.folders())

    def run(self, model: str) -> dict[str, Any]:
        made = self.make(model)
        notes = self.notes(made)
        for note in notes:
            warn(note)
        return {"ui": {"text": list(notes)}, "result": (made,)}

    @staticmethod
    def notes(model: Any) -> tuple[str, ...]:
        """What a user must be told of the model's licence."""
        return tuple(getattr(model, "notes", ()))


class MaskLossPartSegmenter(ModelLoader):
    TITLE = "Load Part Segmenter"
    DESCRIPTION = "Tells face, hair and body apart."
    SEARCH_ALIASES = ("human parsing", "face parsing", "hair mask")
    RETURN_TYPES = (PART_SEGMENTER,)
    RETURN_NAMES = ("segmenter",)
    KINDS = (ModelKind.PARTS,)
    FIND = staticmethod(find_part_segmenters)
    LOAD = staticmethod(load_part_segmenter)
    PLACES = "Sapiens in models/sapiens, transformers folders in models/sapiens2 and models/segformer"

    @staticmethod
    def notes(model: Any) -> tuple[str, ...]:
        notes = ModelLoader.notes(model)
        beside = MaskLossFaceRecognizer.__name__ in (current_host().running_classes() or frozenset())
        return (*notes, _not_for_faces(model)) if beside and _forbids_biometrics(model) else notes


class MaskLossPersonSegmenter(ModelLoader):
    TITLE = "Load Person Segmenter"
    DESCRIPTION = "One mask per person."
    SEARCH_ALIASES = ("person mask", "instance segmentation", "segment anything")
    RETURN_TYPES = (PERSON_SEGMENTER,)
    RETURN_NAMES = ("person_segmenter",)
    KINDS = (ModelKind.SAM, ModelKind.YOLO)
    FIND = staticmethod(find_person_segmenters)
    LOAD = staticmethod(load_person_segmenter)
    PLACES = "SAM checkpoints in models/sams, YOLO-seg as .onnx in models/ultralytics/segm"


class MaskLossFaceRecognizer(ModelLoader):
    TITLE = "Load Face Recognizer"
    DESCRIPTION = "Finds faces and tells people apart by them."
    SEARCH_ALIASES = ("face detection", "face recognition", "face embedding")
    RETURN_TYPES = (FACE_RECOGNIZER,)
    RETURN_NAMES = ("recognizer",)
    KINDS = (ModelKind.INSIGHTFACE,)
    FIND = staticmethod(find_face_packs)
    LOAD = staticmethod(load_face_recognizer)
    PLACES = "insightface packs in models/insightface/models"

    @staticmethod
    def notes(model: Any) -> tuple[str, ...]:
        # ComfyUI does not run the part segmenter's loader again when a recogniser is added to a workflow.
        loader = MaskLossPartSegmenter
        named = [inputs.get("model") for inputs in current_host().running_inputs(loader.__name__)]
        there = [name for name in named if isinstance(name, str) and loader.VALIDATE_INPUTS(name) is True]
        parts = [each for each in map(loader.make, there) if _forbids_biometrics(each)]
        return (*ModelLoader.notes(model), *map(_not_for_faces, parts))


class MaskLossSam3Segmenters(Node):
    TITLE = "SAM 3 Segmenters"
    CATEGORY = "MaskLoss/Load"
    DESCRIPTION = "ComfyUI's own SAM 3 as person segmenter and as part segmenter, told by words."
    SEARCH_ALIASES = ("segment anything 3", "text segmentation", "person mask", "hair mask", "face mask")
    RETURN_TYPES = (PERSON_SEGMENTER, PART_SEGMENTER)
    RETURN_NAMES = ("person_segmenter", "segmenter")

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        tip = "Words, and after a colon how many at most; several with commas between."
        return {
            "required": {
                "model": SOCKET("MODEL", "SAM 3, from ComfyUI's Load Checkpoint."),
                "clip": SOCKET("CLIP", "From the same checkpoint."),
            },
            "optional": {
                "person_prompt": STRING("person:10", f"What a person is. {tip}"),
                "face_prompt": STRING("face:10", f"What a face is. {tip}"),
                "hair_prompt": STRING("hair:10", f"What hair is. {tip}"),
            },
        }

    @classmethod
    def VALIDATE_INPUTS(
        cls, person_prompt: str | None = None, face_prompt: str | None = None, hair_prompt: str | None = None
    ) -> bool | str:
        given = {"person_prompt": person_prompt, "face_prompt": face_prompt, "hair_prompt": hair_prompt}
        return verdict(lambda: [check_prompt(name, text) for name, text in given.items() if text is not None])

    def run(
        self,
        model: Any,
        clip: Any,
        person_prompt: str = "person:10",
        face_prompt: str = "face:10",
        hair_prompt: str = "hair:10",
    ) -> tuple[Sam3PersonSegmenter, Sam3PartSegmenter]:
        sam3 = Sam3(model, clip)
        people = sam3.prompt("person_prompt", person_prompt)
        faces, hair = sam3.prompt("face_prompt", face_prompt), sam3.prompt("hair_prompt", hair_prompt)
        return Sam3PersonSegmenter(sam3, people), Sam3PartSegmenter(sam3, people, faces, hair)


def _forbids_biometrics(part_segmenter: Any) -> bool:
    return bool(getattr(part_segmenter, "forbids_biometrics", False))


def _not_for_faces(part_segmenter: Any) -> str:
    return (
        f"{part_segmenter.name} is used in one workflow with {MaskLossFaceRecognizer.TITLE}, but its licence forbids "
        "biometric processing: use another part segmenter where people are told apart by their faces."
    )


@lru_cache(maxsize=16)
def _list_found(find: Find, folders: tuple[Folders, ...], _lookup: int) -> tuple[str, ...]:
    """What lies in the folders, looked for once per lookup."""
    try:
        return tuple(find(*folders))
    except OSError:
        # A folder that cannot be read offers nothing; the node must be there nevertheless.
        return ()


NODES = (MaskLossPartSegmenter, MaskLossPersonSegmenter, MaskLossFaceRecognizer, MaskLossSam3Segmenters)
