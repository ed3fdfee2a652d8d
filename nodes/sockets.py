"""Input declarations that read like a table, and the one place where ComfyUI's tensors become arrays and back.

IMAGE is (B,H,W,C) float32 in [0,1] with 3 or 4 channels, MASK is (H,W) or (B,H,W) float32 in [0,1];
inside we use lists of uint8 `rgb_HWC` and float32 `mask_HW`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from typing import Any

import numpy as np
import torch

from ..core.errors import ImageError, SettingError
from ..core.parts.tiers import TierWeights

Declaration = tuple[str, dict[str, Any]]

DATASET = "MASKLOSS_DATASET"
PARTS = "MASKLOSS_PARTS"
PART_SEGMENTER = "MASKLOSS_PART_SEGMENTER"
PERSON_SEGMENTER = "MASKLOSS_PERSON_SEGMENTER"
FACE_RECOGNIZER = "MASKLOSS_FACE_RECOGNIZER"
IDENTITY = "MASKLOSS_IDENTITY"
PEOPLE = "MASKLOSS_PEOPLE"
CACHE = "MASKLOSS_CACHE"
LOSS_SETTINGS = "MASKLOSS_LOSS"
LORA_CONFIG = "MASKLOSS_LORA"
OPTIMIZER = "MASKLOSS_OPTIMIZER"
SAMPLING = "MASKLOSS_SAMPLING"
DEMO_MODEL = "MASKLOSS_DEMO_MODEL"
DEMO_VAE = "MASKLOSS_DEMO_VAE"
DEMO_CLIP = "MASKLOSS_DEMO_CLIP"
# ComfyUI's own models, or the built-in ones for a test drive.
ANY_MODEL = f"MODEL,{DEMO_MODEL}"
ANY_VAE = f"VAE,{DEMO_VAE}"
ANY_CLIP = f"CLIP,{DEMO_CLIP}"

MAX_SEED = 2**53 - 1  # the largest that JavaScript keeps exact


def FLOAT(default: float, low: float, high: float, step: float, tip: str) -> Declaration:
    """The front end rounds what is typed to the decimals of `step`, whatever "round" says."""
    return "FLOAT", {"default": default, "min": low, "max": high, "step": step, "round": False, "tooltip": tip}


def INT(default: int, low: int, high: int, tip: str, step: int = 1) -> Declaration:
    return "INT", {"default": default, "min": low, "max": high, "step": step, "tooltip": tip}


def SEED(tip: str) -> Declaration:
    return "INT", {**INT(0, 0, MAX_SEED, tip)[1], "control_after_generate": False}


def STRING(default: str, tip: str, multiline: bool = False) -> Declaration:
    return "STRING", {"default": default, "multiline": multiline, "tooltip": tip}


def BOOLEAN(default: bool, tip: str) -> Declaration:
    return "BOOLEAN", {"default": default, "tooltip": tip}


def COMBO(options: Iterable[str], tip: str, default: str | None = None) -> Declaration:
    """A choice among `options`, an Enum class or strings; the first one unless `default` says another."""
    names = [option.value if isinstance(option, Enum) else option for option in options]
    return "COMBO", {"options": names, "default": default or names[0], "tooltip": tip}


def RARE(declaration: Declaration) -> Declaration:
    """An input that most people leave as it is: the graph editor shows it when it is asked for the advanced ones."""
    return declaration[0], {**declaration[1], "advanced": True}


def SOCKET(kind: str, tip: str) -> Declaration:
    return kind, {"tooltip": tip}


def IMAGE(tip: str) -> Declaration:
    return SOCKET("IMAGE", tip)


def MASK(tip: str) -> Declaration:
    return SOCKET("MASK", tip)


def pictures_from_image(image: torch.Tensor, name: str = "image") -> list[np.ndarray]:
    """IMAGE → a list of uint8 rgb_HWC; an alpha channel is dropped. Raises ImageError for other shapes."""
    if image.ndim != 4 or image.shape[-1] not in (3, 4):
        raise ImageError(f"{name} has the shape {tuple(image.shape)}; an IMAGE is (B, H, W, 3) or (B, H, W, 4)")
    if image.shape[0] == 0:
        raise ImageError(f"{name} holds no picture; connect an IMAGE with at least one")
    scaled_BHWC = image.detach().to("cpu", torch.float32)[..., :3].clamp(0, 1) * 255
    return list(scaled_BHWC.round().to(torch.uint8).numpy())


def image_from_pictures(pictures: Sequence[np.ndarray]) -> torch.Tensor:
    """Equally large uint8 HWC pictures → IMAGE; smaller ones are centred on black so that one batch holds them all."""
    height = max(picture.shape[0] for picture in pictures)
    width = max(picture.shape[1] for picture in pictures)
    batch_BHWC = np.zeros((len(pictures), height, width, pictures[0].shape[2]), np.float32)
    for canvas_HWC, picture in zip(batch_BHWC, pictures, strict=True):
        top, left = (height - picture.shape[0]) // 2, (width - picture.shape[1]) // 2
        canvas_HWC[top : top + picture.shape[0], left : left + picture.shape[1]] = picture / np.float32(255)
    return torch.from_numpy(batch_BHWC)


def masks_from_mask(mask: torch.Tensor, name: str = "mask") -> list[np.ndarray]:
    """MASK → a list of float32 mask_HW in [0,1]. Raises ImageError for other shapes and for NaN."""
    if mask.ndim == 2:
        mask = mask[None]
    if mask.ndim != 3:
        raise ImageError(f"{name} has the shape {tuple(mask.shape)}; a MASK is (H, W) or (B, H, W)")
    mask_BHW = mask.detach().to("cpu", torch.float32)
    if not bool(torch.isfinite(mask_BHW).all()):
        raise ImageError(f"{name} holds NaN or infinite values; a MASK lies in [0, 1]")
    return list(mask_BHW.clamp(0, 1).numpy())


def mask_from_masks(masks: Sequence[np.ndarray]) -> torch.Tensor:
    """Equally large mask_HW → MASK (B,H,W) float32."""
    return torch.from_numpy(np.stack([np.asarray(mask_HW, np.float32) for mask_HW in masks]))


def broadcast(lists: Mapping[str, Sequence[Any]]) -> dict[str, list[Any]]:
    """All lists at one length: those with one entry serve every picture; other lengths must agree (ImageError)."""
    count = max(len(values) for values in lists.values())
    for name, values in lists.items():
        if len(values) not in (1, count):
            longest = next(other for other, others in lists.items() if len(others) == count)
            raise ImageError(
                f"{name} holds {len(values)} and {longest} holds {count}; give one for all pictures, or one for each"
            )
    return {name: list(values) * (count if len(values) == 1 else 1) for name, values in lists.items()}


def check_same_size(name: str, array: np.ndarray, other: str, reference: np.ndarray) -> None:
    """ImageError naming both sizes when the two differ in height or width."""
    if array.shape[:2] != reference.shape[:2]:
        (height, width), (other_height, other_width) = array.shape[:2], reference.shape[:2]
        raise ImageError(
            f"{name} is {width}x{height} and {other} is {other_width}x{other_height} (width x height); "
            "give both in the same size"
        )


def tier_inputs() -> dict[str, Declaration]:
    """The widgets of the four tiers and of single classes, alike wherever masks are built."""
    defaults = TierWeights()
    tip = "Training weight, 0 to 255."
    return {
        "face_weight": INT(defaults.face, 0, 255, f"Face. {tip}"),
        "hair_weight": INT(defaults.hair, 0, 255, f"Hair. {tip}"),
        "body_weight": INT(defaults.body, 0, 255, f"Body and clothes. {tip}"),
        "background_weight": INT(defaults.background, 0, 255, f"Everything else. {tip}"),
        "class_weights": RARE(STRING("", "Single classes of the segmenter, such as Lower_Clothing=60, Left_Shoe=0.")),
    }


def only(values: Any, name: str) -> Any:
    """The one value of an input of a node that takes whole lists; a bare value, as a default is, passes."""
    if not isinstance(values, list):
        return values
    if len(values) != 1:
        raise SettingError(f"{name} holds {len(values)} values; connect one")
    return values[0]
