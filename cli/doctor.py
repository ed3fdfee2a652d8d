"""`maskloss doctor`: what is installed, what is missing, and what the missing part would enable."""

from __future__ import annotations

import importlib
import importlib.util
import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

from ..core.bundled.install import state

# Distributions that can give a module, the module, what it is for.
DEPENDENCIES = (
    (("torch",), "torch", "everything"),
    (("torchvision",), "torchvision", "SAM as person segmenter"),
    (("numpy",), "numpy", "everything"),
    (("Pillow",), "PIL", "reading and writing images"),
    (("opencv-python", "opencv-python-headless", "opencv-contrib-python"), "cv2", "the bundled models and resizing"),
    (("safetensors",), "safetensors", "caches and LoRA files"),
    (("ImageHash",), "imagehash", "finding copies of training photographs"),
    (("segment-anything",), "segment_anything", "SAM checkpoints as person segmenter"),
    (("insightface",), "insightface", "insightface packs as face recogniser"),
    (("onnxruntime", "onnxruntime-gpu"), "onnxruntime", "insightface packs and YOLO-seg models"),
)


def report_lines() -> list[str]:
    """The whole report, a line each."""
    lines = [f"Python      {platform.python_version()} ({sys.executable})"]
    lines += [_dependency_line(*dependency) for dependency in DEPENDENCIES]
    lines += [_device_line(), _comfyui_line(), "", "Bundled models"]
    missing = 0
    for file, path, present in state():
        missing += not present
        lines.append(f"  {'ok     ' if present else 'missing'} {path}" + ("" if present else f": {file.enables}"))
    if missing:
        lines.append(f"  {missing} missing: run `maskloss models --install`")
    lines += ["", "Your own models (`maskloss run` sees those of this pack, the nodes ComfyUI's too)", *_own_models()]
    return lines


def _own_models() -> list[str]:
    """A line for each model found, and one that says what it would be good for where a kind has none."""
    try:
        from ..core.host import LocalHost
        from ..core.host.host import ModelKind
        from ..core.segmenters import find
        from ..core.segmenters.insightface_faces import INSIGHTFACE
        from ..core.segmenters.sam import SAM
        from ..core.segmenters.sapiens import SAPIENS
        from ..core.segmenters.transformers_parts import TRANSFORMERS
        from ..core.segmenters.yolo_seg import YOLO
    except ImportError as error:
        return [f"  not looked for: {error}"]
    kinds = (
        (ModelKind.PARTS, find.find_part_segmenters, (SAPIENS, TRANSFORMERS)),
        (ModelKind.SAM, lambda folders: find.find_person_segmenters(folders, ()), (SAM,)),
        (ModelKind.YOLO, lambda folders: find.find_person_segmenters((), folders), (YOLO,)),
        (ModelKind.INSIGHTFACE, find.find_face_packs, (INSIGHTFACE,)),
    )
    comfyui = _comfyui()
    lines: list[str] = []
    for kind, look, sources in kinds:
        theirs = () if comfyui is None else [comfyui / "models" / name for name in kind.folder_names]
        folders = dict.fromkeys((*theirs, *LocalHost().model_folders(kind)))
        purposes = " or ".join(source.purpose for source in sources)
        found = [f"  found   {name} in {folder}: {purposes}" for folder in folders for name in look([folder])]
        lines += found or [
            f"  none    for {source.purpose}: {source.example} (licence: {source.licence}; source: {source.source})"
            for source in sources
        ]
    return lines


def _dependency_line(distributions: tuple[str, ...], module: str, enables: str) -> str:
    # find_spec, because importing everything to look at it takes seconds.
    if importlib.util.find_spec(module) is None:
        return f"missing     {distributions[0]}: needed for {enables}; run `pip install {distributions[0]}`"
    for distribution in distributions:
        try:
            return f"ok          {distribution} {version(distribution)}"
        except PackageNotFoundError:
            continue
    return f"ok          {module} (version unknown)"


def _device_line() -> str:
    if importlib.util.find_spec("torch") is None:
        return "device      unknown without torch"
    torch = importlib.import_module("torch")
    if torch.cuda.is_available():
        return f"device      {torch.cuda.get_device_name(0)} (CUDA {torch.version.cuda})"
    return "device      CPU (no CUDA device; training works and is slow)"


def _comfyui_line() -> str:
    comfyui = _comfyui()
    if comfyui is not None:
        return f"ComfyUI     {comfyui}"
    return "ComfyUI     not found beside this pack or in COMFYUI_PATH; `maskloss run` works without it"


def _comfyui() -> Path | None:
    # Installed as a pack we lie in <ComfyUI>/custom_nodes/<this folder>.
    candidates = [Path(__file__).absolute().parents[3]]
    if os.environ.get("COMFYUI_PATH"):
        candidates.insert(0, Path(os.environ["COMFYUI_PATH"]))
    found = (place for place in candidates if (place / "comfy").is_dir() and (place / "folder_paths.py").is_file())
    return next(found, None)
