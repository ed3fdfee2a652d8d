"""Exports a cache as the files that the reference system and musubi-tuner train from."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import torch

from ..dataset.items import MaskOrigin
from ..errors import CacheError, SettingError
from ..progress import SILENT, Progress
from ..tensor_files import write_tensors
from .entries import CacheEntry
from .entry_file import NAME, MaskStorage, entry_file_name, write_entry
from .export_text import reference_text, text_metadata, why_no_text
from .image_conditioning import IMAGE, MASK_CHANNELS
from .reference_files import CHANNELS, ReferenceArchitecture, text_file_of
from .store import LatentCache


def export_reference(
    cache: LatentCache, directory: Path, architecture: str = "", progress: Progress = SILENT, with_text: bool = True
) -> dict[str, Any]:
    """Write every entry into `directory`, all in one folder, in the form of `architecture` (empty: the cache's own).

    WAN's and Qwen-Image's latents are normalised, HunyuanVideo's raw; what an image-to-video model is given goes along
    for WAN, control images for Qwen-Image. Where any entry has weights, one without gets full ones, as the reference
    system writes them. Captions go along where ComfyUI's text encoder of that very model embedded them, alone; without
    `with_text`, or where another did, the other trainer has to.

    Returns {"items": [{"name", "file", "weights": own|full|none}], "counts", "messages"}. CacheError when the cache is
    stale, of an unknown architecture or for one-frame training, a caption means something else in ComfyUI, or a file is
    there already; nothing is written then.
    """
    target = _resolve_architecture(cache, architecture)
    if cache.stale_entries:
        raise CacheError(
            f"{len(cache.stale_entries)} entries of {cache.directory} are stale ({cache.stale_entries[0].name}: "
            f"{cache.stale_entries[0].reason}); run CacheLatents again before the export."
        )
    if any(entry.target_index is not None for entry in cache.entries):
        raise CacheError(
            f"{cache.directory} is for one-frame training, for which musubi-tuner needs CLIP vision features that are "
            "not cached here; cache it with the other trainer."
        )
    files = _file_names(cache, target)
    edited = any(entry.references for entry in cache.entries)
    why_not = why_no_text(cache, target) if with_text else "as asked"
    if edited and not why_not:
        why_not = "an edit model's are embedded together with its control images"
    captions = {} if why_not else _caption_files(cache, files, target)
    for caption in set(captions.values()):
        reference_text(cache, caption, target)  # what cannot be exported is said before anything is written
    there = [directory / file for file in (*files.values(), *captions) if (directory / file).exists()]
    if there:
        raise CacheError(f"{there[0]} is there already ({len(there)} such files); export into a new folder.")
    masked = any(entry.origin is not MaskOrigin.NONE for entry in cache.entries)
    rows: list[dict[str, object]] = []
    for number, entry in enumerate(cache.entries):
        progress.update(number, len(cache.entries), entry.name)
        kind = "none" if not masked else "full" if entry.origin is MaskOrigin.NONE else "own"
        _write_latents(cache, entry, directory / files[entry.name], target, kind)
        rows.append({"name": entry.name, "file": files[entry.name], "weights": kind})
    for file, caption in captions.items():
        write_tensors(directory / file, reference_text(cache, caption, target), text_metadata(caption, target))
    progress.update(len(rows), len(rows))
    counts = Counter(row["weights"] for row in rows)
    messages = [f"Captions are not exported ({why_not}); cache them with the other trainer."] if why_not else []
    if any(entry.image_channels for entry in cache.entries):
        messages.append(
            "First frames go along; for WAN 2.1's image-to-video models musubi-tuner wants CLIP vision features as "
            "well, which its own caching makes."
            if target is ReferenceArchitecture.WAN
            else "First frames are not exported: only WAN's image-to-video models are known."
        )
    if edited:
        messages.append(
            "Control images go along as Qwen-Image-Edit's."
            if target is ReferenceArchitecture.QWEN_IMAGE
            else "Control images are not exported: only Qwen-Image-Edit's are known."
        )
    if counts["full"]:
        messages.append(f"{counts['full']} items had no mask (no alpha + no file). Filled with full-weight (255).")
    exported = {"captions": len(captions)} if captions else {}
    return {"items": rows, "counts": {"entries": len(rows), **counts, **exported}, "messages": messages}


def _resolve_architecture(cache: LatentCache, architecture: str) -> ReferenceArchitecture:
    name = architecture or cache.architecture
    known = ", ".join(known.value for known in ReferenceArchitecture)
    if name not in {known.value for known in ReferenceArchitecture}:
        raise SettingError(f"The architecture {name!r} cannot be exported; known are {known}.")
    target = ReferenceArchitecture(name)
    # WAN and Qwen-Image share one autoencoder, so its latents alone do not tell them apart.
    shared = {ReferenceArchitecture.WAN.value, ReferenceArchitecture.QWEN_IMAGE.value}
    if name != cache.architecture and {name, cache.architecture} != shared:
        raise CacheError(f"{cache.directory} was made for {cache.architecture} and cannot be exported as {name}.")
    channels = cache.entries[0].latent_shape[0]
    if channels != CHANNELS:
        raise CacheError(f"{cache.directory} has latents of {channels} channels; {name} has {CHANNELS}.")
    return target


def _file_names(cache: LatentCache, target: ReferenceArchitecture) -> dict[str, str]:
    """By entry: the last part of its name, as the other trainer knows it; where two share it, the whole name."""
    short = Counter(PurePosixPath(entry.name).name for entry in cache.entries)
    names: dict[str, str] = {}
    for entry in cache.entries:
        last = PurePosixPath(entry.name).name
        key = last if short[last] == 1 else entry.name.replace("/", "_")
        names[entry.name] = entry_file_name(key, entry.image_size, target.value)
    twice = [file for file, count in Counter(names.values()).items() if count > 1]
    if twice:
        raise CacheError(f"Two entries would be written to {twice[0]}; rename one of the photographs.")
    return names


def _caption_files(cache: LatentCache, files: Mapping[str, str], target: ReferenceArchitecture) -> dict[str, str]:
    """By the name of its file: each caption. The clips of a video share one."""
    captions: dict[str, str] = {}
    for entry in cache.entries:
        file = text_file_of(files[entry.name], target)
        if captions.setdefault(file, entry.caption) != entry.caption:
            raise CacheError(f"Two captions would be written to {file}; give the clips of a video one caption.")
    return captions


def _write_latents(cache: LatentCache, entry: CacheEntry, path: Path, target: ReferenceArchitecture, kind: str) -> None:
    latent_CThw = cache.latent(entry)
    weights_1Thw = cache.weights(entry)
    if kind == "full":
        weights_1Thw = torch.ones(1, *entry.latent_shape[1:])
    metadata = {
        "architecture": target.full_name,
        "width": str(entry.image_size[0]),
        "height": str(entry.image_size[1]),
        # Pictures, not latent frames: of a clip the first stands alone, then each latent frame is four.
        "frame_count": str((entry.latent_shape[1] - 1) * 4 + 1),
    }
    if PurePosixPath(entry.name).name not in path.name and entry.name.replace("/", "_") not in path.name:
        metadata[NAME] = entry.name
    image_CThw: torch.Tensor | None = None
    if entry.image_channels and target is ReferenceArchitecture.WAN:
        given_CThw = cache.conditioning(entry)[IMAGE][0]
        image_CThw = torch.cat([given_CThw[:MASK_CHANNELS], target.from_raw(given_CThw[MASK_CHANNELS:])])
    references: list[torch.Tensor] = []
    if target is ReferenceArchitecture.QWEN_IMAGE:
        references = [target.from_raw(latent_1CThw[0]) for latent_1CThw in cache.references(entry).values()]
    own = target.from_raw(latent_CThw)
    write_entry(path, own, weights_1Thw, MaskStorage.FLOAT32, metadata, image_CThw, references)
