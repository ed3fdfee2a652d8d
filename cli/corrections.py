"""`maskloss corrections`: masks that were corrected by hand, listed, reverted, and taken elsewhere as files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ..core.corrections.frames import FRAMES, frame_path, frames_in, notes_of, paths_of
from ..core.corrections.marks import ChosenFace
from ..core.corrections.marks_file import Marked, find_marked, read_marks, write_marks
from ..core.corrections.override import SUFFIX, read_correction, write_correction
from ..core.corrections.store import MARKS_FILE, PEOPLE, CorrectionStore, check_fits
from ..core.dataset.files import hash_of, list_files
from ..core.errors import DatasetError, PathError
from ..core.images import IMAGE_SUFFIXES, image_size
from ..core.video.reader import VIDEO_SUFFIXES, probe
from ..nodes.corrections import DIRECTORY


def print_corrections(output: Path) -> None:
    """List every correction below `output`, which is ComfyUI's output folder or that of `maskloss run`."""
    store = _store(output)
    count = 0
    for kept in store.kept():
        there = "" if kept.photograph is None or kept.photograph.is_file() else "  (the photograph is gone)"
        print(f"{kept.photograph or kept.path}{_of(kept.person)}  {kept.fraction:.1%} painted{there}")
        count += 1
    for kept in store.kept_frames():
        there = "" if kept.video is None or kept.video.is_file() else "  (the video is gone)"
        print(
            f"{kept.video or kept.path}{_of(kept.person)}  painted in frames {', '.join(map(str, kept.frames))}{there}"
        )
        count += 1
    print(f"{count} corrections in {store.directory}")
    for name, marks in store.all_marks():
        for person, each in (("", marks), *marks.people):
            said = ["done"] * each.done + ["left out"] * each.left_out
            if each.face is not None:
                said.append("the person is at " + ", ".join(f"{edge:.1%}" for edge in each.face.box))
            if said:
                print(f"{name}{_of(person)}  {', '.join(said)}")


def revert(output: Path, photographs: Sequence[Path], frame: int | None = None, person: str = "") -> None:
    """Take the corrections of these photographs and videos away, or of one `frame` of these videos; with `person` those
    of that person's items of them. PathError where there is none."""
    store = _store(output).of(person)
    where = "" if frame is None else f" of frame {frame}"
    for photograph in photographs:
        if not (store.revert(photograph) if frame is None else store.revert_frame(photograph, frame)):
            raise PathError(
                f"{photograph}{_of(person)} has no correction{where} in {store.directory}; `maskloss corrections list` "
                "names those that have."
            )
        print(f"reverted {photograph}{_of(person)}{where}")


def leave_out(output: Path, photographs: Sequence[Path], take_back: bool, person: str = "") -> None:
    """Leave these photographs, or one `person`'s items of them, out of every dataset from its next run on, or take them
    back. PathError where one is not there."""
    store = _store(output).of(person)
    for photograph in map(_there, photographs):
        store.mark(photograph, lambda marks: replace(marks, left_out=not take_back))
        print(f"{photograph}{_of(person)} is {'taken back' if take_back else 'left out'}")


def choose(output: Path, photograph: Path, box: Sequence[float] | None, person: str = "") -> None:
    """Have Keep Person take the face at `box` (left, top, right, bottom in pixels of the upright photograph, as its
    report gives them) for the person's, or Keep People for that of one `person`; None: look for the person again.

    PathError where the photograph is not there, ImageError where it cannot be read, SettingError for a box outside it.
    """
    photograph = _there(photograph)
    face = None
    if box is not None:
        width, height = image_size(photograph)
        left, top, right, bottom = (edge / side for edge, side in zip(box, (width, height) * 2, strict=True))
        face = ChosenFace((left, top, right, bottom), hash_of(photograph))
    _store(output).of(person).mark(photograph, lambda marks: replace(marks, face=face))
    print(f"{photograph}{_of(person)}: {'the person is looked for' if face is None else 'the person is chosen'}")


def export(output: Path, folder: Path) -> None:
    """Copy every correction into a new folder, as PNG files named after their photographs; those of a video's frames in
    a folder named after the video, and those of people's items in one named after the photograph or video. What else
    was decided (done, left out, faces) goes into marks.json."""
    store = _store(output)
    if folder.exists() and any(folder.iterdir()):
        raise PathError(f"{folder} is not empty; name a new folder.")
    taken: dict[str, str] = {}
    count = 0
    for kept in (*store.kept(), *store.kept_frames()):
        owner, name, *below = kept.path.relative_to(store.directory).parts
        if taken.setdefault(name, owner) != owner:  # photographs of several folders
            name = f"{owner}_{name}"
        target = Path(folder, name, *below)
        count += 1
        for path in paths_of(kept.path):
            write_correction(target if path == kept.path else target / path.name, read_correction(path))
    marked = [
        Marked(place.partition("/")[0].rpartition("-")[0], place.partition("/")[2], marks)
        for place, marks in store.all_marks()
    ]
    if marked:
        write_marks(folder / MARKS_FILE, marked)
    print(f"{count} corrections exported to {folder}")
    print(f"{len(marked)} photographs or videos with marks")


def import_(output: Path, folder: Path, photographs: Path, replace_existing: bool) -> None:
    """Keep the corrections that lie in `folder` for the photographs and videos below `photographs`: each for the one
    that it was painted over, wherever that lies now; one that another program has written for the one of its name.
    What is in marks.json likewise.

    PathError and ImageError before anything is kept where one belongs to none.
    """
    store = _store(output)
    for path in (folder, photographs):
        if not path.is_dir():
            raise PathError(f"{path} is no folder; name one.")
    known = [file.path for file in list_files(photographs, recursive=True) if _is_picture(file.path)]
    by_content = {hash_of(path): path for path in known}
    by_name = {path.name + ending: path for path in known for ending in (FRAMES if _is_video(path) else SUFFIX, PEOPLE)}
    found: list[tuple[Path, Path, str]] = []
    places = [f"{below}*{ending}" for below in ("", f"*{PEOPLE}/") for ending in (SUFFIX, FRAMES)]
    for path in sorted(path for place in places for path in folder.glob(place)):
        over = {note.photograph for note in notes_of(path)}
        person = path.stem if path.parent != folder else ""
        name = path.parent.name if person else path.name
        photograph = by_content.get(min(over)) if len(over) == 1 else None if over else by_name.get(name)
        if photograph is None or _is_video(photograph) != path.is_dir():
            raise PathError(
                f"{path} belongs to none of the {len(known)} photographs and videos below {photographs}; give the "
                "folder they lie in, or take the file away."
            )
        size = probe(photograph).size if path.is_dir() else image_size(photograph)
        for file in paths_of(path):
            check_fits(file, size, photograph)
        if store.of(person).find(photograph) is not None and not replace_existing:
            raise DatasetError(
                f"{photograph}{_of(person)} has a correction already; revert it (`maskloss corrections revert`), or "
                "give --replace."
            )
        found.append((path, photograph, person))
    marked = [(find_marked(each, known, by_content), each.marks) for each in read_marks(folder / MARKS_FILE)]
    for photograph, marks in marked:
        there = store.marks(photograph.parent).get(photograph.name, marks)
        if there != marks and not replace_existing:
            raise DatasetError(f"{photograph} has other marks already (done, left out or a face); give --replace.")
    for path, photograph, person in found:
        if path.is_dir():
            frames = {frame: read_correction(frame_path(path, frame)) for frame in frames_in(path)}
            store.of(person).put_frames(photograph, frames, replace_existing)
        else:
            store.of(person).put(photograph, read_correction(path), replace_existing)
    for photograph, marks in marked:
        store.mark(photograph, lambda _, own=marks: own)
    print(f"{len(found)} corrections imported to {store.directory}")
    print(f"{len(marked)} photographs or videos with marks")


def _there(photograph: Path) -> Path:
    if not photograph.is_file():
        raise PathError(f"{photograph} is not there; name a photograph.")
    return photograph.absolute()


def _of(person: str) -> str:
    return f" ({person})" if person else ""


def _store(output: Path) -> CorrectionStore:
    return CorrectionStore(output.absolute() / DIRECTORY)


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES or _is_video(path)


def _is_video(path: Path) -> bool:
    return path.suffix.lower() in VIDEO_SUFFIXES
