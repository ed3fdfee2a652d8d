"""People, Find People and Keep People, from folder to items, as the graph runs them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from maskloss.core.errors import SettingError
from maskloss.core.host import LocalHost, use_host
from maskloss.core.images import load_mask, save_image
from maskloss.core.people.faces import Face
from maskloss.core.people.instances import PersonMask
from maskloss.nodes.dataset import MaskLossLoadDataset
from maskloss.nodes.people import MaskLossFindPeople, MaskLossKeepPeople, MaskLossPeople
from maskloss.nodes.person import MaskLossReferenceFaces

GREEN, BLUE = (10, 250, 10), (10, 10, 250)


class Colours:
    """Whatever is bright is a face, and its colour tells whose; it is a person of its own."""

    name = identity = "colours/1"
    default_min_similarity = 0.9

    def detect(self, rgb_HWC: np.ndarray) -> list[Face]:
        _, _, stats, _ = cv2.connectedComponentsWithStats((rgb_HWC.max(axis=2) > 200).astype(np.uint8))
        boxes = sorted((float(x), float(y), float(x + w), float(y + h)) for x, y, w, h, _ in stats[1:])
        return [
            Face(n, box, 0.9, np.zeros((6, 2)), None, rgb_HWC[int(box[1]) + 5, int(box[0]) + 5].astype(np.float32))
            for n, box in enumerate(boxes)
        ]

    def similarity(self, a: np.ndarray, b: np.ndarray) -> float:
        return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))

    def segment(self, rgb_HWC: np.ndarray, faces: Sequence[Face]) -> list[PersonMask]:
        masks = []
        for face in faces:
            mask_HW = np.zeros(rgb_HWC.shape[:2], np.float32)
            mask_HW[:, int(face.box[0]) : int(face.box[2])] = 1
            masks.append(PersonMask(mask_HW, face.index))
        return masks


def draw(path: Path, *people: tuple[int, tuple[int, int, int]]) -> None:
    rgb_HWC = np.zeros((80, 200, 3), np.uint8)
    for x, colour in people:
        rgb_HWC[20:60, x : x + 40] = colour
    save_image(path, rgb_HWC)


@pytest.fixture
def host(tmp_path: Path):
    draw(tmp_path / "in/album/party.png", (20, GREEN), (120, BLUE))
    draw(tmp_path / "in/album/alone.png", (60, GREEN))
    draw(tmp_path / "in/greta/ref.png", (20, GREEN))
    draw(tmp_path / "in/bluma/ref.png", (20, BLUE))
    with use_host(LocalHost(tmp_path / "in", tmp_path / "out")) as local:
        yield local


def identity(directory: str, name: str = ""):
    return MaskLossReferenceFaces().run(recognizer=[Colours()], directory=[directory], name=[name])["result"][0]


def test_from_reference_faces_to_an_item_for_each_person(host: LocalHost, tmp_path: Path) -> None:
    (first,) = MaskLossPeople().run(identity=identity("greta", "greta"), name="", trigger="gr3t4")
    (people,) = MaskLossPeople().run(identity=identity("bluma"), name="bluma", people=first, face_weight=-1)
    dataset = MaskLossLoadDataset().run(directory="album")["result"][0]
    kept = MaskLossKeepPeople().run(
        dataset=dataset, recognizer=Colours(), people=people, person_segmenter=Colours(), together=0.5
    )
    items, report = kept["result"][0].items, json.loads(kept["result"][1])
    assert [item.name for item in items] == ["alone@greta", "party@greta", "party@bluma", "party@together"]
    assert [item.caption for item in items] == ["gr3t4", "gr3t4", "bluma", "gr3t4 and bluma"]
    mask_HW = load_mask(items[2].mask_path)
    assert (mask_HW[:, 120:160] == 255).all()
    assert not mask_HW[:, :120].any()
    assert items[2].mask_path.is_relative_to(tmp_path / "out/maskloss/people")
    assert [each["per_epoch"] for each in report["people"]] == [2, 2]
    assert len(kept["ui"]["images"]) == 3, "greta's sheet, bluma's, and that of both"
    with pytest.raises(SettingError, match="Two people are called bluma"):
        MaskLossPeople().run(identity=identity("greta"), name="bluma", people=people)


def test_found_people_are_kept_by_the_names_they_are_given(host: LocalHost) -> None:
    dataset = MaskLossLoadDataset().run(directory="album")["result"][0]
    found = MaskLossFindPeople().run(dataset=dataset, recognizer=Colours(), names="gr\nbl, x", min_photographs=1)
    people, sheet, text = found["result"]
    assert [(each.name, each.word) for each in people] == [("gr", "gr"), ("bl", "x")]
    assert [row["photographs"] for row in json.loads(text)["people"]] == [2, 1]
    assert sheet.shape[0] == 1
    kept = MaskLossKeepPeople().run(dataset=dataset, recognizer=Colours(), people=people, person_segmenter=Colours())
    assert [item.subject for item in kept["result"][0].items] == ["gr", "gr", "bl"]


def test_values_that_cannot_be_are_said_before_anything_runs() -> None:
    assert MaskLossKeepPeople.VALIDATE_INPUTS(caption_template="{triger}") is not True
    assert MaskLossKeepPeople.VALIDATE_INPUTS(choices="party@anna=2", caption_template="{trigger}") is True
    assert MaskLossFindPeople.VALIDATE_INPUTS(names="a,b,c,d") is not True
