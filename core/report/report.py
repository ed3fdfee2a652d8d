"""One page about a whole run: every photograph, who was kept and why, what training used, and how the loss went."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from ..cache.store import LatentCache
from ..dataset.items import Dataset
from ..errors import PathError, SettingError
from ..files import write_text
from ..mask_weights import MaskLossSettings
from ..masks.named_tiers import named_tiers
from ..progress import SILENT, Progress
from ..warning import warn
from .approximate import approximate_names
from .facts import RunFacts, read_lora, weight_legend
from .page import GENERATOR, Photograph, render
from .pictures import TrainedWeights, cached_row, kept_row, left_out_row
from .scanned import mask_reads, names_found, read_table, with_read
from .scores import choice_line, draw_checkpoints, draw_samples, scores_in
from .thumbnails import Thumbnails

INDEX, IMAGES = "index.html", "images"


def write_report(
    directory: Path,
    dataset: Dataset | None,
    cache: LatentCache | None,
    loss: Mapping[str, Sequence[Any]] | None,
    lora_path: Path | None,
    settings: MaskLossSettings | None = None,
    progress: Progress = SILENT,
    given: Sequence[tuple[str, str]] = (),
) -> tuple[Path, list[str]]:
    """Write `directory`/index.html, `directory`/images/*.jpg, and `directory`/viewer, in which the photographs can be
    looked through; the page last, so that it is whole or as it was.

    Whatever is None is left away. `loss` is a LOSS_MAP: one float per optimizer step under "loss", "inside", "outside",
    …, [step, value] pairs under "validation", and checkpoints' scores under "scores". Without `settings`, those that
    the LoRA file names are used. `given` are the warnings of the run so far, each as (who gave it, text).
    Returns the page and the same in at most ten lines. SettingError when everything is None; PathError when there is
    no LoRA at lora_path, or the directory holds an index.html that is not ours. What cannot be read of a single
    photograph is said in its row.
    """
    if dataset is None and cache is None and loss is None and lora_path is None:
        raise SettingError("There is nothing to report: connect a dataset, a cache, a loss or give a lora_path.")
    index = directory / INDEX
    _check_ours(index)
    lora = None if lora_path is None else read_lora(lora_path)
    used = settings or (lora.settings if lora else None)
    thumbnails = Thumbnails(directory / IMAGES)
    kept, left_out, guessed = _rows(dataset, TrainedWeights(cache, used), thumbnails, progress)
    reads = mask_reads(dataset)
    kept = [with_read(row, reads) for row in kept]
    facts = RunFacts(dataset, cache, loss, lora, used, guessed, tuple(given))
    for text in facts.own_warnings():
        warn(text)
    scores = scores_in(loss)
    checkpoints = draw_checkpoints(scores, lora_path, thumbnails)
    page = facts.page(kept, left_out, checkpoints)
    legend = weight_legend((thumbnails.tiers if thumbnails.tiers.found else thumbnails.cells).values())
    look = thumbnails.look.write("the photographs of this run", named_tiers(dataset.items if dataset else ()))
    samples = None if scores else draw_samples(lora_path, thumbnails)
    rest = {"mask_reads": read_table(reads), "found": names_found(dataset), "weight_legend": legend, "look": look}
    write_text(index, render(replace(page, samples=samples, **rest)))
    thumbnails.remove_others()
    lines = facts.lines(index)
    # At most ten lines: what to keep stands before the last one, which is the page.
    return index, [*lines[:-1][:8], choice_line(scores), lines[-1]] if scores else lines


def _rows(
    dataset: Dataset | None, trained: TrainedWeights, thumbnails: Thumbnails, progress: Progress
) -> tuple[list[Photograph], list[Photograph], int]:
    """The rows of those kept and those left out, and of how many the parts were guessed."""
    items = dataset.items if dataset else ()
    gone = dataset.left_out if dataset else ()
    names = {item.name for item in items}
    others = [entry for entry in (trained.cache.entries if trained.cache else ()) if entry.item_name not in names]
    total = len(items) + len(others) + len(gone)
    everything = [*items, *(each.item for each in gone)]
    guessed = approximate_names(everything)
    kept: list[Photograph] = []
    for item in items:
        progress.update(len(kept), total, item.name)
        kept.append(kept_row(item, trained, thumbnails, item.name in guessed))
    for entry in others:
        progress.update(len(kept), total, entry.name)
        kept.append(cached_row(entry, trained, thumbnails))
    left_out: list[Photograph] = []
    for each in gone:
        progress.update(len(kept) + len(left_out), total, each.item.name)
        left_out.append(left_out_row(each, thumbnails, each.item.name in guessed))
    progress.update(total, total)
    return kept, left_out, len({item.whole_name for item in everything if item.name in guessed})


def _check_ours(index: Path) -> None:
    if not index.exists():
        return
    if not index.is_file() or GENERATOR not in index.read_text(encoding="utf-8", errors="replace")[:2000]:
        raise PathError(
            f"{index} was not written by this report and is left as it is: choose another output_directory, or move "
            "it away."
        )
