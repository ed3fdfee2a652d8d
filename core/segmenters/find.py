"""Which weights the user has, and the segmenters and recognisers made of them.

Names are paths inside the model folders with "/" between their parts, so that a workflow means the same everywhere.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from pathlib import Path

from ..bundled.part_segmenter import BundledPartSegmenter
from ..bundled.person_segmenter import BundledPersonSegmenter
from ..bundled.recognizer import BundledFaceRecognizer
from ..errors import SettingError
from ..parts.part_map import PartSegmenter
from ..people.faces import FaceRecognizer
from ..people.instances import PersonSegmenter
from .face_parser import HeadsOnPeople
from .insightface_faces import InsightFaceRecognizer, pack_directory
from .model_files import locate
from .sam import SAM, SamPersonSegmenter
from .sapiens import SAPIENS, SapiensPartSegmenter
from .transformers_parts import TRANSFORMERS, TransformersPartSegmenter
from .yolo_seg import YOLO, YoloPersonSegmenter

BUNDLED = "bundled"

_SAM_SUFFIXES = frozenset({".pth", ".pt", ".safetensors"})
_SCRIPT_SUFFIXES = frozenset({".pt", ".pt2"})
_CONFIG = "config.json"


def find_person_segmenters(sam_folders: Sequence[Path], yolo_folders: Sequence[Path]) -> list[str]:
    """Checkpoints in ComfyUI's `sams` and .onnx files in its `ultralytics/segm`, sorted."""
    return sorted({*_files(sam_folders, _SAM_SUFFIXES), *_files(yolo_folders, frozenset({".onnx"}))})


def find_part_segmenters(folders: Sequence[Path]) -> list[str]:
    """TorchScript files (.pt, .pt2) and transformers directories (with a config.json) under `folders`, sorted."""
    directories = {
        config.parent.relative_to(folder).as_posix()
        for folder in folders
        for config in _walk(folder)
        if config.name == _CONFIG and config.parent != folder
    }
    return sorted({*_files(folders, _SCRIPT_SUFFIXES), *directories})


def find_face_packs(roots: Sequence[Path]) -> list[str]:
    """Packs of insightface: directories with .onnx files in `<root>/models` or `<root>` itself, sorted."""
    return sorted(
        {
            directory.name
            for root in roots
            for folder in (root / "models", root)
            for directory in (folder.iterdir() if folder.is_dir() else ())
            if directory.is_dir() and any(directory.glob("*.onnx"))
        }
    )


def load_person_segmenter(name: str, sam_folders: Sequence[Path], yolo_folders: Sequence[Path] = ()) -> PersonSegmenter:
    """What `name` stands for: `bundled`, a YOLO-seg .onnx, or a checkpoint of segment-anything.

    Nothing large is read yet. Raises ModelMissingError when it is not there, SettingError when it is of another kind.
    """
    if name == BUNDLED:
        return BundledPersonSegmenter()
    suffix = Path(name).suffix.lower()
    if suffix == ".onnx":
        return YoloPersonSegmenter(locate(name, yolo_folders, YOLO))
    if suffix in _SAM_SUFFIXES:
        return SamPersonSegmenter(locate(name, sam_folders, SAM))
    raise SettingError(
        f"The person segmenter {name!r} is neither 'bundled', an .onnx file of YOLO-seg, nor a checkpoint of "
        "segment-anything (.pth, .pt, .safetensors): choose one from the list."
    )


def load_part_segmenter(name: str, folders: Sequence[Path]) -> PartSegmenter:
    """What `name` stands for: `bundled`, a TorchScript file of Sapiens, or a directory of transformers.

    A face-only parser gets its faces and bodies from the bundled models. Nothing large is read yet. Raises
    ModelMissingError when files are missing, UserError when a directory's classes fit no table.
    """
    if name == BUNDLED:
        return BundledPartSegmenter()
    if Path(name).suffix.lower() in _SCRIPT_SUFFIXES:
        return SapiensPartSegmenter(locate(name, folders, SAPIENS))
    path = locate(name, folders, TRANSFORMERS)
    if not path.is_dir():
        raise SettingError(
            f"The part segmenter {name!r} is neither 'bundled', a TorchScript file of Sapiens (.pt, .pt2), nor a "
            "directory with a config.json: choose one from the list."
        )
    parser = TransformersPartSegmenter(path)
    return HeadsOnPeople(parser, BundledFaceRecognizer(), BundledPersonSegmenter()) if parser.face_only else parser


def load_face_recognizer(name: str, roots: Sequence[Path]) -> FaceRecognizer:
    """What `name` stands for: `bundled`, or a pack of insightface under `roots`. Raises ModelMissingError."""
    return BundledFaceRecognizer() if name == BUNDLED else InsightFaceRecognizer(pack_directory(name, roots))


def _files(folders: Iterable[Path], suffixes: frozenset[str]) -> set[str]:
    return {
        path.relative_to(folder).as_posix()
        for folder in folders
        for path in _walk(folder)
        if path.suffix.lower() in suffixes and (path.parent == folder or not (path.parent / _CONFIG).is_file())
    }


def _walk(folder: Path) -> Iterable[Path]:
    """Every file under the folder, through links too, but hidden ones, such as the caches that downloads leave.

    A link to a directory in which it lies itself is not followed.
    """
    above: dict[str, frozenset[str]] = {os.fspath(folder): frozenset({os.path.realpath(folder)})}
    for directory, subdirectories, names in os.walk(folder, followlinks=True):
        own, open_ones = above.pop(directory), list[str]()
        for name in subdirectories:
            real = os.path.realpath(path := os.path.join(directory, name))
            if not name.startswith(".") and real not in own:
                open_ones.append(name)
                above[path] = own | {real}
        subdirectories[:] = open_ones
        yield from (Path(directory, name) for name in names if not name.startswith("."))
