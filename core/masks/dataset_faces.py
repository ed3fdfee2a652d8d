"""Every face of a dataset's photographs and videos, found once and kept on disk with its embedding."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import Any

import numpy as np

from ..dataset.files import hash_of
from ..dataset.items import DatasetItem
from ..dataset.load import load_frame, load_picture
from ..errors import DiskError
from ..files import convert_disk_errors, read_text
from ..people.faces import Face, FaceRecognizer
from ..video.reader import probe
from .each_item import Advance, ItemWork, each_item

# Of a video so many frames are looked at, evenly over its length.
VIDEO_FRAMES = 8


@dataclass(frozen=True, eq=False)
class DatasetFace:
    """A face of an item, in `frame` of a video (None in a photograph). `key` is the same in every run for as long as
    the file is. box: (x0, y0, x1, y1) in pixels; score in [0, 1]; embedding float32 (K,)."""

    item: DatasetItem
    frame: int | None
    index: int
    key: str
    box: tuple[float, float, float, float]
    score: float
    embedding: np.ndarray

    @property
    def side_px(self) -> float:
        """The shorter side of the box, in pixels."""
        x0, y0, x1, y1 = self.box
        return min(x1 - x0, y1 - y0)

    def read(self) -> np.ndarray:
        """The picture that it is in, rgb_HWC uint8. ImageError and VideoError when that cannot be read."""
        return load_picture(self.item) if self.frame is None else load_frame(self.item, self.frame).rgb_HWC


class FaceFile:
    """`path` (.jsonl): a line for each picture whose faces are known, added as they are found, for several threads."""

    def __init__(self, path: Path) -> None:
        self._path, self._lock = path, Lock()
        self._known: dict[str, list[dict[str, Any]]] = {}
        for key, faces in _read_lines(path):
            self._known[key] = faces

    def get(self, key: str) -> list[dict[str, Any]] | None:
        """The faces of a picture, where they are known."""
        return self._known.get(key)

    def add(self, key: str, faces: Sequence[Face]) -> list[dict[str, Any]]:
        """Note the faces of a picture. DiskError when the disk is full or refuses."""
        rows = [
            {"box": list(face.box), "score": face.score, "embedding": np.asarray(face.embedding, np.float32).tolist()}
            for face in faces
        ]
        with self._lock, convert_disk_errors(self._path):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._path.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps({"picture": key, "faces": rows}) + "\n")
            self._known[key] = rows
        return rows


def dataset_faces(
    items: Sequence[DatasetItem], recognizer: FaceRecognizer, known: FaceFile, work: ItemWork
) -> list[DatasetFace]:
    """All faces, in the order of the items and from left to right. Of photographs with equal files the first is looked
    at alone. What is in `known` is not looked for again."""
    hashes = {item.name: hash_of(item.media_path) for item in items}
    first = {digest: name for name, digest in reversed(hashes.items())}
    once = [item for item in items if first[hashes[item.name]] == item.name]

    def look(item: DatasetItem, frame: int | None) -> list[DatasetFace]:
        key = hashes[item.name] + ("" if frame is None else f"/{frame}")
        rows = known.get(key)
        if rows is None:
            rgb_HWC = load_picture(item) if frame is None else load_frame(item, frame).rgb_HWC
            rows = known.add(key, recognizer.detect(rgb_HWC))
        return [_face(item, frame, index, key, row) for index, row in enumerate(rows)]

    def photograph(item: DatasetItem) -> list[DatasetFace]:
        return look(item, None)

    def video(item: DatasetItem, advance: Advance) -> list[DatasetFace]:
        found: list[DatasetFace] = []
        for frame in _frames(item):
            advance.check()
            found += look(item, frame)
        return found

    workers = work.worker_count(recognizer)
    rows = each_item(once, photograph, video, work.video_every, workers, work.progress)
    return [face for own in rows for face in own]


def _frames(item: DatasetItem) -> list[int]:
    count = probe(item.media_path).frames
    return sorted({round(place) for place in np.linspace(0, count - 1, min(count, VIDEO_FRAMES))})


def _face(item: DatasetItem, frame: int | None, index: int, key: str, row: dict[str, Any]) -> DatasetFace:
    x0, y0, x1, y1 = (float(edge) for edge in row["box"])
    embedding = np.asarray(row["embedding"], np.float32)
    return DatasetFace(item, frame, index, f"{key}#{index}", (x0, y0, x1, y1), float(row["score"]), embedding)


def _read_lines(path: Path) -> Iterator[tuple[str, list[dict[str, Any]]]]:
    if not path.exists():
        return
    try:
        lines: Iterable[str] = read_text(path, errors="replace").splitlines()
    except OSError as error:
        raise DiskError(f"{path} cannot be read ({error.strerror}); take it away and run again.") from error
    for line in lines:
        try:
            entry = json.loads(line)
            faces = entry["faces"]
            if all(len(face["box"]) == 4 and face["embedding"] and "score" in face for face in faces):
                yield str(entry["picture"]), list(faces)
        except (ValueError, KeyError, TypeError, RecursionError):
            continue  # cut off as it was written
