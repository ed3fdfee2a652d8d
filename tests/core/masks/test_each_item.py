"""Progress counts photographs and frames, and rows keep the items' order."""

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from maskloss.core.dataset.items import DatasetItem, LoadSettings
from maskloss.core.errors import ModelRunError
from maskloss.core.images import image_size
from maskloss.core.masks.each_item import Advance, each_item, segmented_frames
from maskloss.core.model_runs import convert_model_errors

# Only for what never comes: nothing is measured by it.
SECONDS = 600


class Watching:
    def __init__(self) -> None:
        self.seen: list[tuple[int, int, str]] = []

    def update(self, done: int, total: int, text: str = "", preview_HWC: np.ndarray | None = None) -> None:
        self.seen.append((done, total, text))


def test_every_nth_frame_and_the_last() -> None:
    assert segmented_frames(9, 4) == [0, 4, 8]
    assert segmented_frames(10, 4) == [0, 4, 8, 9]
    assert segmented_frames(1, 4) == [0]
    assert segmented_frames(3, 1) == [0, 1, 2]


def test_photographs_first_then_videos_frame_by_frame(
    photograph: Callable[..., Path], video: Callable[..., Path]
) -> None:
    items = [
        DatasetItem(path.stem, path, LoadSettings())
        for path in (photograph("set/a.png"), video("set/b.mkv", frames=6), photograph("set/c.png"))
    ] + [DatasetItem("d", video("set/d.mkv", frames=5), LoadSettings())]
    watching = Watching()

    def work(item: DatasetItem, advance: Advance) -> str:
        if item.name == "b":
            advance(1, "frame 1")
        return item.name.upper()

    rows = each_item(items, lambda item: item.name, work, 4, 2, watching)
    assert rows == ["a", "B", "c", "D"]
    assert watching.seen == [
        (0, 7, "a"), (1, 7, "c"), (2, 7, "b"), (3, 7, "frame 1"), (5, 7, "d"), (7, 7, ""),
    ]  # fmt: skip


@pytest.mark.parametrize(("pictures_allowed", "at_once"), [(4.0, 4), (1.9, 1)])
def test_large_photographs_are_worked_on_by_fewer(
    photograph: Callable[..., Path], monkeypatch: pytest.MonkeyPatch, pictures_allowed: float, at_once: int
) -> None:
    paths = [photograph(f"set/{number}.png") for number in range(12)]
    items = [DatasetItem(path.stem, path, LoadSettings()) for path in paths]
    width, height = image_size(paths[0])
    monkeypatch.setattr("maskloss.core.masks.each_item.MAX_PIXELS", int(pictures_allowed * width * height))
    # Each waits for its company, so that how many there are hangs on no clock.
    lock, working, most, company = threading.Lock(), 0, 0, threading.Barrier(at_once)

    def work(item: DatasetItem) -> str:
        nonlocal working, most
        with lock:
            working += 1
            most = max(most, working)
        company.wait(SECONDS)
        with lock:
            working -= 1
        return item.name

    assert each_item(items, work, lambda item, _: item.name, 4, 4, Watching()) == [item.name for item in items]
    assert most == at_once


def test_a_network_that_fails_is_told_with_the_name_of_its_picture(photograph: Callable[..., Path]) -> None:
    item = DatasetItem("beach/two", photograph("set/beach/two.png"), LoadSettings())

    def fail(item: DatasetItem) -> str:
        with convert_model_errors("SegFormer", np.zeros((30, 20, 3), np.uint8)):
            raise RuntimeError("sizes differ")

    with pytest.raises(ModelRunError, match=r"SegFormer failed .* the picture beach/two, 20x30 pixels \(RuntimeError"):
        each_item([item], fail, lambda item, _: item.name, 4, 1, Watching())
