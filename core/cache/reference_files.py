"""Reads cache files of the reference system and of musubi-tuner: names, contents, conversion to raw latents.

`{key}_{W:04d}x{H:04d}_{tag}.safetensors` (a clip's key ends in `_{start:05d}-{frames:03d}`) with the metadata
architecture, width, height, format_version; captions in `{key}_{tag}_te.safetensors` as `caption1`. WAN's and
Qwen-Image's latents are normalised per channel there, HunyuanVideo's raw. For WAN's image-to-video models they hold
`latents_image_…`, in one-frame training with `f_indices_int32`, the number of each latent frame, of which the one to
learn is masked out; and `clip_…`, CLIP vision features, for WAN 2.1; for
Qwen-Image-Edit `latents_control_0_…` and so on, normalised too. Shapes: `_CThw` the latent grid. Sizes are (width,
height).
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

import torch

from ..dataset.items import MaskOrigin
from ..errors import CacheError
from ..files import read_text
from ..fingerprints import fingerprint_of
from .entries import CacheEntry
from .entry_file import (
    CONTROL_LATENTS,
    IMAGE_LATENTS,
    REFERENCE_FORMAT,
    VERSION,
    EntryHeader,
    read_header,
    read_metadata,
    read_tensors,
    read_weights,
)
from .image_conditioning import MASK_CHANNELS

STRIDE_PX = 8
CHANNELS = 16
TEXT_MARK = "text/maskloss_text.json"
_NAME = re.compile(r"(?P<key>.+)_(?P<width>\d{4,})x(?P<height>\d{4,})_(?P<tag>[a-z0-9]+)\.safetensors")
_CLIP = re.compile(r"_\d{5}-\d{3,}$")
_CLIP_VISION, _FRAME_NUMBERS = "clip_", "f_indices_"

# WAN 2.1's published statistics of its latents' channels, which Qwen-Image uses as well.
_MEAN = (
    -0.7571, -0.7089, -0.9113, 0.1075, -0.1745, 0.9653, -0.1517, 1.5508,
    0.4134, -0.0715, 0.5517, -0.3632, -0.1922, -0.9497, 0.2503, -0.2921,
)  # fmt: skip
_STD = (
    2.8184, 1.4541, 2.3275, 2.6558, 1.2196, 1.7708, 2.6052, 2.0743,
    3.2687, 2.1526, 2.8652, 1.5579, 1.6382, 1.1253, 2.8251, 1.9160,
)  # fmt: skip


class ReferenceArchitecture(str, Enum):
    """The tags that can be read and written."""

    WAN = "wan"
    QWEN_IMAGE = "qi"
    HUNYUAN_VIDEO = "hv"

    @property
    def full_name(self) -> str:
        """What stands in the metadata."""
        return {"wan": "wan", "qi": "qwen_image", "hv": "hunyuan_video"}[self.value]

    @property
    def _is_normalised(self) -> bool:
        """Whether their files hold latents by WAN's mean and deviation."""
        return {"wan": True, "qi": True, "hv": False}[self.value]

    def to_raw(self, latent_CThw: torch.Tensor) -> torch.Tensor:
        """From what their files hold to what the autoencoder gave; float32."""
        if not self._is_normalised:
            return latent_CThw
        mean_C111, std_C111 = _statistics()
        return latent_CThw * std_C111 + mean_C111

    def from_raw(self, latent_CThw: torch.Tensor) -> torch.Tensor:
        """From what the autoencoder gave to what their files hold; float32."""
        if not self._is_normalised:
            return latent_CThw
        mean_C111, std_C111 = _statistics()
        return (latent_CThw - mean_C111) / std_C111


@dataclass(frozen=True)
class ReferenceDirectory:
    """A directory of their files. `text_encoder` is the identity with which our Cache Text ran over it, if it did;
    `caption_files` are the names of the files that belong to each caption, whatever they hold."""

    architecture: ReferenceArchitecture
    entries: tuple[CacheEntry, ...]
    text_encoder: str | None
    without_caption: tuple[str, ...]
    with_clip_vision: int
    caption_files: Mapping[str, str]


def holds_reference_files(directory: Path) -> bool:
    """Whether a cache file that is whole and not ours lies in `directory`."""
    for path in _find_files(directory):
        try:
            if _is_reference(read_header(path)):
                return True
        except CacheError:
            continue  # damaged and of unknown origin; one of ours is encoded again
    return False


def read_reference(directory: Path) -> ReferenceDirectory | None:
    """What lies in a directory of their files, or None where there is none. Weights are read, latents are not.

    Repeats and where masks came from are not on record there: each entry counts once, and a mask counts as a file.
    CacheError naming the file when it is damaged, of an unknown or a second architecture, or holds more than plain
    latents and weights.
    """
    headers = [(path, read_header(path)) for path in _find_files(directory)]
    found = [(path, header) for path, header in headers if _is_reference(header)]
    if not found:
        return None
    tags = {_read_architecture(path, header): path for path, header in found}
    if len(tags) > 1:
        one, other = list(tags.values())[:2]
        raise CacheError(f"{one} and {other} are for different models; keep each model's cache in a folder of its own.")
    architecture = next(iter(tags))
    entries = tuple(_read_entry(path, header, architecture) for path, header in found)
    bare = tuple(entry.name for entry in entries if not entry.caption)
    with_vision = sum(any(key.startswith(_CLIP_VISION) for key in header.others) for _, header in found)
    files: dict[str, str] = {}
    for entry in entries:
        file = text_file_of(entry.file, architecture)
        if (directory / file).exists() and files.setdefault(entry.caption, file) != file and entry.references:
            raise CacheError(
                f"{directory / file} and {files[entry.caption]} embed the same caption beside different control "
                "images, and are told apart by captions here; give each photograph a caption of its own over there."
            )
    return ReferenceDirectory(architecture, entries, read_text_mark(directory), bare, with_vision, files)


def text_file_of(file: str, architecture: ReferenceArchitecture) -> str:
    """The name of the file with the caption that belongs to the latents in `file`."""
    return f"{_CLIP.sub('', _parse_name(Path(file))['key'])}_{architecture.value}_te.safetensors"


def read_text_mark(directory: Path) -> str | None:
    """The identity of the text encoder whose embeddings lie beside their files; None before Cache Text ran."""
    path = directory / TEXT_MARK
    if not path.exists():
        return None
    try:
        return str(json.loads(read_text(path))["text_encoder"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise CacheError(f"{path} is damaged ({error}); delete it and run CacheText again.") from error


def _find_files(directory: Path) -> Iterator[Path]:
    for path in sorted(directory.glob("*.safetensors")):
        if not path.name.startswith(".") and _NAME.fullmatch(path.name) is not None:
            yield path


def _is_reference(header: EntryHeader) -> bool:
    return VERSION not in header.metadata


def _read_architecture(path: Path, header: EntryHeader) -> ReferenceArchitecture:
    named = header.metadata.get("architecture", "")
    tag = _parse_name(path)["tag"]
    for architecture in ReferenceArchitecture:
        if named == architecture.full_name or (not named and tag == architecture.value):
            break
    else:
        known = ", ".join(architecture.full_name for architecture in ReferenceArchitecture)
        raise CacheError(f"{path} is for the architecture {named or tag!r}; known are {known}.")
    version = header.metadata.get("format_version")
    if version != REFERENCE_FORMAT:
        raise CacheError(f"{path} has the format {version} instead of {REFERENCE_FORMAT}; cache it again over there.")
    shown = architecture is ReferenceArchitecture.WAN and header.image_channels == MASK_CHANNELS + CHANNELS
    known = (_CLIP_VISION, _FRAME_NUMBERS) if shown else ()
    other = [key for key in header.others if not key.startswith(known)]
    if architecture is not ReferenceArchitecture.QWEN_IMAGE:
        other += [f"{CONTROL_LATENTS}{number}" for number in range(header.references)]
    if other or (header.image_channels and not shown):
        raise CacheError(
            f"{path} holds {', '.join(other) or 'latents_image'} besides its latents, for training with control or "
            "start images, which is only done with the start images of WAN's image-to-video models and with the "
            "numbered control images of Qwen-Image-Edit; cache plain images."
        )
    if header.latent_shape[0] != CHANNELS:
        raise CacheError(
            f"{path} has latents of {header.latent_shape[0]} channels, {CHANNELS} are known for "
            f"{architecture.full_name}; cache the pictures here instead."
        )
    return architecture


def _read_entry(path: Path, header: EntryHeader, architecture: ReferenceArchitecture) -> CacheEntry:
    name = _parse_name(path)
    channels, frames, height, width = header.latent_shape
    target_index, control_indices = _read_frame_indices(path, header)
    position = sum(index < target_index for index in control_indices) if target_index is not None else None
    learnt = slice(None) if position is None else slice(position, position + 1)
    weights_1Thw = read_weights(path, (1, frames, height, width))
    status = path.stat()
    # Their files bear no hash; reading gigabytes at every opening would be worse than taking a copy for a new file.
    stamp = fingerprint_of(path.name, status.st_size, status.st_mtime_ns)
    return CacheEntry(
        name=name["key"],
        file=path.name,
        origin=MaskOrigin.NONE if weights_1Thw is None else MaskOrigin.FILE,
        coverage=1.0 if weights_1Thw is None else float(weights_1Thw[:, learnt].double().mean()),
        repeats=1,
        image_size=(int(name["width"]), int(name["height"])),
        bucket=(width * STRIDE_PX, height * STRIDE_PX),
        latent_shape=(channels, frames, height, width),
        caption=_read_caption(path.with_name(text_file_of(path.name, architecture))),
        latent_fingerprint=stamp,
        mask_fingerprint=stamp,
        file_bytes=status.st_size,
        target_index=target_index,
        control_indices=control_indices,
        image_channels=header.image_channels,
        references=header.references,
    )


def _read_frame_indices(path: Path, header: EntryHeader) -> tuple[int | None, tuple[int, ...]]:
    """The frame to learn and those given, of a file for one-frame training; (None, ()) of any other."""
    if not any(key.startswith(_FRAME_NUMBERS) for key in header.others):
        return None, ()
    tensors = read_tensors(path)
    (numbers,) = (tensor for key, tensor in tensors.items() if key.startswith(_FRAME_NUMBERS))
    (image_CThw,) = (tensor for key, tensor in tensors.items() if key.startswith(IMAGE_LATENTS))
    given = (image_CThw[:MASK_CHANNELS].float().mean(dim=(0, 2, 3)) > 0.5).tolist()
    frames: list[int] = numbers.tolist()
    learnt = [frame for frame, known in zip(frames, given, strict=False) if not known]
    if len(frames) != len(given) or frames != sorted(set(frames)) or len(learnt) != 1:
        raise CacheError(
            f"{path} numbers its {len(given)} frames {frames}, of which {learnt} are to be learnt; ascending numbers "
            "and one frame to learn were expected. Cache it again over there."
        )
    return learnt[0], tuple(frame for frame in frames if frame != learnt[0])


def _read_caption(path: Path) -> str:
    return read_metadata(path).get("caption1", "") if path.exists() else ""


def _parse_name(path: Path) -> re.Match[str]:
    matched = _NAME.fullmatch(path.name)
    if matched is None:
        raise CacheError(f"{path} is not named as a cache file; expected name_WWWWxHHHH_architecture.safetensors.")
    return matched


def _statistics() -> Sequence[torch.Tensor]:
    return [torch.tensor(values).view(-1, 1, 1, 1) for values in (_MEAN, _STD)]
