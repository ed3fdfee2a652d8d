"""Frames of a video through the viewer's routes: painted, carried on, told to other tabs, and taken back."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from maskloss.core.corrections.frames import frames_in
from maskloss.core.corrections.marks import Marks
from maskloss.core.dataset.items import Dataset, DatasetItem, LoadSettings
from maskloss.core.dataset.load import load_frame
from maskloss.core.images import save_image
from maskloss.core.viewer.proposals import Helper

from tests.moving_clip import SIZE, SQUARE, frames, pattern, place, square

from .small_dataset import SETTINGS, Browser, content

Make = Callable[..., Path]
FRAMES = 12
THING = (np.full((SQUARE, SQUARE), 255, np.uint8), np.ones((SQUARE, SQUARE), bool))


@pytest.fixture
def browser(tmp_path: Path, make_video: Make) -> Browser:
    """clip is a video, whose mask is 128 everywhere; p a photograph."""
    video = make_video(tmp_path / "clips/clip.mkv", frames(FRAMES), codec="ffv1", pix_fmt="yuv444p")
    save_image(tmp_path / "masks/clip.png", np.full(SIZE[::-1], 128, np.uint8))
    save_image(tmp_path / "clips/p.png", frames(1)[0])
    items = (
        DatasetItem("clip", video, LoadSettings(SIZE), tmp_path / "masks/clip.png"),
        DatasetItem("p", tmp_path / "clips/p.png", SETTINGS),
    )
    return Browser(tmp_path, dataset=Dataset(items))


def planes(browser: Browser, frame: int) -> tuple[str, np.ndarray, np.ndarray]:
    """The revision, the values, and where they are painted."""
    answer = browser.get("correction", "clip", frame=frame)
    values_HW, painted_HW = np.frombuffer(zlib.decompress(answer.body), np.uint8).reshape(2, *SIZE[::-1])
    return answer.headers["X-MaskLoss-Revision"], values_HW, painted_HW > 0


def paint(browser: Browser, frame: int, revision: str = "", value: int = 255):
    left, top = place(frame)
    values_HW = np.full_like(THING[0], value)
    return browser.paint(values_HW, THING[1], revision, "clip", left=left, top=top, frame=frame)


def nothing(browser: Browser, frame: int, revision: str):
    bare_HW = np.zeros(SIZE[::-1], np.uint8)
    return browser.paint(bare_HW, bare_HW > 0, revision, "clip", frame=frame)


def test_a_stroke_on_one_frame_is_carried_on_and_training_reads_it(browser: Browser) -> None:
    row = content(browser.get("", "clip"))
    assert (row["video"], row["frames"], row["still"], row["revision"]) == (True, FRAMES, FRAMES // 2, "")
    assert content(browser.get("frames", "clip")) == {
        "frames": FRAMES, "still": FRAMES // 2, "painted": [], "carried": [],
    }  # fmt: skip
    assert np.frombuffer(zlib.decompress(browser.get("mask", "clip", frame=3).body), np.uint8).tolist() == [128] * 15360
    revision = content(paint(browser, 3))["revision"]
    assert browser.told[-1][1]["frame"] == 3
    assert content(browser.get("frames", "clip"))["painted"] == [3]
    assert content(browser.get("frames", "clip"))["carried"] == [[3, 4, FRAMES - 1]]
    assert content(browser.get("", "clip"))["revision"]
    told, values_HW, painted_HW = planes(browser, 3)
    assert told == revision
    assert np.array_equal(painted_HW, square(3))
    carried, values_HW, painted_HW = planes(browser, 9)
    assert carried.startswith("~3~")
    assert set(values_HW[painted_HW]) == {255}
    assert (painted_HW & square(9)).sum() > 0.95 * square(9).sum()
    assert planes(browser, 2)[0] == ""
    item = browser.viewed.corrected(browser.viewed.items[0])
    assert np.array_equal(load_frame(item, 9).full_weights_HW == 1, painted_HW)


def test_a_carried_frame_is_painted_on_and_carried_on_from_there(browser: Browser) -> None:
    paint(browser, 3)
    carried, _, before_HW = planes(browser, 6)
    stale = browser.paint(*THING, "", "clip", left=100, top=60, frame=6)
    assert (stale.status, content(stale)["revision"]) == (409, carried)
    own = content(browser.paint(*THING, carried, "clip", left=100, top=60, frame=6))["revision"]
    _, _, after_HW = planes(browser, 6)
    assert np.array_equal(after_HW[:60], before_HW[:60]), "what was carried there is part of it"
    assert after_HW[60:92, 100:132].all()
    assert content(browser.get("frames", "clip"))["painted"] == [3, 6]
    assert planes(browser, 7)[2][62:90, 102:130].all()
    assert content(browser.post("revert", {"revision": own}, "clip", frame=6)) == {"revision": carried}
    assert content(browser.get("frames", "clip"))["painted"] == [3]
    assert np.array_equal(planes(browser, 6)[2], before_HW)


def test_what_an_earlier_frame_carries_on_is_stale_when_that_is_painted(browser: Browser) -> None:
    first = content(paint(browser, 3))["revision"]
    carried = planes(browser, 6)[0]
    content(paint(browser, 3, first, 80))
    answer = browser.paint(*THING, carried, "clip", left=100, top=60, frame=6)
    assert answer.status == 409
    assert content(answer)["revision"] == planes(browser, 6)[0] != carried


def test_nothing_is_carried_on_from_where_all_paint_is_taken_away(browser: Browser) -> None:
    paint(browser, 3)
    ended = content(nothing(browser, 6, planes(browser, 6)[0]))["revision"]
    assert ended
    line = content(browser.get("frames", "clip"))
    assert (line["painted"], line["carried"]) == ([3, 6], [[3, 4, 5]])
    assert not planes(browser, 8)[2].any()
    first = planes(browser, 3)[0]
    assert content(browser.post("revert", {"revision": first}, "clip", frame=3)) == {"revision": ""}
    assert content(browser.post("revert", {"revision": ended}, "clip", frame=6)) == {"revision": ""}
    assert content(browser.get("", "clip"))["revision"] == ""
    assert browser.store.find(browser.viewed.items[0].item.media_path) is None


def test_another_mask_under_it_is_shown_until_it_is_kept_on_every_frame(browser: Browser) -> None:
    paint(browser, 3)
    paint(browser, 8, planes(browser, 8)[0])
    save_image(browser.folder / "masks/clip.png", np.full(SIZE[::-1], 80, np.uint8))
    assert content(browser.get("", "clip"))["other_base"]
    assert browser.post("keep", {"revision": "0" * 16}, "clip", frame=3).status == 409
    kept = content(browser.post("keep", {"revision": planes(browser, 3)[0]}, "clip", frame=3))["revision"]
    assert kept == planes(browser, 3)[0]
    assert not content(browser.get("", "clip"))["other_base"]


def test_another_video_under_the_name_starts_anew(browser: Browser, make_video: Make) -> None:
    paint(browser, 3)
    video = browser.viewed.items[0].item.media_path
    make_video(video, [pattern(SIZE, 4)] * FRAMES, codec="ffv1", pix_fmt="yuv444p")
    assert planes(browser, 3)[0] == ""
    assert paint(browser, 5).status == 200
    assert frames_in(browser.store.frames_of(video)) == (5,)


def test_each_frame_has_its_picture_and_what_is_there_no_more_is_refused(browser: Browser) -> None:
    place_of = {"level": 0, "column": 0, "row": 0}
    tiles = [browser.get("tile", "clip", frame=frame, **place_of).body for frame in (0, 5)]
    assert all(tile.startswith(b"\xff\xd8") for tile in tiles)
    assert tiles[0] != tiles[1]
    assert not list((browser.folder / "thumbnails").rglob("0-0-0.jpg")), "frames are not kept as files"
    assert browser.get("tile", "clip", **place_of).status == 200
    for end in ("tile", "mask", "correction"):
        assert browser.get(end, "clip", frame=FRAMES, **place_of).status == 404
        assert browser.get(end, "clip", frame="-1", **place_of).status == 400
    assert paint(browser, FRAMES).status == 404
    assert browser.get("frames", "p").status == 404
    assert browser.post("face", {"index": 0}, "clip").status == 400
    assert not (browser.folder / "corrections").exists()


def test_a_photograph_knows_nothing_of_frames(browser: Browser) -> None:
    told = content(browser.paint(*THING, "", "p", frame=99))["revision"]
    assert told
    assert "frame" not in browser.told[-1][1]
    assert content(browser.post("keep", {"revision": told}, "p"))["revision"] == told
    assert content(browser.post("revert", {"revision": told}, "p")) == {"revision": ""}


def test_a_region_is_proposed_on_the_frame_that_is_looked_at(browser: Browser) -> None:
    seen: list[np.ndarray] = []

    def propose(rgb_HWC: np.ndarray, pointing: object) -> np.ndarray:
        seen.append(rgb_HWC)
        return square(7)

    browser.proposals.offer(Helper("given", propose, lambda: False))
    left, top = place(7)
    answer = browser.post("propose", {"on": [[left + 4, top + 4]], "off": []}, "clip", frame=7)
    assert answer.headers["X-MaskLoss-Place"] == f"{left},{top},{SQUARE},{SQUARE}"
    assert np.abs(seen[0].astype(int) - frames(8)[7]).mean() < 3


def test_marks_and_thumbnail_of_a_video(browser: Browser) -> None:
    content(browser.post("marks", {"done": True}, "clip"))
    assert browser.store.marks(browser.folder / "clips") == {"clip.mkv": Marks(True)}
    before = browser.get("mask-thumbnail", "clip")
    paint(browser, FRAMES // 2)
    after = browser.get("mask-thumbnail", "clip")
    assert (before.status, after.status) == (200, 200)
    assert float(after.headers["X-MaskLoss-Coverage"]) > float(before.headers["X-MaskLoss-Coverage"])
    bare = replace(browser.viewed.items[0].item, mask_path=None)
    unmasked = Browser(browser.folder / "bare", dataset=Dataset((bare,)))
    assert set(zlib.decompress(unmasked.get("mask", "clip", frame=2).body)) == {255}
