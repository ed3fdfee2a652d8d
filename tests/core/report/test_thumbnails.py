"""The pictures of a report are named by what they show; those of earlier reports go."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from maskloss.core.report.thumbnails import LONGEST_PX, Thumbnails
from PIL import Image

PICTURE = np.full((400, 1280, 3), 90, np.uint8)


def test_a_picture_is_small_and_has_one_file_however_often_it_is_added(tmp_path: Path) -> None:
    thumbnails = Thumbnails(tmp_path / "images")
    first, second = thumbnails.add("Photograph", PICTURE, "large"), thumbnails.add("Photograph", PICTURE)
    assert (first.file, first.size, first.text) == (second.file, (LONGEST_PX, 200), "large")
    (path,) = (tmp_path / "images").iterdir()
    assert first.file == f"images/{path.name}"
    with Image.open(path) as shown:
        assert (shown.format, shown.size) == ("JPEG", first.size)


def test_only_what_an_earlier_report_wrote_is_removed(tmp_path: Path) -> None:
    Thumbnails(tmp_path).add("old", PICTURE)
    (tmp_path / "mine.jpg").touch()
    again = Thumbnails(tmp_path)
    kept = again.add("new", PICTURE + 1).file.partition("/")[2]
    again.remove_others()
    assert {path.name for path in tmp_path.iterdir()} == {"mine.jpg", kept}
