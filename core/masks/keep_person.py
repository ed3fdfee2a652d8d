"""Only the one person keeps weight: everyone else's pixels become 0, in every photograph and video of a dataset.

It fails closed. A photograph in which the person cannot be told apart is left out, emptied or an error, as the rules
say; it never keeps everyone. `_HW` pixel grid.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from ..dataset.crops import refuse_crops
from ..dataset.files import check_case
from ..dataset.items import Dataset, DatasetItem, LeftOut, person_item_name
from ..errors import DatasetError, SettingError
from ..people.decision import MatchRules, OnNoMatch, Outcome
from ..people.people import TOGETHER
from ..progress import SILENT
from ..warning import warn
from .build_masks import STEP as BUILD_STEP
from .each_item import DEFAULT_WORK, Advance, ItemWork, each_item
from .items_elsewhere import each_item_elsewhere
from .keeping import Keeping, KeepingInVideo
from .keeping_unit import STEP, Several, Shared, with_mask
from .known_hair import known_hair_values
from .ledger import open_ledger, target_for
from .licences import biometrics_warnings
from .person_report import LEFT_OUT, PersonRow, person_report
from .person_search import PersonSearch, open_instances


@dataclass(frozen=True)
class PersonOutput:
    """Where the masks of the one person go, and how they are cut.

    The person's mask grows by `dilate_px`, and outside of it the weights fall off over `feather_px`. Binary masks of
    the person are written to `instance_directory`, where `instances_writable`; one that someone put or edited there is
    used as it is, found by name as a mask file is. With `overwrite` files in `directory` that were edited by hand are
    replaced.
    """

    directory: Path
    dilate_px: int = 0
    feather_px: int = 0
    instance_directory: Path | None = None
    instances_writable: bool = True
    overwrite: bool = False


def keep_person(
    dataset: Dataset, search: PersonSearch, output: PersonOutput, work: ItemWork = DEFAULT_WORK
) -> tuple[Dataset, dict[str, Any]]:
    """Write `<output.directory>/<name>.png`, the weights where the person is and 0 elsewhere, for every item.

    A video's are in one `<name>.mkv`, one mask per frame; every n-th is looked at. An item without a mask counts fully
    where the person is. Unchanged work is skipped.

    Returns the dataset without the items that are left out (they are in `left_out`), and the report {"items": [{"name",
    "state": written|unchanged|kept|left out, "faces", "decision", "reason", "area", "coverage", "video"}], doubtful
    ones first, "counts", "text", "warnings": [sentences]}. PersonError names the item; SettingError and
    DatasetError say what does not fit.
    """
    refuse_crops(dataset, "Keep Person")
    rows = [row for (row,) in keep_each(dataset, search, output, work)]
    items: list[DatasetItem] = []
    left_out: list[LeftOut] = []
    for item, row in zip(dataset.items, rows, strict=True):
        if row.state == LEFT_OUT:
            left_out.append(LeftOut(replace(item, person=row.decision), row.reason))
        else:
            items.append(with_mask(item, target_for(item, output.directory), row.decision, row.state == "kept"))
    warnings = keeping_warnings(dataset, output, rows)
    unsure = (Outcome.SKIPPED, Outcome.EMPTY, Outcome.LARGEST)
    if rows and all(row.decision is not None and row.decision.outcome in unsure for row in rows):
        warnings.append(warn(_nobody(rows)))
    report = {**person_report(rows), "warnings": warnings}
    return Dataset(tuple(items), dataset.left_out + tuple(left_out), dataset.found), report


def keep_each(
    dataset: Dataset,
    search: PersonSearch,
    output: PersonOutput,
    work: ItemWork,
    several: Several | None = None,
) -> list[list[PersonRow]]:
    """Write the masks of every item: that of the one person, or of each of `several`. Of each item, a row for each."""
    known = known_hair_values(dataset.items, BUILD_STEP)
    workers, margins_px = work.worker_count(search.recognizer, search.segmenter), (output.dilate_px, output.feather_px)
    named = dataset.items if several is None else items_of_people(dataset.items, several)
    _check(dataset, named, output, search.choices, search.rules)
    with (
        open_ledger(output.directory, STEP) as ledger,
        open_instances(output.instance_directory, named, output.instances_writable) as instances,
    ):
        shared = Shared(
            search, ledger, instances, output.directory, margins_px, output.overwrite, work.video_every, workers, known,
            several,
        )  # fmt: skip
        steps = _KeepingSteps(shared)
        if work.spread is not None:
            return each_item_elsewhere(dataset.items, steps, work.spread, work.progress)
        return each_item(dataset.items, steps.photograph, steps.video, work.video_every, workers, work.progress)


@dataclass(frozen=True, eq=False)
class _KeepingSteps:
    shared: Shared

    def look(self, item: DatasetItem) -> list[PersonRow] | None:
        nothing = Advance(SILENT, 1)
        return (KeepingInVideo(item, self.shared, nothing) if item.is_video else Keeping(item, self.shared)).look()

    def photograph(self, item: DatasetItem) -> list[PersonRow]:
        return Keeping(item, self.shared).run()

    def video(self, item: DatasetItem, advance: Advance) -> list[PersonRow]:
        return KeepingInVideo(item, self.shared, advance).run()


def items_of_people(items: Sequence[DatasetItem], several: Several) -> list[DatasetItem]:
    """The items called as those of each of several people, and of all together where they are asked for."""
    names = [person.name for person in several.people] + ([TOGETHER] if several.together else [])
    return [replace(item, name=person_item_name(item.name, name)) for item in items for name in names]


def keeping_warnings(dataset: Dataset, output: PersonOutput, rows: Sequence[PersonRow]) -> list[str]:
    """What is warned of when masks are kept, whoever's they are."""
    warnings = [warn(text) for text in biometrics_warnings(dataset, BUILD_STEP)]
    made = sum(row.decision is not None for row in rows)
    if output.instance_directory is not None and not output.instances_writable and made:
        warnings.append(
            warn(
                f"{output.instance_directory} has no masks of {made} items and is only read, so what was found is not "
                "written there."
            )
        )
    return warnings


def _nobody(rows: Sequence[PersonRow]) -> str:
    """What is said where the person was recognised in none of the photographs, although that is no error."""
    alike = [
        (face.similarity, row.name)
        for row in rows
        for face in (row.decision.faces if row.decision is not None else ())
        if face.similarity is not None
    ]
    found = "no face was found in any" if not alike else f"the most alike is {max(alike)[0]:.2f}, in {max(alike)[1]}"
    largest = any(row.decision is not None and row.decision.outcome is Outcome.LARGEST for row in rows)
    left = "only the largest faces were kept, whoever they are" if largest else "nothing is left to train on"
    return (
        f"The person was recognised in none of {len(rows)} photographs and videos, so {left}: {found}. Look at the "
        "reference faces; give more or better ones, or lower min_similarity."
    )


def _check(
    dataset: Dataset,
    named: Sequence[DatasetItem],
    output: PersonOutput,
    choices: Mapping[str, int],
    rules: MatchRules,
) -> None:
    output_directory = output.directory
    instance_directory = output.instance_directory if output.instances_writable else None
    # What another shard of the dataset works on is left out here, and may be named all the same.
    names = [*(item.name for item in named), *(left.item.name for left in dataset.left_out)]
    for name in choices:
        if name not in names:
            near = difflib.get_close_matches(name, names, n=1, cutoff=0.0)
            raise SettingError(
                f"choices names {name!r}, which is no item of the dataset; did you mean {', '.join(map(repr, near))}?"
            )
    if instance_directory is not None and instance_directory.resolve() == output_directory.resolve():
        raise SettingError(f"instance_directory and output_directory are both {output_directory}; give two folders.")
    check_case((item.name for item in named), output_directory)
    for item in named:
        target = target_for(item, output_directory)
        if instance_directory is not None:
            target_for(item, instance_directory)
        if item.mask_path is not None and item.mask_path.resolve() == target.resolve():
            raise DatasetError(
                f"The mask of everyone in {item.name} lies at {target}, where that of the one person would go; "
                "choose another output_directory."
            )
        if item.is_video and item.name in choices:
            raise SettingError(
                f"choices names the video {item.name}, in which a face's number changes from frame to frame; take the "
                "line out, and give reference pictures that look like the person there."
            )
        if item.is_video and rules.on_no_match is OnNoMatch.LARGEST:
            raise SettingError(
                f"on_no_match is largest, and in the video {item.name} the largest face may be another person's in "
                "every frame; choose skip, empty or error."
            )
