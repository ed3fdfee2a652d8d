"""The viewer's routes: strokes that are kept, two tabs, and requests that are up to no good."""

from __future__ import annotations

import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from maskloss.core.corrections.marks import Marks
from maskloss.core.dataset.items import Dataset
from maskloss.core.dataset.load import load_item
from maskloss.core.images import save_image

from .small_dataset import SIZE, Browser, content, small_dataset


@pytest.fixture
def browser(tmp_path: Path) -> Browser:
    return Browser(tmp_path)


HALF = (np.full((30, 20), 80, np.uint8), np.ones((30, 20), bool))


def test_a_stroke_comes_back_and_training_reads_it(browser: Browser) -> None:
    assert np.frombuffer(zlib.decompress(browser.get("mask").body), np.uint8).tolist() == [128] * 1200
    painted = browser.paint(*HALF, left=20)
    revision = content(painted)["revision"]
    read = browser.get("correction")
    assert read.headers["X-MaskLoss-Revision"] == revision
    planes = np.frombuffer(zlib.decompress(read.body), np.uint8).reshape(2, 30, 40)
    assert (planes[:, :, :20] == 0).all()
    assert (planes[0, :, 20:] == 80).all()
    assert (planes[1, :, 20:] == 255).all()
    item = browser.viewed.corrected(browser.viewed.items[0])
    assert np.unique(load_item(item).full_weights_HW * 255).round().tolist() == [80, 128]
    assert content(browser.get())["revision"] == revision
    assert browser.told == [
        ("maskloss.corrected",
         {"dataset": browser.viewed.id, "item": browser.id("a"), "revision": revision, "client": "me"}),
    ]  # fmt: skip
    assert (browser.get("mask").body, browser.get("correction", "b").headers["X-MaskLoss-Revision"]) == (
        browser.get("mask", "b").body, "",
    )  # fmt: skip


def test_the_items_of_several_people_have_each_their_own_correction_marks_and_caption(tmp_path: Path) -> None:
    first = small_dataset(tmp_path).items[0]
    items = [replace(first, name=f"a@{name}", subject=name, caption=name) for name in ("anna", "berta", "together")]
    browser = Browser(tmp_path, dataset=Dataset(tuple(items)))
    media = first.media_path
    painted = browser.paint(*HALF, name="a@anna")
    assert content(browser.get(name="a@anna"))["revision"] == content(painted)["revision"]
    assert browser.told[-1][1]["item"] == browser.id("a@anna")
    assert [content(browser.get(name=f"a@{name}"))["revision"] for name in ("berta", "together")] == ["", ""]
    assert browser.store.find(media) is None
    read = [load_item(browser.viewed.corrected(each)).full_weights_HW for each in browser.viewed.items]
    assert [np.unique(weights_HW * 255).round().tolist() for weights_HW in read] == [[80, 128], [128], [128]]
    assert content(browser.post("marks", {"left_out": True}, "a@berta"))["by_hand"]
    assert content(browser.post("caption", {"text": "her own", "was": "anna"}, "a@anna"))["caption"] == "her own"
    rows = {row["name"]: row for row in content(browser.ask("GET", "list", ""))["items"]}
    assert {name: row["by_hand"] for name, row in rows.items()} == {
        "a@anna": False, "a@berta": True, "a@together": False,
    }  # fmt: skip
    assert [row["person"] for row in rows.values()] == ["anna", "berta", "together"]
    assert [row["caption"] for row in rows.values()] == ["her own", "berta", "together"]
    assert browser.store.marks(media.parent)["a.png"] == Marks(people=(("berta", Marks(left_out=True)),))
    assert (media.parent / "a.anna.txt").read_text() == "her own\n"
    assert not (media.parent / "a.txt").exists()
    assert content(browser.post("revert", {"revision": rows["a@anna"]["revision"]}, "a@anna")) == {"revision": ""}
    assert browser.store.of("anna").find(media) is None


def test_a_face_is_said_to_be_one_persons_of_several(tmp_path: Path) -> None:
    dataset = Browser(tmp_path, faces=[(2, 2, 12, 12), (20, 2, 30, 12)]).viewed.items[0].item
    items = [replace(dataset, name=f"a@{name}", subject=name) for name in ("anna", "berta")]
    browser = Browser(tmp_path, dataset=Dataset(tuple(items)))
    assert content(browser.post("face", {"index": 1}, "a@berta"))["face_by_hand"] == 1
    assert content(browser.get(name="a@anna"))["face_by_hand"] is None
    ((person, marks),) = browser.store.marks(dataset.media_path.parent)["a.png"].people
    assert (person, marks.face is not None and marks.face.box) == ("berta", (0.5, 0.06667, 0.75, 0.4))


def test_the_second_tab_is_told_and_loses_nothing(browser: Browser) -> None:
    first = content(browser.paint(*HALF))["revision"]
    stale = browser.paint(*HALF, left=20)
    assert (stale.status, content(stale)["revision"]) == (409, first)
    assert "was changed elsewhere" in content(stale)["error"]
    assert browser.post("revert", {"revision": "0" * 16}).status == 409
    second = content(browser.paint(*HALF, left=20, revision=first))["revision"]
    assert content(browser.post("revert", {"revision": second})) == {"revision": ""}
    assert browser.store.find(browser.viewed.items[0].item.media_path) is None


def test_a_mask_that_changed_under_a_correction_is_shown_until_it_is_kept(browser: Browser) -> None:
    revision = content(browser.paint(*HALF))["revision"]
    assert not content(browser.get())["other_base"]
    save_image(browser.folder / "masks/a.png", np.full((30, 40), 255, np.uint8))
    assert content(browser.get())["other_base"]
    kept = content(browser.post("keep", {"revision": revision}))["revision"]
    assert kept != revision
    assert not content(browser.get())["other_base"]


def test_another_photograph_under_the_name_starts_anew(browser: Browser) -> None:
    content(browser.paint(*HALF))
    save_image(browser.folder / "photos/a.png", np.zeros((30, 40, 3), np.uint8))
    assert browser.get("correction").headers["X-MaskLoss-Revision"] == ""
    assert browser.paint(*HALF, left=20).status == 200
    planes = np.frombuffer(zlib.decompress(browser.get("correction").body), np.uint8).reshape(2, 30, 40)
    assert not planes[1, :, :20].any()


def test_marks_are_kept(browser: Browser) -> None:
    row = content(browser.post("marks", {"done": True, "left_out": True}))
    assert (row["done"], row["by_hand"]) == (True, True)
    assert browser.store.marks(browser.folder / "photos") == {"a.png": Marks(True, True)}
    assert browser.post("marks", {"done": "yes"}).status == 400
    assert content(browser.post("marks", {"done": False}))["by_hand"] is True


def test_a_caption_is_written_beside_its_photograph_unless_somebody_else_did(browser: Browser) -> None:
    path = browser.folder / "photos/a.txt"
    row = content(browser.post("caption", {"text": "ohwx, ä person\n", "was": ""}))
    assert (row["caption"], path.read_text(encoding="utf-8")) == ("ohwx, ä person", "ohwx, ä person\n")
    path.write_text("by hand")
    stale = browser.post("caption", {"text": "lost", "was": "ohwx, ä person"})
    assert (stale.status, path.read_text()) == (409, "by hand")
    assert browser.post("caption", {"text": "x" * 20_001, "was": "by hand"}).status == 400
    assert browser.post("caption", {"text": 3, "was": "by hand"}).status == 400
    assert path.read_text() == "by hand"


@pytest.mark.parametrize(
    ("at", "status"),
    [
        ({"left": 21}, 400), ({"top": 1}, 400), ({"left": "-1"}, 400), ({"left": "../../x"}, 400), ({"width": 41}, 400),
        ({"width": 0}, 400), ({"width": "9" * 30}, 400), ({"height": "٣"}, 400), ({"width": 19}, 400),
    ],
)  # fmt: skip
def test_a_stroke_of_a_wrong_place_changes_nothing(browser: Browser, at: dict[str, object], status: int) -> None:
    assert browser.paint(*HALF, **at).status == status
    assert not browser.store.directory.exists() or not list(browser.store.directory.rglob("*.png"))


@pytest.mark.parametrize(
    "body", [b"", b"no zlib", zlib.compress(b""), zlib.compress(bytes(1199)), zlib.compress(bytes(20_000_000), 1)]
)
def test_a_body_of_another_length_is_refused_and_never_unpacked_further(browser: Browser, body: bytes) -> None:
    query = {"left": 0, "top": 0, "width": 20, "height": 30, "revision": ""}
    answer = browser.ask("POST", "correction", "a", query, body, "application/octet-stream")
    assert answer.status == 400
    assert not list(browser.folder.rglob("corrections/**/*.png"))


def test_forms_of_other_sites_change_nothing(browser: Browser) -> None:
    for kind in ("", "text/plain", "application/x-www-form-urlencoded", "multipart/form-data"):
        for end in ("keep", "revert", "marks", "face", "propose", "caption"):
            answer = browser.ask("POST", end, "a", {}, b'{"done": true, "text": "x", "was": "", "revision": ""}', kind)
            assert answer.status == 415, end
        query = {"left": 0, "top": 0, "width": 1, "height": 1, "revision": ""}
        assert browser.ask("POST", "correction", "a", query, zlib.compress(b"\1\1"), kind).status == 415
    assert not list(browser.folder.rglob("corrections/**/*"))
    assert not (browser.folder / "photos/a.txt").exists()


@pytest.mark.parametrize("body", [b"", b"[]", b"1", b"{", b"[" * 100_000])
def test_what_is_no_object_is_refused(browser: Browser, body: bytes) -> None:
    assert browser.ask("POST", "marks", "a", {}, body, "application/json").status == 400


@pytest.mark.parametrize("name", ["../a", "..", "/etc/passwd", "photos/a.png", "x" * 5000, "%2e%2e"])
def test_only_ids_that_were_given_out_are_known(browser: Browser, name: str) -> None:
    for end in ("", "thumbnail", "mask", "tile", "correction"):
        assert browser.ask("GET", end, "", {}, item=name).status == 404
        assert browser.ask("GET", end, "a", {}, dataset=name).status == 404
    assert browser.ask("GET", "list", "a", {}, dataset=name).status == 404


def test_pictures_have_their_kind(browser: Browser) -> None:
    assert browser.get("thumbnail").body[:3] == b"\xff\xd8\xff"
    assert browser.get("tile", level=0, column=0, row=0).body[:3] == b"\xff\xd8\xff"
    assert browser.get("tile", level=0, column=1, row=0).status == 400
    mask = browser.get("mask-thumbnail")
    assert mask.body[:4] == b"\x89PNG"
    assert float(mask.headers["X-MaskLoss-Coverage"]) == pytest.approx(128 / 255, abs=1e-5)
    browser.paint(np.full((30, 40), 0, np.uint8), np.ones((30, 40), bool))
    assert float(browser.get("mask-thumbnail").headers["X-MaskLoss-Coverage"]) == 0


def test_a_photograph_that_is_gone_is_told(browser: Browser) -> None:
    (browser.folder / "photos/a.png").unlink()
    for end in ("thumbnail", "mask", "correction", "tile"):
        answer = browser.get(end, level=0, column=0, row=0)
        assert (answer.status, "a.png" in content(answer)["error"]) == (400, True), end
    assert "a.png" in content(browser.get())["error"]
    assert browser.paint(*HALF).status == 400
    assert SIZE == (40, 30)


def test_a_face_is_chosen_by_its_number_and_taken_back(tmp_path: Path) -> None:
    browser = Browser(tmp_path, faces=((4, 3, 20, 15), (30, 3, 44, 15)))
    assert content(browser.get())["face_by_hand"] is None
    row = content(browser.post("face", {"index": 1}))
    assert (row["face_by_hand"], row["done"]) == (1, False)
    face = browser.store.marks(tmp_path / "photos")["a.png"].face
    assert face is not None
    assert face.box == (0.75, 0.1, 1.0, 0.5)  # what lies outside the picture is cut off
    assert content(browser.post("marks", {"done": True}))["face_by_hand"] == 1
    for wrong in ({}, {"index": True}, {"index": "1"}, {"index": 2}, {"index": -1}, {"index": 1.0}):
        assert (browser.post("face", wrong).status, content(browser.get())["face_by_hand"]) == (400, 1), wrong
    assert browser.post("face", {"index": 0}, "b").status == 400
    assert content(browser.post("face", {"index": None}))["face_by_hand"] is None
    browser.post("face", {"index": 0})
    assert content(browser.get())["face_by_hand"] == 0
    save_image(tmp_path / "photos/a.png", np.zeros((30, 40, 3), np.uint8))
    assert content(browser.get())["face_by_hand"] is None
