"""The file of a cache entry: safetensors, named and keyed like the reference system's, with metadata of ours.

`{name}_{W:04d}x{H:04d}_{architecture}.safetensors` (the image's own size) holds `latents_{F}x{h}x{w}_{dtype}` of shape
(C,F,h,w) and, where there is a mask, `mask_weights_{F}x{h}x{w}_{dtype}` of shape (1,F,h,w); for image-to-video models
`latents_image_{F}x{h}x{w}_{dtype}` of shape (4+C,F,h,w); for edit models `latents_control_{n}_{F}x{h}x{w}_{dtype}` of
control image n, of shape (C,F,h,w) with a grid of its own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import Enum
from pathlib import Path

import torch
from safetensors import SafetensorError

from ..errors import CacheError
from ..files import shorten_stem
from ..tensor_files import open_tensors, write_tensors

REFERENCE_FORMAT = "1.0.1"
LATENTS = "latents_"
WEIGHTS = "mask_weights_"
IMAGE_LATENTS = "latents_image_"
CONTROL_LATENTS = "latents_control_"
LATENT_FINGERPRINT = "maskloss_latent_fingerprint"
MASK_FINGERPRINT = "maskloss_mask_fingerprint"
# How the mask file was read, so that it is not read again while it and the setting stay the same.
MASK_READ = "maskloss_mask_read"
CLIP_FRAMES = "maskloss_clip_frames"
# Of a crop its kind, and what of the photograph it is.
CROP = "maskloss_crop"
VERSION = "maskloss_version"
TEXT_ENCODER = "maskloss_text_encoder"
CLASS_OF = "maskloss_class_caption_of"
ORIGIN = "maskloss_origin"
COVERAGE = "maskloss_coverage"
# The whole name, where that of the file is shortened.
NAME = "maskloss_name"
# Sizes and times of the sources when they were hashed, so that they are not hashed again while these stay the same.
SOURCES_SEEN = "maskloss_sources"

_CLIP = re.compile(r"_\d{5}-\d{3,}$")
_CONTROL = re.compile(CONTROL_LATENTS + r"(?P<number>\d+)_\d+x\d+x\d+_")
_WRITTEN_AGAIN = "it was written again since, for another picture, mask or setting"


class MaskStorage(str, Enum):
    """How mask weights are kept: float16 within 0.00025, uint8 within 1/510 before gamma, which may enlarge that where
    weights are nearly 0."""

    FLOAT16 = "float16"
    FLOAT32 = "float32"
    UINT8 = "uint8"


@dataclass(frozen=True)
class EntryHeader:
    """What a file says of itself without its tensors. `latent_shape` is (C,T,h,w), `image_channels` those of what an
    image-to-video model is given (0: nothing); `references` counts control images; `others` are further keys."""

    metadata: Mapping[str, str]
    latent_shape: tuple[int, int, int, int]
    has_weights: bool
    others: tuple[str, ...] = ()
    image_channels: int = 0
    references: int = 0


def entry_file_name(name: str, image_size: tuple[int, int], architecture: str) -> str:
    """The file's path below the cache's directory, "/"-separated; that of a very long name is shortened."""
    ending = f"_{image_size[0]:04d}x{image_size[1]:04d}_{architecture}.safetensors"
    # By what stands behind it another trainer knows which clips are one video's.
    clip = _CLIP.search(name)
    ending = ending if clip is None else clip[0] + ending
    return shorten_stem(name if clip is None else name[: clip.start()], ending) + ending


def write_entry(
    path: Path,
    latent_CThw: torch.Tensor,
    weights_1Thw: torch.Tensor | None,
    storage: MaskStorage,
    metadata: Mapping[str, str],
    image_CThw: torch.Tensor | None = None,
    references: Sequence[torch.Tensor] = (),
) -> None:
    """Write latents, weights (float32 in [0, 1]) and what an image-to-video or an edit model is given, whole or not at
    all. `metadata` is added to the format's."""
    frames, height, width = latent_CThw.shape[1:]
    tensors = {_tensor_name(LATENTS, latent_CThw): owned_copy(latent_CThw)}
    if weights_1Thw is not None:
        stored = _quantise_weights(weights_1Thw, storage)
        tensors[_tensor_name(WEIGHTS, stored)] = owned_copy(stored)
    if image_CThw is not None:
        tensors[_tensor_name(IMAGE_LATENTS, image_CThw)] = owned_copy(image_CThw)
    for number, reference_CThw in enumerate(references):
        tensors[_tensor_name(f"{CONTROL_LATENTS}{number}_", reference_CThw)] = owned_copy(reference_CThw)
    own = {"format_version": REFERENCE_FORMAT, "frame_count": str(frames), "latent_size": f"{width}x{height}"}
    write_tensors(path, tensors, {**own, **metadata})


def read_header(path: Path) -> EntryHeader:
    """A file's metadata and shapes. CacheError when it is missing, damaged or holds no latents."""
    try:
        with open_tensors(path) as file:
            keys = list(file.keys())
            latents, weights = _sized_keys(keys, LATENTS), _sized_keys(keys, WEIGHTS)
            if len(latents) != 1:
                raise _damage_error(path, f"it holds {len(latents)} latents instead of 1")
            shape = tuple(file.get_slice(latents[0]).get_shape())
            if len(shape) != 4:
                raise _damage_error(path, f"its latents have the shape {shape} instead of (C, T, h, w)")
            images, controls = _sized_keys(keys, IMAGE_LATENTS), _control_keys(keys)
            others = tuple(sorted(set(keys) - {*latents, *weights, *images, *controls}))
            channels = int(file.get_slice(images[0]).get_shape()[0]) if images else 0
            return EntryHeader(file.metadata() or {}, shape, bool(weights), others, channels, len(controls))
    except (SafetensorError, OSError) as error:
        raise _damage_error(path, str(error)) from error


def read_kept_header(path: Path, latent_fingerprint: str) -> EntryHeader | None:
    """The header of a file that may be there, None if its latent cannot be kept."""
    try:
        header = read_header(path) if path.exists() else None
    except CacheError:
        return None  # damaged: it is made again
    return header if header is not None and header.metadata.get(LATENT_FINGERPRINT) == latent_fingerprint else None


def trim_header(header: EntryHeader) -> EntryHeader:
    """Its shapes, with the metadata that the index needs: of 100,000 entries whole ones would take much memory."""
    return replace(header, metadata={key: header.metadata.get(key, "") for key in (ORIGIN, COVERAGE)})


def read_metadata(path: Path) -> Mapping[str, str]:
    """The metadata of a file of any kind. CacheError when it is missing or damaged."""
    try:
        with open_tensors(path) as file:
            return file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise _damage_error(path, str(error)) from error


def read_tensor_names(path: Path) -> tuple[str, ...]:
    """The names of a file's tensors. CacheError when it is missing or damaged."""
    try:
        with open_tensors(path) as file:
            return tuple(file.keys())
    except (SafetensorError, OSError) as error:
        raise _damage_error(path, str(error)) from error


def read_latent(path: Path, shape: tuple[int, ...], fingerprint: str = "") -> torch.Tensor:
    """(C,T,h,w) float32. CacheError when the file is missing or damaged, of another shape, or not finite, or was
    written again since for something of another `fingerprint`."""
    return _read_finite_tensor(path, LATENTS, shape, fingerprint)


def read_image(path: Path, shape: tuple[int, ...], fingerprint: str = "") -> torch.Tensor:
    """What an image-to-video model is given, (4+C,T,h,w) float32. CacheError as `read_latent`."""
    return _read_finite_tensor(path, IMAGE_LATENTS, shape, fingerprint)


def read_references(path: Path, count: int, fingerprint: str = "") -> list[torch.Tensor]:
    """The latents of so many control images in their order, each (C,1,h,w) float32. CacheError as `read_latent`."""
    try:
        with open_tensors(path) as file:
            if fingerprint and (file.metadata() or {}).get(LATENT_FINGERPRINT, fingerprint) != fingerprint:
                raise _damage_error(path, _WRITTEN_AGAIN)
            latents = [file.get_tensor(key).float() for key in _control_keys(file.keys())]
    except (SafetensorError, OSError) as error:
        raise _damage_error(path, str(error)) from error
    if len(latents) != count or any(latent.ndim != 4 for latent in latents):
        raise _damage_error(path, f"it holds latents of {len(latents)} control images instead of {count}")
    if not all(map(is_finite, latents)):
        raise _damage_error(path, "the latents of its control images are not finite")
    return latents


def read_weights(path: Path, shape: tuple[int, ...], fingerprint: str = "") -> torch.Tensor | None:
    """(1,T,h,w) float32 in [0, 1], or None where the file has no weights. CacheError as `read_latent`."""
    stored = _read_tensor(path, WEIGHTS, MASK_FINGERPRINT, fingerprint)
    if stored is None:
        return None
    if tuple(stored.shape) != tuple(shape):
        raise _damage_error(path, f"its mask_weights have the shape {tuple(stored.shape)} instead of {tuple(shape)}")
    weights = stored.float() / 255 if stored.dtype == torch.uint8 else stored.float()
    if not bool(((weights >= 0) & (weights <= 1)).all()):
        raise _damage_error(path, "its mask_weights are not all in [0, 1]")
    return weights


def read_tensors(path: Path) -> dict[str, torch.Tensor]:
    """Every tensor of a file. CacheError when it is missing, damaged or not finite."""
    try:
        with open_tensors(path) as file:
            tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 (no mapping)
    except (SafetensorError, OSError) as error:
        raise _damage_error(path, str(error)) from error
    for key, tensor in tensors.items():
        if not is_finite(tensor):
            raise _damage_error(path, f"its {key} is not finite")
    return tensors


def _read_tensor(path: Path, prefix: str, tag: str, fingerprint: str) -> torch.Tensor | None:
    try:
        with open_tensors(path) as file:
            # Files of other systems carry no tag, and nothing can be said of them.
            if fingerprint and (file.metadata() or {}).get(tag, fingerprint) != fingerprint:
                raise _damage_error(path, _WRITTEN_AGAIN)
            keys = _sized_keys(file.keys(), prefix)
            return file.get_tensor(keys[0]) if keys else None
    except (SafetensorError, OSError) as error:
        raise _damage_error(path, str(error)) from error


def _read_finite_tensor(path: Path, prefix: str, shape: tuple[int, ...], fingerprint: str) -> torch.Tensor:
    latent = _read_tensor(path, prefix, LATENT_FINGERPRINT, fingerprint)
    what = prefix.strip("_")
    if latent is None or tuple(latent.shape) != tuple(shape):
        found = "none" if latent is None else tuple(latent.shape)
        raise _damage_error(path, f"its {what} have the shape {found} instead of {tuple(shape)}")
    latent = latent.float()
    if not is_finite(latent):
        raise _damage_error(path, f"its {what} are not finite")
    return latent


def _sized_keys(keys: Iterable[str], prefix: str) -> list[str]:
    """The keys whose size comes right after `prefix`: `latents_control_1x8x8_…` is something else."""
    return [key for key in keys if key.startswith(prefix) and key[len(prefix) :][:1].isdigit()]


def _control_keys(keys: Iterable[str]) -> list[str]:
    """The keys of control images' latents, by their number."""
    found = [(int(match["number"]), key) for key in keys if (match := _CONTROL.match(key))]
    return [key for _, key in sorted(found)]


_FLOATS = {MaskStorage.FLOAT16: torch.float16, MaskStorage.FLOAT32: torch.float32}


def _quantise_weights(weights_1Thw: torch.Tensor, storage: MaskStorage) -> torch.Tensor:
    if storage is MaskStorage.UINT8:
        return (weights_1Thw * 255).round().to(torch.uint8)
    return weights_1Thw.to(_FLOATS[storage])


def _tensor_name(prefix: str, tensor: torch.Tensor) -> str:
    frames, height, width = tensor.shape[1:]
    return f"{prefix}{frames}x{height}x{width}_{str(tensor.dtype).removeprefix('torch.')}"


def is_finite(tensor: torch.Tensor) -> bool:
    """Whether no value of a tensor of any kind is infinite or NaN."""
    # A sum shows them in a twentieth of the time; where it is infinite itself, it may only have grown too large.
    return bool(torch.isfinite(tensor.sum())) or bool(torch.isfinite(tensor).all())


def owned_copy(tensor: torch.Tensor) -> torch.Tensor:
    """An owned CPU copy: safetensors refuses views, and a view of a batch keeps the whole batch in memory."""
    return tensor.detach().to("cpu").clone(memory_format=torch.contiguous_format)


def _damage_error(path: Path, what: str) -> CacheError:
    return CacheError(
        f"The cache file {path} cannot be used: {what}; run CacheLatents or CacheText again, or, where another trainer "
        "wrote it, that trainer's own caching."
    )
