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
    # Installed as a pack we lie in <ComfyUI>/custom_nodes/<this folder>.
    candidates = [Path(__file__).absolute().parents[3]]
    if os.environ.get("COMFYUI_PATH"):
        candidates.insert(0, Path(os.environ["COMFYUI_PATH"]))
    for candidate in candidates:
        if (candidate / "comfy").is_dir() and (candidate / "folder_paths.py").is_file():
            return f"ComfyUI     {candidate}"
    return "ComfyUI     not found beside this pack or in COMFYUI_PATH; `maskloss run` works without it"
