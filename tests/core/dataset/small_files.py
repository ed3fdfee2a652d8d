"""Small files of a dataset's folders."""

from __future__ import annotations

from pathlib import Path

from maskloss.core.dataset.items import LoadSettings
from maskloss.core.video.clips import VideoSettings
from PIL import Image

SMALL = LoadSettings(resolution=(64, 64), video=VideoSettings(target_frames=(5,)))


def draw(path: Path, value: int = 255) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("L", (64, 64), value).save(path, "PNG")
    return path


def write(path: Path, text: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path
