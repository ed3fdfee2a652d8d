"""An open cache: its entries, and the tensors read from its directory.

Shapes: latents (C,T,h,w), weights (1,T,h,w), both on the latent grid. Sizes are (width, height).
"""

from __future__ import annotations

import hashlib
import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import torch

from ..dataset.items import MaskOrigin
from ..errors import CacheError
from ..fingerprints import fingerprint_of
from ..video.reader import VIDEO_SUFFIXES
from ..warning import warn
from .encoders import SHOWN
from .entries import CacheEntry, StaleEntry
from .entry_file import read_image, read_latent, read_references, read_tensor_names, read_tensors, read_weights
from .image_conditioning import FRAMES, IMAGE, MASK_CHANNELS, frame_numbers
from .index import INDEX_FILE, SHARDS_DIRECTORY, TEXT_DIRECTORY, CacheIndex, entry_files, read_index
from .inpainting import holes_of
from .reference_files import ReferenceArchitecture, read_reference
from .reference_text import holds_embeddings, read_reference_text
from .references import as_given, pictures_key
from .sources import find_changed_sources


@dataclass(frozen=True, eq=False)
class LatentCache:
    """An open cache. Tensors are read, and checked, when they are asked for.

    `encoder` and `text_encoder` are identities (None: no text is cached). With `reference` the files are the reference
    system's, and `notes` say what is not known of them; `reference_text_files` maps captions to its files of
    embeddings, where these are used. With `is_shard` the entries are those of one shard of a dataset, of a cache that
    other processes may still be filling.
    """

    directory: Path
    architecture: str
    encoder: str
    entries: Sequence[CacheEntry]
    text_encoder: str | None = None
    reference: ReferenceArchitecture | None = None
    notes: tuple[str, ...] = ()
    is_shard: bool = False
    reference_text_files: Mapping[str, str] = field(default_factory=dict[str, str])

    @property
    def fingerprint(self) -> str:
        """Hex SHA-256 over everything that training on this cache depends on."""
        # Of the JSON of [architecture, encoder, text encoder, entries], of which no more than one is made at a time.
        digest = hashlib.sha256(json.dumps([self.architecture, self.encoder, self.text_encoder])[:-1].encode())
        between = ", ["
        for entry in self.entries:
            described = [
                *(entry.name, entry.latent_fingerprint, entry.mask_fingerprint, entry.caption, entry.repeats),
                *([entry.regularisation] if entry.regularisation else []),
            ]
            digest.update((between + json.dumps(described)).encode())
            between = ", "
        digest.update(b"]]" if self.entries else b", []]")
        return digest.hexdigest()

    @cached_property
    def stale_entries(self) -> tuple[StaleEntry, ...]:
        """Entries whose sources have changed, checked when first asked for. A source whose size or time of change
        differs is hashed; only different content counts."""
        return self.find_stale_entries()

    @cached_property
    def missing_sources(self) -> tuple[str, ...]:
        """Names of entries whose sources are no longer there; such entries are still valid."""
        return tuple(find_changed_sources(self.entries)[1])

    def latent(self, entry: CacheEntry) -> torch.Tensor:
        """(C,T,h,w) float32, raw. CacheError naming the file when it is missing or damaged."""
        latent_CThw = read_latent(self.directory / entry.file, entry.latent_shape, entry.latent_fingerprint)
        return latent_CThw if self.reference is None else self.reference.to_raw(latent_CThw)

    def weights(self, entry: CacheEntry) -> torch.Tensor | None:
        """(1,T,h,w) float32 in [0, 1], or None where the picture had no mask. CacheError as `latent`."""
        weights = read_weights(self.directory / entry.file, (1, *entry.latent_shape[1:]), entry.mask_fingerprint)
        if (weights is None) != (entry.origin is MaskOrigin.NONE):
            found = "no mask_weights" if weights is None else "mask_weights"
            raise CacheError(
                f"The cache file {self.directory / entry.file} holds {found}, but the index says that its mask came "
                f"from {entry.origin.value}; run CacheLatents again."
            )
        return weights

    def conditioning(self, entry: CacheEntry) -> dict[str, torch.Tensor]:
        """What an image-to-video model is given with the entry: `image_conditioning` (1,4+C,T,h,w) float32, a mask that
        is 1 where frames are given, and raw latents; for a one-frame entry `frame_indices` (T,), too. An inpainting
        model is given `inpaint_conditioning` or `vace_conditioning` (see `inpainting`). Empty where the cache has none.
        CacheError as `latent`."""
        if entry.image_channels == 0:
            return {}
        shape = (entry.image_channels, *entry.latent_shape[1:])
        image_CThw = read_image(self.directory / entry.file, shape, entry.latent_fingerprint)
        if holes := holes_of(entry.image_channels, entry.latent_shape[0]):
            return {holes: image_CThw[None]}
        if self.reference is not None:
            raw_CThw = self.reference.to_raw(image_CThw[MASK_CHANNELS:])
            image_CThw = torch.cat([image_CThw[:MASK_CHANNELS], raw_CThw])
        frames = frame_numbers(entry)
        return {IMAGE: image_CThw[None], **({FRAMES: torch.tensor(frames)} if frames else {})}

    def references(self, entry: CacheEntry) -> Mapping[str, torch.Tensor]:
        """What an edit model is given with the entry: raw latents (1,C,1,h,w) float32 of its control images, each at
        its own size, by `REFERENCE` and number. CacheError as `latent`."""
        if entry.references == 0:
            return {}
        found = read_references(self.directory / entry.file, entry.references, entry.latent_fingerprint)
        return as_given(found if self.reference is None else [self.reference.to_raw(each) for each in found])

    def text(self, entry: CacheEntry) -> dict[str, torch.Tensor]:
        """The embeddings of the entry's caption. CacheError when CacheText has not run since it changed."""
        return self.caption_text(entry.caption, entry)

    def example_text(self) -> dict[str, torch.Tensor]:
        """What a model is given with one entry, to try it with: embeddings, and references where any entry has some.
        CacheError as `text`."""
        entry = next((each for each in self.entries if each.references), self.entries[0])
        return {**self.text(entry), **self.references(entry)}

    def empty_text(self) -> dict[str, torch.Tensor]:
        """The embeddings of the empty caption. CacheError as `text`."""
        return self.caption_text("")

    def find_stale_entries(self) -> tuple[StaleEntry, ...]:
        """The entries whose sources have changed, checked now: files may change while a cache stays open."""
        reasons: dict[str, list[str]] = {}
        for name, source in find_changed_sources(self.entries)[0]:
            is_video = source.role == "image" and source.path.suffix.lower() in VIDEO_SUFFIXES
            reasons.setdefault(name, []).append(f"its {'video' if is_video else source.role} {source.path}")
        return tuple(
            StaleEntry(name, f"{', '.join(sources)} changed after it was cached") for name, sources in reasons.items()
        )

    def missing_captions(self) -> tuple[str, ...]:
        """Captions, the empty one among them, whose embeddings are not on disk; all of them before CacheText ran."""
        shown = {("", ""): None}
        for entry in self.entries:
            shown |= dict.fromkeys((caption, self._shown(entry)) for caption in ("", entry.caption))
        return tuple(dict.fromkeys(caption for caption, pictures in shown if not self._has(caption, pictures)))

    def has_text(self, caption: str, entry: CacheEntry | None = None) -> bool:
        """Whether the embeddings of a caption are on disk, for `entry`: where the text encoder was shown its control
        images, with these."""
        return self._has(caption, self._shown(entry))

    def text_file(self, caption: str, entry: CacheEntry | None = None) -> str:
        """Where the embeddings of a caption lie below the directory, for `entry` as in `has_text`."""
        return text_file_name(self.text_encoder or "", caption, self._shown(entry))

    def _has(self, caption: str, shown: str) -> bool:
        if self.text_encoder is None:
            return False
        if self.reference_text_files:
            return caption in self.reference_text_files
        return (self.directory / text_file_name(self.text_encoder, caption, shown)).exists()

    def _shown(self, entry: CacheEntry | None) -> str:
        sees = entry is not None and (self.text_encoder or "").endswith(SHOWN)
        return pictures_key(entry) if entry is not None and sees else ""

    def origin_counts(self) -> dict[MaskOrigin, int]:
        """How many entries have their weights from where; regularisation images, which need none, are not counted."""
        counts = Counter(entry.origin for entry in self.entries if not entry.regularisation)
        return {origin: counts[origin] for origin in MaskOrigin}

    def caption_text(self, caption: str, entry: CacheEntry | None = None) -> dict[str, torch.Tensor]:
        """The embeddings of a caption, for `entry` as in `has_text`. CacheError as `text`."""
        if self.text_encoder is None:
            raise CacheError(f"The cache {self.directory} holds no text; run CacheText on it.")
        theirs = self.reference_text_files.get(caption)
        path = self.directory / (theirs or self.text_file(caption, entry))
        if (self.reference_text_files and theirs is None) or not path.exists():
            raise CacheError(
                f"The cache {self.directory} holds no text for the caption {caption!r}; run CacheText again."
            )
        if theirs and self.reference is not None:
            return read_reference_text(path, self.reference)
        return read_tensors(path)


def text_file_name(text_encoder: str, caption: str, shown: str = "") -> str:
    """Where the embeddings of a caption lie below the cache's directory; `shown`: beside which pictures."""
    parts = [text_encoder, caption, *([shown] if shown else [])]
    digest = hashlib.sha256(json.dumps(parts).encode()).hexdigest()
    return f"{TEXT_DIRECTORY}/{digest}.safetensors"


def open_cache(directory: Path) -> LatentCache:
    """Open a cache by its index; of the entries' files no more is looked at than their size.

    A directory of the reference system's files has no index of ours; what is in them is used as it is. CacheError
    naming the file when the index is missing, empty, damaged or unfinished, or an entry's file is missing or cut off.
    """
    if not (directory / INDEX_FILE).exists():
        opened = _open_reference(directory)
        if opened is not None:
            return opened
    return open_index(directory, read_index(directory))


def open_index(directory: Path, index: CacheIndex) -> LatentCache:
    """The cache in `directory` as `index` describes it. CacheError as `open_cache`."""
    if not index.complete:
        shards = sorted(path.stem.partition("-")[2] for path in (directory / SHARDS_DIRECTORY).glob("*.json"))
        if shards:
            raise CacheError(
                f"Not all shards of the cache {directory} are finished (only {', '.join(shards)}); run the others, or "
                "CacheLatents without --shard, it goes on from there."
            )
        raise CacheError(f"Caching into {directory} was broken off; run CacheLatents again, it goes on from there.")
    if not index.entries:
        raise CacheError(f"The cache {directory} is empty; run CacheLatents on a dataset that has items.")
    start = f"{directory}/"
    for file, size in entry_files(index.entries):
        _check_file(start + file, size)
    return LatentCache(directory, index.architecture, index.encoder, index.entries, index.text_encoder)


def _open_reference(directory: Path) -> LatentCache | None:
    found = read_reference(directory)
    if found is None:
        return None
    notes = [f"{directory} is another trainer's cache: every entry counts once, its photographs are not known."]
    if found.with_clip_vision:
        notes.append(
            warn(
                f"{found.with_clip_vision} entries hold CLIP vision features, which are not used: sample without "
                "clip_vision_output what is trained on them."
            )
        )
    if found.without_caption:
        notes.append(
            warn(f"{len(found.without_caption)} entries have no caption beside them, as {found.without_caption[0]}.")
        )
    text_encoder, reference_text_files = found.text_encoder, {}
    if text_encoder is None:
        reference_text_files = {
            caption: file
            for caption, file in found.caption_files.items()
            if holds_embeddings(read_tensor_names(directory / file), found.architecture)
        }
    if reference_text_files:
        # The files bear no hash.
        stamps = [(file, *_status(directory / file)) for file in sorted(reference_text_files.values())]
        text_encoder = f"reference-{found.architecture.full_name}-{fingerprint_of(*stamps)[:16]}"
        notes.append(f"The embeddings of {len(reference_text_files)} captions are used as they lie there.")
    return LatentCache(
        directory,
        found.architecture.value,
        f"reference-{found.architecture.full_name}",
        found.entries,
        text_encoder,
        reference=found.architecture,
        notes=tuple(notes),
        reference_text_files=reference_text_files,
    )


def _status(path: Path) -> tuple[int, int]:
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def _check_file(path: str, size: int) -> None:
    # A path as text, because there may be 100,000.
    try:
        found = os.stat(path).st_size
    except FileNotFoundError:
        raise CacheError(f"The cache file {path} is missing; run CacheLatents again.") from None
    if found != size:
        raise CacheError(f"The cache file {path} has {found} bytes instead of {size}; run CacheLatents again.")
