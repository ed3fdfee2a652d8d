"""What the page's viewer is given is what training reads, in files that need no server."""

import base64
import json
import re
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from maskloss.core.corrections.store import CorrectionStore
from maskloss.core.dataset.crop import Crop, CropKind, Rectangle
from maskloss.core.dataset.items import Dataset, DatasetItem, LoadSettings, MaskOrigin
from maskloss.core.images import load_image, save_image
from maskloss.core.people.decision import FaceScore, Outcome, PersonDecision
from maskloss.core.report.look_through import LookThrough
from maskloss.core.viewer.facts import dataset_facts
from maskloss.core.viewer.viewed import view_dataset

TIERS = {"face": 255, "hair": 80, "body": 128, "background": 0}


@pytest.fixture
def item(tmp_path: Path) -> DatasetItem:
    rgb_HWC = np.random.default_rng(0).integers(0, 256, (600, 2048, 3), dtype=np.uint8)
    save_image(tmp_path / "photos/a.png", rgb_HWC)
    person = PersonDecision((FaceScore(0, (0, 60, 512, 300), 0.7, True),), Outcome.MATCH, 0, "alike", needed=0.5)
    return DatasetItem("a", tmp_path / "photos/a.png", LoadSettings(), caption="her", person=person)


def weights() -> np.ndarray:
    weights_HW = np.zeros((600, 2048), np.float32)
    weights_HW[:, :1024], weights_HW[:, 1024:1200] = 1, 80 / 255
    return weights_HW


def read_items(folder: Path) -> dict:
    text = (folder / "viewer/items.js").read_text(encoding="utf-8")
    (told,) = re.fullmatch(r"maskloss\.open\((.*)\);\n", text, re.DOTALL).groups()
    return json.loads(told)


def read_mask(path: Path) -> np.ndarray:
    _, packed = json.loads("[" + re.fullmatch(r"maskloss\.mask\((.*)\);\n", path.read_text())[1] + "]")
    return np.frombuffer(zlib.decompress(base64.b64decode(packed)), np.uint8)


def test_a_photograph_and_its_mask_lie_beside_the_page(tmp_path: Path, item: DatasetItem) -> None:
    look = LookThrough(tmp_path / "report")
    look.add(item, load_image(item.media_path)[0], weights(), MaskOrigin.FILE)
    files = look.write("a run", TIERS)
    assert files == ("viewer/viewer.css", ("viewer/viewer.js", "viewer/items.js"))
    told = read_items(tmp_path / "report")
    assert (told["title"], told["tiers"]) == ("a run", TIERS)
    (row,) = told["items"]
    assert (row["width"], row["height"], row["caption"], row["mask"]) == (1024, 300, "her", "file")
    assert load_image(tmp_path / "report" / row["picture"])[0].shape == (300, 1024, 3)
    mask_HW = read_mask(tmp_path / "report" / row["script"]).reshape(300, 1024)
    assert [np.unique(part).tolist() for part in (mask_HW[:, :512], mask_HW[:, 512:600], mask_HW[:, 600:])] == [
        [255],
        [80],
        [0],
    ]
    assert row["coverage"] == pytest.approx(mask_HW.mean() / 255)
    assert row["faces"] == [{"index": 0, "box": [0, 0.1, 0.25, 0.5], "similarity": 0.7, "chosen": True}]


def test_the_rows_have_what_the_servers_have(tmp_path: Path, item: DatasetItem) -> None:
    look = LookThrough(tmp_path / "report")
    look.add(item, load_image(item.media_path)[0], None, MaskOrigin.NONE, "nobody was found")
    look.write("a run", TIERS)
    (row,) = read_items(tmp_path / "report")["items"]
    viewed = view_dataset(Dataset((item,)), "t", [], CorrectionStore(tmp_path / "c"), tmp_path / "t")
    (theirs,) = dataset_facts(viewed)["items"]
    assert set(row) == {*theirs, "picture", "script"}
    differ = {name for name in theirs if row[name] != theirs[name]}
    assert differ <= {"width", "height", "coverage", "left_out", "mask"}, differ
    assert (read_mask(tmp_path / "report" / row["script"]) == 255).all()


def test_crops_show_no_faces_of_the_whole(tmp_path: Path, item: DatasetItem) -> None:
    look = LookThrough(tmp_path / "report")
    crop = replace(item, name="a~face", crop=Crop(CropKind.FACE, Rectangle(0, 0, 512, 512)))
    look.add(crop, np.zeros((512, 512, 3), np.uint8), None, MaskOrigin.NONE)
    look.write("a run", TIERS)
    (row,) = read_items(tmp_path / "report")["items"]
    assert (row["faces"], row["outcome"]) == ([], "match")


def test_nothing_is_written_where_there_is_nothing_to_see(tmp_path: Path) -> None:
    assert LookThrough(tmp_path / "report").write("a run", TIERS) is None
    assert not (tmp_path / "report").exists()


def test_only_our_own_older_files_go(tmp_path: Path, item: DatasetItem) -> None:
    for older in ("0" * 20 + ".jpg", "f" * 20 + ".js", "theirs.jpg", "viewer.js"):
        (tmp_path / "report/viewer").mkdir(parents=True, exist_ok=True)
        (tmp_path / "report/viewer" / older).write_text("x")
    look = LookThrough(tmp_path / "report")
    look.add(item, load_image(item.media_path)[0], weights(), MaskOrigin.FILE)
    look.write("a run", TIERS)
    look.remove_others()
    kept = {path.name for path in (tmp_path / "report/viewer").iterdir()}
    assert kept >= {"theirs.jpg", "viewer.js", "items.js", "viewer.css"}
    assert len(kept) == 6
