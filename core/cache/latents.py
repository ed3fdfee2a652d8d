"""Caches a dataset: its pictures as latents on disk, with their mask weights on the latent grid.

Sizes are (width, height).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..dataset.corrected import correction_messages
from ..dataset.files import check_case
from ..dataset.items import Dataset, MaskOrigin
from ..dataset.load import check_required
from ..dataset.shard import Shard
from ..errors import CacheError, DatasetError, PathError, SettingError
from ..files import lock_directory, sweep
from ..progress import SILENT, Progress
from ..spread import Spread, collect_failures
from ..warning import warn
from .encode_elsewhere import encode_elsewhere
from .encode_missing import encode_missing
from .encoders import LatentEncoder
from .entries import CacheEntry
from .entry_file import COVERAGE, ORIGIN, read_header
from .image_conditioning import MASK_CHANNELS
from .index import INDEX_FILE, CacheIndex, orphan_files, write_index
from .index_columns import EntryTable
from .plan import DEFAULT_SETTINGS, Action, CacheSettings, CachingRules, ItemPlan, plan_item
from .reference_files import holds_reference_files
from .references import check_all_have_references
from .shards import begin_shard, finish_shard, forget_shards, index_before, shard_job, shard_messages
from .store import LatentCache, open_index


def cache_latents(
    dataset: Dataset,
    encoder: LatentEncoder,
    directory: Path,
    settings: CacheSettings = DEFAULT_SETTINGS,
    batch_size: int = 1,
    progress: Progress = SILENT,
    shard: Shard | None = None,
    spread: Spread | None = None,
) -> tuple[LatentCache, dict[str, Any]]:
    """Cache every photograph of `dataset`, and every clip of its videos, in `directory`; entries up to date are kept.

    A changed mask rewrites the weights and keeps the latent; a changed image, bucket or encoder encodes again. Pictures
    of one bucket, and clips of one bucket and length, are encoded in batches of `batch_size`. After an interruption the
    next call goes on where this one stopped, and until then the cache does not open. Entries are in the order of their
    names.

    With `image_conditioning`, what an image-to-video model is given goes along: the clip's first frame and grey, or
    with `one_frame` the control frames and grey in the target's place; of a model of pictures what an inpainting model
    is: the photograph with grey where its mask has weight. Without `one_frame` a photograph's control
    images are cached as references of edit models, each at its own size.

    With `shard`, `dataset` is that shard of a dataset that several processes cache together. The cache opens when the
    last one is finished; the cache that comes back holds this shard's entries and is good for `cache_text` only. With
    `spread` other processes encode; an item that cannot be worked on is one of ItemsFailedError's then.

    Returns the cache and the report {"items": [{"name", "state": encoded|weights rewritten|unchanged, "origin",
    "coverage", "bucket", "latent"}], "counts", "orphans": files of no item, "messages"}. MaskMissingError, ImageError
    and SettingError name the item.
    """
    _check(dataset, directory, batch_size, shard)
    with collect_failures(spread) as failures:
        for item in dataset.items:
            with failures.of(item.name):
                check_required(item)
    if settings.one_frame is None:
        check_all_have_references(dataset.items)
    sweep(directory)
    rules = CachingRules(encoder, directory, settings)
    corrected = correction_messages(dataset.items)
    plans: list[ItemPlan] = []
    with collect_failures(spread) as failures:
        for item in dataset.items:
            progress.update(0, len(dataset.items), f"looking at {item.name}")
            with failures.of(item.name):
                plans += plan_item(item, rules)
    _check_names(plans, directory)
    job_of = (encoder.identity, settings.storage, settings.one_frame, settings.image_conditioning)
    job = "" if shard is None else shard_job(dataset, *job_of)
    if any(plan.action is not Action.NOTHING for plan in plans):
        # Until the last file is written the cache must not open, or training would silently use half a dataset.
        _mark_unfinished(rules)
        if shard is not None:
            begin_shard(directory, shard, job)
    if spread is None:
        plans = encode_missing(plans, rules, batch_size, progress)
    else:
        plans = encode_elsewhere(plans, rules, batch_size, progress, spread)
    entries = EntryTable.from_entries(_make_entry(plan, rules) for plan in sorted(plans, key=lambda plan: plan.name))
    index = CacheIndex(encoder.architecture, encoder.identity, entries)
    if shard is None:
        index = _write_whole_index(directory, index)
        report = _report(plans, entries, orphan_files(directory, entries), directory)
        report["messages"] += corrected
        return open_index(directory, index), report
    missing = finish_shard(directory, shard, job, index)
    report = _report(plans, entries, (), directory)
    report["messages"] = [*shard_messages(shard, len(entries), missing, directory), *report["messages"], *corrected]
    return LatentCache(directory, index.architecture, index.encoder, entries, is_shard=True), report


def _check(dataset: Dataset, directory: Path, batch_size: int, shard: Shard | None) -> None:
    if not dataset.items and (shard is None or not dataset.left_out):
        left = len(dataset.left_out)
        raise DatasetError(f"The dataset has no items ({left} were left out), so there is nothing to cache.")
    if batch_size < 1:
        raise SettingError(f"batch_size is {batch_size}; it must be at least 1.")
    if directory.exists() and not directory.is_dir():
        raise PathError(f"The cache_directory {directory} is a file; give a folder.")
    if not (directory / INDEX_FILE).exists() and holds_reference_files(directory):
        raise CacheError(f"{directory} is another trainer's cache, which is only read; choose another cache_directory.")


def _mark_unfinished(rules: CachingRules) -> None:
    before = index_before(rules.directory)
    text_encoder = None if before is None else before.text_encoder
    encoder = rules.encoder
    unfinished = CacheIndex(encoder.architecture, encoder.identity, (), text_encoder, complete=False)
    if unfinished != before:
        write_index(rules.directory, unfinished)


def _write_whole_index(directory: Path, index: CacheIndex) -> CacheIndex:
    """The index of all entries, with the text that was there."""
    with lock_directory(directory):
        before = index_before(directory)
        whole = replace(index, text_encoder=None if before is None else before.text_encoder)
        if whole != before:
            write_index(directory, whole)
    forget_shards(directory)
    return whole


def _check_names(plans: Sequence[ItemPlan], directory: Path) -> None:
    check_case((plan.name for plan in plans), directory)
    twice = [name for name, count in Counter(plan.name for plan in plans).items() if count > 1]
    if twice:
        raise DatasetError(f"A photograph is called {twice[0]}, as a clip of a video is; rename the photograph.")


def _make_entry(plan: ItemPlan, rules: CachingRules) -> CacheEntry:
    header = plan.header or read_header(plan.path)
    one_frame = rules.settings.one_frame
    return CacheEntry(
        name=plan.name,
        file=plan.file,
        origin=MaskOrigin(header.metadata[ORIGIN]),
        coverage=float(header.metadata[COVERAGE]),
        repeats=plan.item.repeats,
        regularisation=plan.item.regularisation,
        subject=plan.item.subject,
        image_size=plan.image_size,
        bucket=plan.bucket,
        latent_shape=header.latent_shape,
        caption=plan.item.caption,
        latent_fingerprint=plan.latent_fingerprint,
        mask_fingerprint=plan.mask_fingerprint,
        file_bytes=plan.path.stat().st_size,
        sources=plan.sources,
        target_index=None if one_frame is None else one_frame.target_index,
        control_indices=() if one_frame is None else one_frame.control_indices,
        image_channels=rules.image_channels(header.latent_shape[0]),
        crop=plan.crop,
        references=len(plan.references),
    )


def _report(plans: Sequence[ItemPlan], entries: EntryTable, orphans: Sequence[str], directory: Path) -> dict[str, Any]:
    actions = Counter(plan.action for plan in plans)
    origins = Counter(entry.origin for entry in entries)
    alpha, file, none = (origins[origin] for origin in (MaskOrigin.ALPHA, MaskOrigin.FILE, MaskOrigin.NONE))
    done = ", ".join(f"{actions[action]} {action.value}" for action in Action)
    messages = [f"Mask sources: alpha={alpha}, file={file}, none={none}", f"Entries: {done}."]
    filled = sum(entry.origin is MaskOrigin.NONE and not entry.regularisation for entry in entries)
    if filled:
        messages.append(warn(f"{filled} items had no mask (no alpha + no file). Filled with full-weight (255)."))
    copied = sum(
        entry.image_channels == MASK_CHANNELS + entry.latent_shape[0] and entry.latent_shape[1] == 1
        for entry in entries
    )
    if copied:
        messages.append(
            warn(
                f"{copied} entries are single pictures, given to an image-to-video model as their own first frame: it "
                "only has to copy them. Cache clips, or use one_frame."
            )
        )
    if orphans:
        messages.append(
            warn(
                f"{len(orphans)} files in {directory} belong to no item of the dataset and are not used; `maskloss "
                "cache prune` removes them."
            )
        )
    states = {plan.name: plan.action.value for plan in plans}
    return {
        "items": [
            {
                "name": entry.name, "state": states[entry.name], "origin": entry.origin.value,
                "coverage": round(entry.coverage, 6), "bucket": list(entry.bucket), "latent": list(entry.latent_shape),
            }
            for entry in entries
        ],
        "counts": {
            "items": len(entries),
            **{action.value: actions[action] for action in Action},
            **{f"mask_{origin.value}": origins[origin] for origin in MaskOrigin},
            "orphans": len(orphans),
        },
        "orphans": list(orphans),
        "messages": messages,
    }  # fmt: skip
