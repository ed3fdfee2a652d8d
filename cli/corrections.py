"""`maskloss corrections`: masks that were corrected by hand, listed, reverted, and taken elsewhere as files."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from ..core.corrections.marks import ChosenFace
from ..core.corrections.override import SUFFIX, read_correction, write_correction
from ..core.corrections.store import CorrectionStore, check_fits
from ..core.dataset.files import hash_of, list_files
from ..core.errors import DatasetError, PathError
from ..core.images import IMAGE_SUFFIXES, image_size
from ..nodes.corrections import DIRECTORY


def print_corrections(output: Path) -> None:
    """List every correction below `output`, which is ComfyUI's output folder or that of `maskloss run`."""
    store = _store(output)
    count = 0
    for kept in store.kept():
        there = "" if kept.photograph is None or kept.photograph.is_file() else "  (the photograph is gone)"
        print(f"{kept.photograph or kept.path}  {kept.fraction:.1%} painted{there}")
        count += 1
    print(f"{count} corrections in {store.directory}")
    for name, marks in store.all_marks():
        said = ["done"] * marks.done + ["left out"] * marks.left_out
        if marks.face is not None:
            said.append("the person is at " + ", ".join(f"{edge:.1%}" for edge in marks.face.box))
        print(f"{name}  {', '.join(said)}")


def revert(output: Path, photographs: Sequence[Path]) -> None:
    """Take the corrections of these photographs away. PathError where one has none."""
    store = _store(output)
    for photograph in photographs:
        if not store.revert(photograph):
            raise PathError(
                f"{photograph} has no correction in {store.directory}; `maskloss corrections list` names those that "
                "have."
            )
        print(f"reverted {photograph}")


def leave_out(output: Path, photographs: Sequence[Path], take_back: bool) -> None:
    """Leave these photographs out of every dataset from its next run on, or take them back. PathError where one is not
    there."""
    store = _store(output)
    for photograph in map(_there, photographs):
        store.mark(photograph, lambda marks: replace(marks, left_out=not take_back))
        print(f"{photograph} is {'taken back' if take_back else 'left out'}")


def choose(output: Path, photograph: Path, box: Sequence[float] | None) -> None:
    """Have Keep Person take the face at `box` (left, top, right, bottom in pixels of the upright photograph, as its
    report gives them) for the person's; None: look for the person again.

    PathError where the photograph is not there, ImageError where it cannot be read, SettingError for a box outside it.
    """
    photograph = _there(photograph)
    face = None
    if box is not None:
        width, height = image_size(photograph)
        left, top, right, bottom = (edge / side for edge, side in zip(box, (width, height) * 2, strict=True))
        face = ChosenFace((left, top, right, bottom), hash_of(photograph))
    _store(output).mark(photograph, lambda marks: replace(marks, face=face))
    print(f"{photograph}: {'the person is looked for' if face is None else 'the person is chosen'}")


def export(output: Path, folder: Path) -> None:
    """Copy every correction into a new folder, as PNG files named after their photographs."""
    store = _store(output)
    if folder.exists() and any(folder.iterdir()):
        raise PathError(f"{folder} is not empty; name a new folder.")
    taken: set[str] = set()
    for kept in store.kept():
        name = kept.path.name
        if name in taken:  # photographs of several folders
            name = f"{kept.path.parent.name}_{name}"
        taken.add(name)
        write_correction(folder / name, read_correction(kept.path))
    print(f"{len(taken)} corrections exported to {folder}")


def import_(output: Path, folder: Path, photographs: Path, replace_existing: bool) -> None:
    """Keep the corrections that lie in `folder` for the photographs below `photographs`: each for the photograph that
    it was painted over, wherever that lies now; one that another program has written for the photograph of its name.

    PathError and ImageError before anything is kept where one belongs to none.
    """
    store = _store(output)
    for path in (folder, photographs):
        if not path.is_dir():
            raise PathError(f"{path} is no folder; name one.")
    pictures = [file.path for file in list_files(photographs, recursive=True) if _is_picture(file.path)]
    by_content = {hash_of(path): path for path in pictures}
    by_name = {path.name + SUFFIX: path for path in pictures}
    found: list[tuple[Path, Path]] = []
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        over = read_correction(path).over
        photograph = by_name.get(path.name) if over is None else by_content.get(over.photograph)
        if photograph is None:
            raise PathError(
                f"{path} belongs to none of the {len(pictures)} photographs below {photographs}; give the folder they "
                "lie in, or take the file away."
            )
        check_fits(path, image_size(photograph), photograph)
        if store.find(photograph) is not None and not replace_existing:
            raise DatasetError(
                f"{photograph} has a correction already; revert it (`maskloss corrections revert`), or give --replace."
            )
        found.append((path, photograph))
    for path, photograph in found:
        store.put(photograph, read_correction(path), replace_existing)
    print(f"{len(found)} corrections imported to {store.directory}")


def _there(photograph: Path) -> Path:
    if not photograph.is_file():
        raise PathError(f"{photograph} is not there; name a photograph.")
    return photograph.absolute()


def _store(output: Path) -> CorrectionStore:
    return CorrectionStore(output.absolute() / DIRECTORY)


def _is_picture(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES
