"""Items find the corrections that were painted over their masks, and what was decided about them by hand."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path

from ..corrections.frames import notes_of
from ..corrections.marks import Marks
from ..corrections.override import PaintedOver
from ..corrections.store import CorrectionStore
from ..first_names import first_names
from ..warning import warn
from .files import hash_of
from .items import Dataset, DatasetItem, LeftOut, MaskOrigin, PersonByHand, person_item_name
from .load import expected_origin
from .mask_facts import mask_digest
from .video_corrections import open_corrections

LEFT_OUT_BY_HAND = "it was left out by hand"
_ALPHA = "alpha"


def with_corrections(dataset: Dataset, store: CorrectionStore) -> tuple[Dataset, list[str]]:
    """The dataset whose photographs and videos have their corrections, and photographs the faces that were chosen in
    them, without those that were left out by hand; and what is said of them. What was decided about the items that
    people will have of them goes along. What belongs to another photograph of that name is not used, which is warned
    of. What was painted on a video's frames is carried on, which takes time once.

    ImageError, VideoError and DatasetError where what is kept is damaged.
    """
    marks: dict[Path, Mapping[str, Marks]] = {}
    items: list[DatasetItem] = []
    left_out: list[LeftOut] = []
    changed: list[str] = []
    of_people: list[str] = []
    corrected = chosen = 0
    videos: dict[Path, str] = {}
    kept_in: dict[Path, Path] = {}
    for item in dataset.items:
        folder = item.media_path.parent
        if folder not in marks:
            marks[folder] = store.marks(folder)
            kept_in[folder] = store.folder_of(folder)
        noted = marks[folder].get(item.media_path.name, Marks())
        if noted.left_out:
            left_out.append(LeftOut(item, LEFT_OUT_BY_HAND))
            continue
        path = store.find_in(kept_in[folder], item.media_path.name)
        if path is not None:
            if any(note.photograph != hash_of(item.media_path) for note in notes_of(path)):
                changed.append(item.name)
            else:
                item = replace(item, correction_path=path)
                corrected += 1
                if item.is_video:
                    videos[item.media_path] = _carried_on(item, path)
        if noted.face is not None and not item.is_video:
            if noted.face.photograph == hash_of(item.media_path):
                item = replace(item, chosen_face=noted.face.box)
                chosen += 1
            elif item.name not in changed:
                changed.append(item.name)
        people, foreign = _people_by_hand(item, noted, store, kept_in[folder])
        changed += foreign
        if people:
            item = replace(item, people_by_hand=people)
            of_people += [person_item_name(item.name, each.person) for each in people]
        items.append(item)
    messages = [f"{corrected} masks are corrected by hand."] if corrected else []
    if videos:
        messages.append(f"In videos: {first_names(list(videos.values()))}.")
    if chosen:
        messages.append(f"In {chosen} photographs the person was chosen by hand, which Keep Person goes by.")
    if of_people:
        messages.append(
            f"{len(of_people)} people's items were corrected, left out or given a face by hand, which Keep People goes "
            f"by: {first_names(of_people)}."
        )
    if left_out:
        messages.append(
            f"{len(left_out)} items are left out by hand: {first_names([left.item.name for left in left_out])}."
        )
    if changed:
        messages.append(
            warn(
                f"{len(changed)} photographs are others than those whose masks were corrected under these names, so "
                f"the corrections are not used: {first_names(changed)}. Make them again, or revert them."
            )
        )
    return replace(dataset, items=tuple(items), left_out=(*dataset.left_out, *left_out)), messages


def _people_by_hand(
    item: DatasetItem, noted: Marks, store: CorrectionStore, kept_in: Path
) -> tuple[tuple[PersonByHand, ...], list[str]]:
    """What was decided about the items that people will have of one, and the names of those of whom it belongs to
    another photograph."""
    names = {*store.people_in(kept_in, item.media_path.name), *(name for name, _ in noted.people)}
    found: list[PersonByHand] = []
    foreign: list[str] = []
    for name in sorted(names):
        marks, path = noted.of(name), store.of(name).find_in(kept_in, item.media_path.name)
        face = None if item.is_video else marks.face
        told = [] if path is None else [note.photograph for note in notes_of(path)]
        told += [] if face is None else [face.photograph]
        if any(photograph != hash_of(item.media_path) for photograph in told):
            foreign.append(person_item_name(item.name, name))
            path = face = None
        each = PersonByHand(name, path, marks.left_out, None if face is None else face.box)
        if each != PersonByHand(name):
            found.append(each)
    return tuple(found), foreign


def _carried_on(item: DatasetItem, path: Path) -> str:
    corrections = open_corrections(path, item.media_path)
    carried = sum(span.last - span.source for span in corrections.spans)
    return f"{item.name} {len(corrections.painted)} frames painted, {carried} carried on"


def base_of(item: DatasetItem) -> str:
    """What tells the mask under the item's correction from others; empty where there is none. Errors as
    `mask_facts`."""
    if expected_origin(replace(item, correction_path=None)) is MaskOrigin.ALPHA:
        return _ALPHA
    return mask_digest(item, item.mask_path, item.mask_meaning)


def painted_over(item: DatasetItem) -> PaintedOver:
    """What a correction of the item lies over now. Errors as `mask_facts`."""
    return PaintedOver(hash_of(item.media_path), base_of(item), str(item.media_path.absolute()))


def has_other_base(item: DatasetItem) -> bool:
    """Whether the mask under the item's correction is another one than it was painted over. Errors as `base_of`."""
    notes = [] if item.correction_path is None else notes_of(item.correction_path)
    bases = {note.base for note in notes}
    return bool(bases) and bases != {base_of(item)}


def correction_messages(items: Iterable[DatasetItem]) -> list[str]:
    """What is said of a dataset's corrections where their masks are used; crops share that of their photograph."""
    corrected = {(item.media_path, item.subject): item for item in items if item.correction_path is not None}
    if not corrected:
        return []
    messages = [f"{len(corrected)} masks are corrected by hand."]
    other = [item.name for item in corrected.values() if has_other_base(item)]
    if other:
        messages.append(
            warn(
                f"Under {len(other)} corrections lies another mask than they were painted over: {first_names(other)}. "
                "They are used; look at them in the viewer, or revert them with `maskloss corrections revert`."
            )
        )
    return messages
