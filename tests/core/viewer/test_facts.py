"""The list of the viewer says of each item what it is filtered by."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from maskloss.core.corrections.store import CorrectionStore
from maskloss.core.dataset.files import MASK_LEDGER
from maskloss.core.dataset.items import Dataset
from maskloss.core.people.decision import FaceScore, Outcome, PersonDecision
from maskloss.core.viewer.facts import dataset_facts
from maskloss.core.viewer.viewed import view_dataset

from .small_dataset import Browser, content, small_dataset


def test_every_item_has_its_row(tmp_path: Path) -> None:
    browser = Browser(tmp_path)
    (tmp_path / "photos/a.txt").write_text("a caption")
    told = content(browser.get("list"))
    assert (told["id"], told["title"]) == (browser.viewed.id, "Build Masks")
    assert told["tiers"] == {"face": 255, "hair": 80, "body": 128, "background": 0}
    rows = {row["name"]: row for row in told["items"]}
    assert list(rows) == ["a", "b", "d", "c"]
    assert [rows[name]["mask"] for name in "abcd"] == ["file", "file", "file", "none"]
    assert [rows[name]["left_out"] for name in "abcd"] == ["", "", "nobody was found", ""]
    assert (rows["a"]["width"], rows["a"]["height"], rows["a"]["bucket"]) == (40, 30, [64, 64])
    assert (rows["a"]["caption"], rows["b"]["caption"]) == ("a caption", "")
    assert rows["a"]["doubt"] is None


def test_faces_are_fractions_and_doubts_have_an_order(tmp_path: Path) -> None:
    dataset = small_dataset(tmp_path)
    faces = (FaceScore(0, (4, 3, 20, 15), 0.7, True), FaceScore(1, (30, 3, 40, 15), 0.6, False))
    person = PersonDecision(faces, Outcome.MATCH, 0, "alike", needed=0.5)
    items = (replace(dataset.items[0], person=person), *dataset.items[1:])
    store = CorrectionStore(tmp_path / "corrections")
    rows = [{"name": "a", "coverage": 0.25, "faceless": 2}]
    viewed = view_dataset(Dataset(items), "Keep Person", rows, store, tmp_path / "thumbnails")
    row = dataset_facts(viewed)["items"][0]
    assert row["faces"][0] == {"index": 0, "box": [0.1, 0.1, 0.5, 0.5], "similarity": 0.7, "chosen": True}
    assert (row["outcome"], row["reason"], row["coverage"], row["faceless"]) == ("match", "alike", 0.25, 2)
    assert row["doubt"][0] == 3
    assert json.dumps(row)


def test_tiers_are_those_of_the_ledger(tmp_path: Path) -> None:
    dataset = small_dataset(tmp_path)
    details = {"part_values": {"face": 200, "hair": 90, "background": 10}, "tier_values": [10, 90, 150, 200]}
    record = {"fingerprint": "f", "sha256": "s", "details": details}
    ledger = {"step": "BuildMasks", "items": {"a": record}}
    (tmp_path / "masks" / MASK_LEDGER).write_text(json.dumps(ledger))
    viewed = view_dataset(dataset, "t", [], CorrectionStore(tmp_path / "c"), tmp_path / "thumbnails")
    assert dataset_facts(viewed)["tiers"] == {"face": 200, "hair": 90, "body": 150, "background": 10}
