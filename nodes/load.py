"""Loaders: each puts one typed object on a wire."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from ..core.bundled.part_segmenter import BundledPartSegmenter
from ..core.bundled.person_segmenter import BundledPersonSegmenter
from ..core.bundled.recognizer import BundledFaceRecognizer
from ..core.errors import SettingError
from .checks import verdict
from .node import Node
from .sockets import COMBO, FACE_RECOGNIZER, PART_SEGMENTER, PERSON_SEGMENTER

BUNDLED = "bundled"


class ModelLoader(Node):
    """A loader whose one input chooses among `MODELS`: names and how to make what they stand for."""

    CATEGORY = "MaskLoss/Load"
    MODELS: ClassVar[dict[str, Callable[[], Any]]] = {}

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        tip = "bundled: small models installed by `maskloss models --install`."
        return {"required": {"model": COMBO(cls.MODELS, tip)}}

    @classmethod
    def VALIDATE_INPUTS(cls, model: str | None = None) -> bool | str:
        return True if model is None else verdict(lambda: cls.make(model))

    @classmethod
    def make(cls, model: str) -> Any:
        """The object that `model` names. Raises SettingError for an unknown name, ModelMissingError for lost files."""
        if model not in cls.MODELS:
            raise SettingError(f"is {model!r}, expected one of {', '.join(map(repr, cls.MODELS))}")
        return cls.MODELS[model]()

    def run(self, model: str) -> tuple[Any]:
        return (self.make(model),)


class MaskLossPartSegmenter(ModelLoader):
    TITLE = "Load Part Segmenter"
    DESCRIPTION = "Tells face, hair and body apart."
    SEARCH_ALIASES = ("human parsing", "face parsing", "hair mask")
    RETURN_TYPES = (PART_SEGMENTER,)
    RETURN_NAMES = ("segmenter",)
    MODELS: ClassVar[dict[str, Callable[[], Any]]] = {BUNDLED: BundledPartSegmenter}


class MaskLossPersonSegmenter(ModelLoader):
    TITLE = "Load Person Segmenter"
    DESCRIPTION = "One mask per person."
    SEARCH_ALIASES = ("person mask", "instance segmentation")
    RETURN_TYPES = (PERSON_SEGMENTER,)
    RETURN_NAMES = ("person_segmenter",)
    MODELS: ClassVar[dict[str, Callable[[], Any]]] = {BUNDLED: BundledPersonSegmenter}


class MaskLossFaceRecognizer(ModelLoader):
    TITLE = "Load Face Recognizer"
    DESCRIPTION = "Finds faces and tells people apart by them."
    SEARCH_ALIASES = ("face detection", "face recognition", "face embedding")
    RETURN_TYPES = (FACE_RECOGNIZER,)
    RETURN_NAMES = ("recognizer",)
    MODELS: ClassVar[dict[str, Callable[[], Any]]] = {BUNDLED: BundledFaceRecognizer}


NODES = (MaskLossPartSegmenter, MaskLossPersonSegmenter, MaskLossFaceRecognizer)
