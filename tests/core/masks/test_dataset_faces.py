"""All faces of a dataset, found once: what is kept on disk is read again, and a line cut off is found anew."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
from maskloss.core.dataset.items import DatasetItem, LoadSettings
from maskloss.core.masks.dataset_faces import VIDEO_FRAMES, FaceFile, dataset_faces
from maskloss.core.masks.each_item import ItemWork

from .colour_people import GREEN, RED, ColourRecognizer, draw_people


def test_faces_are_kept_and_a_damaged_line_is_found_again(scene: Callable[..., Path], tmp_path: Path) -> None:
    items = [DatasetItem(name, scene(name, (20 + n, RED), (80, GREEN)), LoadSettings()) for n, name in enumerate("ab")]
    path, recognizer = tmp_path / "kept/faces.jsonl", ColourRecognizer()
    first = dataset_faces(items, recognizer, FaceFile(path), ItemWork())
    assert [(face.item.name, face.index, face.frame) for face in first] == [
        ("a", 0, None), ("a", 1, None), ("b", 0, None), ("b", 1, None),
    ]  # fmt: skip
    assert recognizer.calls == 2
    again = dataset_faces(items, recognizer, FaceFile(path), ItemWork())
    assert recognizer.calls == 2
    assert [face.key for face in again] == [face.key for face in first]
    np.testing.assert_array_equal(again[3].embedding, first[3].embedding)
    assert again[0].side_px == 30
    assert first[0].read().shape == (120, 200, 3)
    path.write_text(path.read_text()[:-40])
    dataset_faces(items, recognizer, FaceFile(path), ItemWork())
    assert recognizer.calls == 3


def test_of_a_video_some_frames_are_looked_at(video: Callable[..., Path], tmp_path: Path) -> None:
    path = video("set/film.mkv", [draw_people((20 + t, RED, True)) for t in range(30)])
    item = DatasetItem("film", path, LoadSettings())
    faces = dataset_faces([item], ColourRecognizer(), FaceFile(tmp_path / "faces.jsonl"), ItemWork())
    assert len(faces) == VIDEO_FRAMES
    assert [face.frame for face in faces][::7] == [0, 29]
    assert len({face.key for face in faces}) == VIDEO_FRAMES
    assert faces[-1].read()[30, 55:60].max() >= 240
