"""ComfyUI's own SAM 3 behind the segmenters' protocols: people, faces and hair are found by words.

Legend: `_HWC`, `_HW` the picture's pixel grid, `_Nhw` one map for each thing found, on the network's own grid over the
whole picture.
"""

from __future__ import annotations

import hashlib
import importlib
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ..bundled.nets import sigmoid
from ..errors import SettingError
from ..model_runs import convert_model_errors
from ..parts.part_map import SCHEMES, PartMap
from ..people.faces import Face
from ..people.instances import PersonMask
from ..people.regions import Pointing
from ..resample import shrink_then_enlarge
from .encoders import ComfyTextEncoder
from .model.fingerprint import patcher_fingerprint

_METHOD = 2  # raise when the same model would give other masks
_SIDE = 1008  # pictures are stretched to this square, as the network was trained
_MIN_SCORE = 0.5  # ComfyUI's own SAM3 Detect begins there too
_LETTER = re.compile(r"[^\W\d_]")
_COUNT = re.compile(r".+?\s*:\s*([\d.]+)")
_ONE = re.compile(r"\s*([^,]+?)\s*:\s*0*1\s*")
_SCHEME = SCHEMES["maskloss_4"]


@dataclass(frozen=True, eq=False)
class _Category:
    """One thing to look for: its text embedding, and how many instances are taken at most."""

    embedding_1LD: torch.Tensor
    mask_1L: torch.Tensor
    limit: int


@dataclass(frozen=True, eq=False)
class Prompt:
    """An encoded prompt. `text` is ComfyUI's form: `person:10`, several after commas."""

    text: str
    categories: tuple[_Category, ...]


def check_prompt(name: str, text: str) -> None:
    """SettingError when the input `name` holds no words, or a count that is none."""
    pieces = [piece.strip() for piece in text.split(",") if piece.strip(" ()")]
    if not pieces:
        raise SettingError(f"{name} is empty; name what to look for and how many at most, such as person:10.")
    for piece in pieces:
        count = _COUNT.fullmatch(piece)
        if not _LETTER.search(piece) or (count is not None and not re.fullmatch(r"0*[1-9]\d*", count[1])):
            raise SettingError(
                f"{name} holds {piece!r}; write words, a colon and a whole number from 1 on, such as person:10."
            )


class Sam3:
    """A SAM 3 MODEL and its CLIP. Nothing of them is changed, and ComfyUI moves their weights as for its own nodes."""

    def __init__(self, model: Any, clip: Any) -> None:
        """SettingError when they are other models, or ComfyUI is too old to know SAM 3."""
        _check_kinds(model, clip)
        self._patcher, self._clip = model, clip
        precision = str(model.model.get_dtype_inference()).removeprefix("torch.")
        weights = patcher_fingerprint(model, "diffusion_model.detector.")
        self.identity = f"{precision}|{weights}|{ComfyTextEncoder(clip).identity}"

    def prompt(self, name: str, text: str) -> Prompt:
        """The words of the input `name`, encoded. SettingError as `check_prompt` raises it."""
        check_prompt(name, text)
        # ComfyUI reads the count off a prompt unless it is 1, which would become a word.
        words = _ONE.fullmatch(text)
        tokens = self._clip.tokenize(text if words is None else words[1])
        with torch.inference_mode():
            embedding, rest = self._clip.encode_from_tokens_scheduled(tokens)[0]
            one = {"cond": embedding, "attention_mask": rest.get("attention_mask"), "max_detections": 1}
            return Prompt(text, tuple(_to_category(each) for each in rest.get("sam3_multi_cond", [one])))

    def find(self, rgb_HWC: np.ndarray, prompts: Sequence[Prompt]) -> list[np.ndarray]:
        """For each prompt logits_Nhw float32, above 0 inside; of each category the surest first, maybe none at all.

        rgb_HWC: uint8, any size; the network sees it once for all prompts. ModelRunError when it fails on it.
        """
        with torch.inference_mode(), convert_model_errors("SAM 3", rgb_HWC):
            importlib.import_module("comfy.model_management").load_model_gpu(self._patcher)
            model = self._patcher.model
            detector = model.diffusion_model.detector
            picture_1CHW = torch.from_numpy(_stretch(rgb_HWC)[None]).to(
                self._patcher.load_device, model.get_dtype_inference()
            )
            seen = detector.backbone["vision_backbone"].trunk(picture_1CHW)
            return [
                np.concatenate([_detect(detector, seen, category) for category in prompt.categories])
                for prompt in prompts
            ]

    def point(self, rgb_HWC: np.ndarray, pointing: Pointing) -> np.ndarray:
        """logits_hw float32 of what is pointed at, above 0 inside, on the network's grid over the whole picture.

        rgb_HWC: uint8, any size. ModelRunError when the network fails on it.
        """
        scale = np.array([_SIDE / rgb_HWC.shape[1], _SIDE / rgb_HWC.shape[0]])
        with torch.inference_mode(), convert_model_errors("SAM 3", rgb_HWC):
            importlib.import_module("comfy.model_management").load_model_gpu(self._patcher)
            kind = {"device": self._patcher.load_device, "dtype": self._patcher.model.get_dtype_inference()}
            picture_1CHW = torch.from_numpy(_stretch(rgb_HWC)[None]).to(**kind)
            points, box = None, None
            if pointing.on or pointing.off:
                labels = [1] * len(pointing.on) + [0] * len(pointing.off)
                points = {
                    "point_coords": torch.from_numpy(np.array([*pointing.on, *pointing.off]) * scale)[None].to(**kind),
                    "point_labels": torch.tensor([labels], dtype=torch.int32, device=kind["device"]),
                }
            if pointing.box is not None:
                box = torch.from_numpy(np.array(pointing.box).reshape(1, 2, 2) * scale).to(**kind)
            network = self._patcher.model.diffusion_model
            logits_11hw = network.forward_segment(picture_1CHW, point_inputs=points, box_inputs=box)
            return logits_11hw[0, 0].float().cpu().numpy()


class Sam3PersonSegmenter:
    """Implements PersonSegmenter: one mask for each person found, whoever's face it has."""

    needs_faces = False

    def __init__(self, sam3: Sam3, people: Prompt) -> None:
        self._sam3, self._people = sam3, people
        self.name = f"SAM 3 ({people.text})"
        self.identity = _identity(sam3, people)

    def segment(self, rgb_HWC: np.ndarray, faces: Sequence[Face]) -> list[PersonMask]:
        """Masks of the picture's size, the surest person first; `faces` does not matter."""
        size = (rgb_HWC.shape[1], rgb_HWC.shape[0])
        (people_Nhw,) = self._sam3.find(rgb_HWC, (self._people,))
        return [PersonMask(sigmoid(shrink_then_enlarge(logits_hw, size))) for logits_hw in people_Nhw]

    def propose(self, rgb_HWC: np.ndarray, pointing: Pointing) -> np.ndarray:
        """Implements RegionSegmenter: what SAM 3 takes the points and the box for, whatever the words are."""
        logits_hw = self._sam3.point(rgb_HWC, pointing)
        return shrink_then_enlarge(logits_hw, (rgb_HWC.shape[1], rgb_HWC.shape[0])) > 0


class Sam3PartSegmenter:
    """Implements PartSegmenter: faces and hair by their own words; the body is what else of the people there is."""

    approximate = False

    def __init__(self, sam3: Sam3, people: Prompt, faces: Prompt, hair: Prompt) -> None:
        self._sam3 = sam3
        # What comes later lies over what comes before.
        self._tiers = (("Body", people), ("Hair", hair), ("Face", faces))
        self.name = f"SAM 3 ({people.text}; {faces.text}; {hair.text})"
        self.identity = _identity(sam3, people, hair, faces)

    def segment(self, rgb_HWC: np.ndarray) -> PartMap:
        """Parts of an upright uint8 RGB picture in the scheme maskloss_4; all background where nothing is found."""
        size = (rgb_HWC.shape[1], rgb_HWC.shape[0])
        label_HW = np.zeros(rgb_HWC.shape[:2], np.uint8)
        found = self._sam3.find(rgb_HWC, [prompt for _, prompt in self._tiers])
        for (name, _), logits_Nhw in zip(self._tiers, found, strict=True):
            if len(logits_Nhw):
                label_HW[shrink_then_enlarge(logits_Nhw.max(axis=0), size) > 0] = _SCHEME.class_id(name)
        return PartMap(label_HW, _SCHEME)


def _check_kinds(model: Any, clip: Any) -> None:
    try:
        network = importlib.import_module("comfy.ldm.sam3.detector").SAM3Model
        text = importlib.import_module("comfy.text_encoders.sam3_clip").SAM3ClipModelWrapper
    except ImportError as error:
        raise SettingError(
            f"SAM 3 runs in ComfyUI only, in a version that knows it ({error}): update ComfyUI, or use Load Person "
            "Segmenter and Load Part Segmenter."
        ) from error
    for name, part, kind in (("model", model.model.diffusion_model, network), ("clip", clip.cond_stage_model, text)):
        if not isinstance(part, kind):
            raise SettingError(
                f"{name} is a {type(part).__name__}, expected SAM 3: connect MODEL and CLIP of Load Checkpoint with a "
                "SAM 3 checkpoint."
            )


def _to_category(encoded: dict[str, Any]) -> _Category:
    embedding_1LD, mask_1L = encoded["cond"], encoded["attention_mask"]
    if mask_1L is None:
        mask_1L = torch.ones(embedding_1LD.shape[:2], dtype=torch.int64)
    return _Category(embedding_1LD.to("cpu"), mask_1L.to("cpu"), int(encoded["max_detections"]))


def _stretch(rgb_HWC: np.ndarray) -> np.ndarray:
    """float32 (3, 1008, 1008) in [0, 1]: the whole picture, its sides stretched each on its own."""
    square_HWC = shrink_then_enlarge(rgb_HWC, (_SIDE, _SIDE))
    return np.ascontiguousarray(square_HWC.transpose(2, 0, 1)) / np.float32(255)


def _detect(detector: Any, seen: torch.Tensor, category: _Category) -> np.ndarray:
    """logits_Nhw float32 of one category, the surest first."""
    text_1LD = detector.backbone["language_backbone"]["resizer"](category.embedding_1LD.to(seen.device, seen.dtype))
    result = detector.forward_from_trunk(seen, text_1LD, category.mask_1L.to(seen.device))
    scores_N = result["scores"][0].float().sigmoid()
    surest_N = scores_N.argsort(descending=True, stable=True)[: category.limit]
    surest_N = surest_N[scores_N[surest_N] > _MIN_SCORE]
    return result["masks"][0][surest_N].float().cpu().numpy()


def _identity(sam3: Sam3, *prompts: Prompt) -> str:
    """Changes with the model, its CLIP and the prompts."""
    text = "|".join([sam3.identity, *(prompt.text for prompt in prompts)])
    return f"sam3-{_METHOD}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
