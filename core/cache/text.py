"""Caches embeddings of captions: one file per distinct caption and one for the empty caption."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from ..dataset.trigger import class_caption
from ..errors import CacheError
from ..files import lock_directory, write_json
from ..progress import SILENT, Progress
from ..spread import Piece, Spread, map_here
from ..tensor_files import write_tensors
from ..warning import warn
from .encoders import PictureTextEncoder, TextEncoder
from .entries import CacheEntry
from .entry_file import CLASS_OF, TEXT_ENCODER, is_finite, owned_copy, read_metadata
from .index import read_index, write_index
from .reference_files import TEXT_MARK
from .references import load_pictures
from .store import LatentCache


def cache_text(
    cache: LatentCache,
    encoder: TextEncoder,
    progress: Progress = SILENT,
    triggers: Sequence[tuple[str, str]] = (),
    spread: Spread | None = None,
) -> tuple[LatentCache, dict[str, object]]:
    """Encode what is not there yet: each distinct caption, and always the empty one; and each with class nouns in the
    place of `triggers` (pairs of them), which differential output preservation trains on. An encoder that can be shown
    the control images of edit models is: then each caption is embedded once for each set of these, the empty one too.

    Of a shard only that shard's captions are encoded; the last shard to finish makes the text known to the cache. With
    `spread` other processes encode.

    Returns the cache with its text, and the report {"items": [{"caption", "state": encoded|unchanged, "used_by":
    names}], "counts"}. CacheError when the encoder's values are not finite, with the caption's name, and when another
    dataset was cached into the same directory since.
    """
    _check_is_current(cache)
    shown = shown_encoder(encoder) if any(entry.references for entry in cache.entries) else None
    identity = encoder.identity if shown is None else shown.shown_identity
    texts = _needed_texts(replace(cache, text_encoder=identity), triggers)
    class_of = _class_captions(cache.entries, triggers)
    embedding = _Embedding(cache.directory, encoder, identity)
    states = {file: "unchanged" if _is_whole(cache.directory / file) else "encoded" for file in texts}
    missing = [file for file, state in states.items() if state == "encoded"]
    done = len(texts) - len(missing)
    progress.update(done, len(texts), texts[missing[0]].caption if missing else "")
    pieces = (_piece(file, texts[file], class_of) for file in missing)
    with closing(map_here(embedding, pieces) if spread is None else spread.map(embedding, pieces)) as results:
        for piece, _ in results:
            done += 1
            progress.update(done, len(texts), piece.items[0])
    progress.update(len(texts), len(texts))
    _record_encoder(cache, identity, triggers)
    if triggers and not class_of:
        warn(f"No caption has the trigger {' or '.join(word for word, _ in triggers)}, so none has a class caption.")
    bare = {entry.item_name for entry in cache.entries if not entry.caption}
    counts = {state: list(states.values()).count(state) for state in ("encoded", "unchanged")}
    of_class = {"class_captions": len(class_of)} if triggers else {}
    beside = {} if shown is None else {"with_pictures": sum(text.beside is not None for text in texts.values())}
    rows = [{"caption": each.caption, "state": states[file], "used_by": each.used_by} for file, each in texts.items()]
    return replace(cache, text_encoder=identity, reference_text_files={}), {
        "items": rows,
        "counts": {"captions": len(texts), "without_caption": len(bare), **of_class, **beside, **counts},
    }


@dataclass(frozen=True)
class _Text:
    """A caption that is to be embedded; `beside`: an entry whose control images the text encoder is shown with it."""

    caption: str
    beside: CacheEntry | None
    used_by: list[str]


def shown_encoder(encoder: TextEncoder) -> PictureTextEncoder | None:
    """The encoder as one that can be shown control images; None where it cannot."""
    return encoder if isinstance(encoder, PictureTextEncoder) and encoder.shown_identity else None


def _needed_texts(cache: LatentCache, triggers: Sequence[tuple[str, str]]) -> dict[str, _Text]:
    """By file, what is to be embedded; of entries with control images that are shown, also the empty caption."""
    texts = {cache.text_file(""): _Text("", None, [])}
    for entry in cache.entries:
        file = cache.text_file(entry.caption, entry)
        texts.setdefault(file, _Text(entry.caption, _beside(cache, entry), [])).used_by.append(entry.name)
        texts.setdefault(cache.text_file("", entry), _Text("", _beside(cache, entry), []))
    for entry in cache.entries:
        if (caption := class_caption(entry.caption, triggers)) is not None:
            text = texts.setdefault(cache.text_file(caption, entry), _Text(caption, _beside(cache, entry), []))
            if entry.name not in text.used_by:
                text.used_by.append(entry.name)
    return texts


def _beside(cache: LatentCache, entry: CacheEntry) -> CacheEntry | None:
    return entry if cache.text_file("", entry) != cache.text_file("") else None


@dataclass(frozen=True, eq=False)
class _Embedding:
    """The work on one text, which is given with its file and the captions that it is the class caption of."""

    directory: Path
    encoder: TextEncoder
    identity: str

    def __call__(self, content: tuple[str, _Text, Sequence[str]]) -> None:
        file, text, class_of = content
        shown = None if text.beside is None else shown_encoder(self.encoder)
        if text.beside is None or shown is None:
            embeddings = self.encoder.encode(text.caption)
        else:
            embeddings = shown.encode_shown(text.caption, load_pictures(text.beside))
        _write_embeddings(self.directory / file, embeddings, text.caption, self.identity, class_of)


def _piece(file: str, text: _Text, class_of: Mapping[str, Sequence[str]]) -> Piece[tuple[str, _Text, Sequence[str]]]:
    content = file, replace(text, used_by=[]), class_of.get(text.caption, ())
    return Piece((text.caption or "the empty caption",), content)


def _class_captions(entries: Sequence[CacheEntry], triggers: Sequence[tuple[str, str]]) -> dict[str, list[str]]:
    """Captions with class nouns in the place of triggers, and the captions that they are made from."""
    found: dict[str, list[str]] = {}
    for caption in dict.fromkeys(entry.caption for entry in entries):
        text = class_caption(caption, triggers)
        if text is not None:
            found.setdefault(text, []).append(caption)
    return found


def _check_is_current(cache: LatentCache) -> None:
    if cache.reference is not None or cache.is_shard:
        return
    index = read_index(cache.directory)
    # Unfinished means that another process is at work there, which does not change the captions of this one.
    if index.complete and index.entries != cache.entries:
        raise CacheError(
            f"The cache {cache.directory} was filled anew since it was opened; run CacheLatents again, and give each "
            "dataset a cache_directory of its own."
        )


def _record_encoder(cache: LatentCache, identity: str, triggers: Sequence[tuple[str, str]]) -> None:
    if cache.reference is not None:
        # An index of ours would hide what the other trainer caches there later.
        write_json(cache.directory / TEXT_MARK, {"text_encoder": identity})
        return
    with lock_directory(cache.directory):
        index = read_index(cache.directory)
        if cache.is_shard:
            whole = replace(cache, entries=index.entries, text_encoder=identity)
            if not index.complete or not all(
                (cache.directory / file).exists() for file in _needed_texts(whole, triggers)
            ):
                return  # another shard is to come, and will find everything there
        if index.text_encoder != identity:
            write_index(cache.directory, replace(index, text_encoder=identity))


def _is_whole(path: Path) -> bool:
    """Whether the embeddings are there; their length is checked with the header, their values were when written."""
    if not path.exists():
        return False
    try:
        read_metadata(path)
    except CacheError:
        return False
    return True


def _write_embeddings(
    path: Path, tensors: Mapping[str, torch.Tensor], caption: str, encoder: str, class_of: Sequence[str]
) -> None:
    for key, tensor in tensors.items():
        if not is_finite(tensor):
            raise CacheError(
                f"The text encoder gave values that are not finite for the caption {caption!r} ({key}); try it in "
                "float32."
            )
    stored = {key: owned_copy(tensor) for key, tensor in tensors.items()}
    metadata = {"maskloss_caption": caption, TEXT_ENCODER: encoder}
    # A cache that is looked through knows by it that the text is still of use.
    write_tensors(path, stored, metadata | ({CLASS_OF: json.dumps(class_of)} if class_of else {}))
