"""`maskloss scores`: how a folder of sample pictures compares with a person and with the training photographs."""

from __future__ import annotations

from pathlib import Path

from ..core.dataset.items import Dataset
from ..core.dataset.scan import DatasetConfig, scan_dataset
from ..core.errors import PathError, SettingError
from ..core.host import LocalHost
from ..core.host.host import ModelKind
from ..core.images import check_writable_suffix, save_image
from ..core.people.references import read_pictures, reference_identity
from ..core.scores.picture_scores import PictureScorer
from ..core.scores.score_report import score_pictures
from ..core.scores.training_pictures import from_dataset, masks_for_faces
from ..core.segmenters.find import load_face_recognizer


def print_scores(
    directory: Path, faces: Path, photographs: Path | None, masks: Path | None, recognizer_name: str, sheet: Path | None
) -> None:
    """Print a table of the pictures in `directory`, and write them with their scores to `sheet` where one is named.

    faces: a picture of the person, or a folder of such. photographs, masks: of the training.
    """
    if masks is not None and photographs is None:
        raise SettingError("--masks belong to training photographs; name these with --photographs as well.")
    if sheet is not None:
        check_writable_suffix(sheet)
    for path in (directory, faces, *(each for each in (photographs, masks) if each is not None)):
        if not path.exists():
            raise PathError(f"{path} is not there; name a picture or a folder.")
    host = LocalHost()
    host.label = "scores"
    recognizer = load_face_recognizer(recognizer_name, host.model_folders(ModelKind.INSIGHTFACE))
    identity, _, _ = reference_identity(recognizer, read_pictures(faces), face_index=None)
    dataset = None if photographs is None else _dataset(photographs, masks)
    training = None if dataset is None else from_dataset(dataset, host.progress())
    pictures = read_pictures(directory)
    scores = score_pictures(pictures, PictureScorer(recognizer, identity, training), host.progress())
    print("\n".join(scores.lines()))
    licences = () if dataset is None else masks_for_faces(dataset)
    for note in (*getattr(recognizer, "notes", ()), *licences, *scores.warnings):
        print(f"note: {note}")
    if sheet is not None:
        save_image(sheet, scores.sheet(rgb_HWC for _, rgb_HWC in pictures))
        print(f"sheet: {sheet}")


def _dataset(photographs: Path, masks: Path | None) -> Dataset:
    return scan_dataset(DatasetConfig(directory=photographs, mask_directory=masks))[0]
