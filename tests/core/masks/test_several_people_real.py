"""The photograph of six people: six items that share no pixel, each with the right name, known from other crops."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from maskloss.core.bundled.person_segmenter import BundledPersonSegmenter
from maskloss.core.bundled.recognizer import BundledFaceRecognizer
from maskloss.core.dataset.items import Dataset, DatasetItem, LoadSettings
from maskloss.core.images import load_mask, save_image
from maskloss.core.masks.keep_people import PeopleRules, keep_people
from maskloss.core.masks.keep_person import PersonOutput
from maskloss.core.masks.person_search import PersonSearch
from maskloss.core.people.decision import MatchRules, OnNoMatch
from maskloss.core.people.people import Person
from maskloss.core.people.references import reference_identity

pytestmark = pytest.mark.models


def test_six_people_of_one_photograph_are_six_items(t1_photograph: np.ndarray, tmp_path: Path) -> None:
    recognizer = BundledFaceRecognizer()
    faces = recognizer.detect(t1_photograph)
    people: list[Person] = []
    for face in faces:
        x0, y0, x1, y1 = (round(edge) for edge in face.box)
        side = max(x1 - x0, y1 - y0)
        window = slice(max(0, y0 - side), y1 + side), slice(max(0, x0 - side), x1 + side)
        near = recognizer.detect(t1_photograph[window])
        middle = (x0 + x1) / 2 - window[1].start
        index = min(near, key=lambda each: abs((each.box[0] + each.box[2]) / 2 - middle)).index
        identity, _, _ = reference_identity(recognizer, [("close-up", t1_photograph[window])], index)
        people.append(Person(replace(identity, name=f"person {face.index}")))
    people = people[3:] + people[:3]  # in another order than they stand in
    save_image(tmp_path / "set/t1.png", t1_photograph)
    dataset = Dataset((DatasetItem("t1", tmp_path / "set/t1.png", LoadSettings()),))
    rules = MatchRules(on_no_match=OnNoMatch.ERROR)
    search = PersonSearch(recognizer, tuple(each.identity for each in people), BundledPersonSegmenter(), rules)
    kept, report = keep_people(dataset, people, search, PersonOutput(tmp_path / "out"), PeopleRules(together=0.25))
    own = [item for item in kept.items if item.subject != "together"]
    assert [item.name for item in own] == [f"t1@{each.name}" for each in people]
    masks = {item.subject: load_mask(tmp_path / f"out/{item.name}.png") > 0 for item in own}
    assert np.sum(list(masks.values()), axis=0).max() == 1, "no pixel is two people's"
    for face in faces:
        middle = int((face.box[1] + face.box[3]) / 2), int((face.box[0] + face.box[2]) / 2)
        assert [name for name, mask_HW in masks.items() if mask_HW[middle]] == [f"person {face.index}"]
    together_HW = load_mask(tmp_path / "out/t1@together.png") > 0
    assert np.array_equal(together_HW, np.any(list(masks.values()), axis=0))
    joint = kept.items[-1]
    assert joint.caption == " and ".join(f"person {n}" for n in range(6)), "from left to right"
    assert sum(item.repeats for item in own) == 3 * joint.repeats
    assert not report["warnings"]
