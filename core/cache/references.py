"""Reference pictures of edit models: a photograph's control images as latents of their own, beside the one to learn.

Shapes: `_HWC` pixels, `_CThw` the latent grid, T = 1. Sizes are (width, height).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from ..dataset.buckets import bucket_for
from ..dataset.crop import Rectangle
from ..dataset.items import DatasetItem
from ..dataset.load import media_size
from ..errors import DatasetError, ImageError, SettingError
from ..fingerprints import fingerprint_of
from ..first_names import first_names
from ..images import image_size, load_image
from ..resample import Size, fit_image, is_same_aspect
from .encode_pixels import encode_pixels, stack_pixels
from .encoders import LatentEncoder
from .entries import CacheEntry

# What a sample is given besides its caption's embeddings, by name and number: (1,C,1,h,w) raw latents.
REFERENCE = "reference_latents_"


@dataclass(frozen=True)
class Reference:
    """A control image, the `bucket` that it is brought to, and which part of it, `cut` from `size`; None: all of it."""

    path: Path
    bucket: Size
    cut: Rectangle | None = None
    size: Size | None = None

    @property
    def described(self) -> str:
        """What a fingerprint says of it beside the file's content."""
        return f"reference {self.bucket[0]}x{self.bucket[1]}" + ("" if self.cut is None else f" {self.cut}")


def plan_references(
    item: DatasetItem, cut: Rectangle | None, whole: Size, bucket: Size, stride: int
) -> tuple[Reference, ...]:
    """The references of a photograph of the size `whole`, or of a crop that is `cut` out of it.

    The first is cut as the photograph is. One of the photograph's aspect comes to the photograph's `bucket`, so that
    both have the same grid; any other has a bucket of its own, by its own aspect. SettingError where that is no
    multiple of `stride` px; ImageError where the first has not the aspect of the photograph that is cut.
    """
    if item.is_video:
        return ()
    return tuple(
        _plan_reference(item, path, cut if number == 0 else None, whole, bucket, stride)
        for number, path in enumerate(item.controls)
    )


def _plan_reference(
    item: DatasetItem, path: Path, cut: Rectangle | None, whole: Size, bucket: Size, stride: int
) -> Reference:
    size = image_size(path)
    if cut is not None:
        check_same_aspect(item, path, size, whole)
        return Reference(path, bucket, cut, whole)
    if not item.is_cut and is_same_aspect(whole, size):
        return Reference(path, bucket)
    own = bucket_for(size, item.settings)
    if own[0] % stride or own[1] % stride:
        raise SettingError(
            f"The control image {path} of {item.name} comes to {own[0]}x{own[1]}, but the sides must be multiples of "
            f"{stride} px; use a resolution and a bucket_step that are."
        )
    return Reference(path, own)


def check_references(item: DatasetItem, one_frame: bool) -> None:
    """SettingError where an item has control images that cannot be used."""
    if one_frame and item.more_controls:
        raise SettingError(
            f"{item.name} has {len(item.controls)} control images, and one_frame takes one; turn it off for an edit "
            "model, or leave the others out of control_directory."
        )
    if not one_frame and item.is_video and item.controls:
        raise SettingError(
            f"{item.name} is a video with a control image; edit models are shown control images with photographs "
            "alone. Leave videos out, or give no control_directory."
        )


def check_all_have_references(items: Sequence[DatasetItem]) -> None:
    """DatasetError naming the photographs without a control image, where their dataset has a folder of them."""
    bare = [item.name for item in items if item.wants_control and not item.controls and not item.is_video]
    if bare:
        raise DatasetError(
            f"{len(bare)} of {len(items)} photographs have no control image: {first_names(bare)}. Put a picture of the "
            "same name into control_directory (or several, name_0, name_1), or take the photographs out; photographs "
            "that shall be trained without one go into a dataset of their own (MaskLossMergeDatasets)."
        )


def check_same_aspect(item: DatasetItem, path: Path, size: Size, whole: Size) -> None:
    """ImageError where a control image has not the aspect of the photograph that a crop is cut out of."""
    if not is_same_aspect(whole, size):
        raise ImageError(
            f"The control image {path} is {size[0]}x{size[1]} and the photograph of the crop {item.name} "
            f"{whole[0]}x{whole[1]}; give one of its aspect, so that the same part can be cut out."
        )


def cut_control(item: DatasetItem, path: Path, cut: Rectangle) -> np.ndarray:
    """The part of a control image that is cut out of its photograph, which it is first brought to the size of; uint8
    RGB. ImageError where it has another aspect."""
    rgb_HWC, whole = load_image(path)[0], media_size(item)
    size = rgb_HWC.shape[1], rgb_HWC.shape[0]
    check_same_aspect(item, path, size, whole)
    return cut_from(rgb_HWC, cut, whole)


def cut_from(rgb_HWC: np.ndarray, cut: Rectangle, whole: Size) -> np.ndarray:
    """A rectangle of a picture that is first brought to the size `whole`."""
    size = rgb_HWC.shape[1], rgb_HWC.shape[0]
    return cut.cut(rgb_HWC if size == whole else fit_image(rgb_HWC, whole))


def encode_references(references: Sequence[Reference], name: str, encoder: LatentEncoder) -> list[torch.Tensor]:
    """Raw latents (C,1,h,w) float32 of an entry's references, each at its own size. CacheError with the entry's name
    where the encoder gives something that cannot be used."""
    latents: list[torch.Tensor] = []
    for each in references:
        rgb_HWC = load_image(each.path, each.bucket if each.cut is None else None)[0]
        if each.cut is not None and each.size is not None:
            rgb_HWC = cut_from(rgb_HWC, each.cut, each.size)
        fitted = stack_pixels([fit_image(rgb_HWC, each.bucket)[None]])
        latents.append(encode_pixels(fitted, [f"{name} (its control image {each.path})"], encoder)[0])
    return latents


def pictures_key(entry: CacheEntry) -> str:
    """What the pictures that a text encoder is shown beside an entry's caption are known by; empty where there are
    none."""
    hashes = [source.sha256 for source in entry.control_sources]
    if not entry.references or not hashes:
        return ""
    return fingerprint_of(hashes, entry.crop.partition(" ")[2])


def load_pictures(entry: CacheEntry) -> list[np.ndarray]:
    """The control images of an entry as a text encoder is shown them, uint8 RGB: the first cut as the photograph is.
    ImageError where one cannot be read."""
    pictures = [load_image(source.path)[0] for source in entry.control_sources]
    if entry.rectangle is not None:
        pictures[:1] = [cut_from(pictures[0], entry.rectangle, image_size(entry.source_path))]
    return pictures


def as_given(latents: Sequence[torch.Tensor]) -> Mapping[str, torch.Tensor]:
    """An entry's reference latents (C,1,h,w) as a sample is given them, by name."""
    return {f"{REFERENCE}{number}": latent[None] for number, latent in enumerate(latents)}
