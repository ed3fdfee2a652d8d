from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from maskloss.core.errors import ImageError, PathError, PersonError, SettingError
from maskloss.core.host import LocalHost, use_host
from maskloss.core.parts.part_map import PartMap, PartScheme
from maskloss.core.people.faces import Face
from maskloss.core.people.identity import Identity
from maskloss.core.people.instances import PersonMask
from maskloss.nodes.person import MaskLossApplyInstanceMask, MaskLossInstanceMask, MaskLossReferenceFaces
from PIL import Image

WIDTH, HEIGHT = 200, 100


class Blobs:
    """Every pure red rectangle is a face whose embedding is its green neighbour's brightness: a recogniser to draw."""

    name = identity = "blobs"
    default_min_similarity = 0.9

    def detect(self, rgb_HWC: np.ndarray) -> list[Face]:
        red_HW = (rgb_HWC[..., 0] == 255) & (rgb_HWC[..., 2] == 0)
        columns = np.flatnonzero(np.diff(np.concatenate([[0], red_HW.any(axis=0), [0]]).astype(int)))
        return [
            self._face(index, red_HW, rgb_HWC, *columns[2 * index : 2 * index + 2])
            for index in range(len(columns) // 2)
        ]

    def _face(self, index: int, red_HW: np.ndarray, rgb_HWC: np.ndarray, x0: int, x1: int) -> Face:
        rows = np.flatnonzero(red_HW[:, x0])
        value = float(rgb_HWC[rows[0], x0, 1]) / 255
        embedding = np.array([np.cos(value), np.sin(value)], np.float32)
        box = (float(x0), float(rows[0]), float(x1), float(rows[-1] + 1))
        return Face(index, box, 0.9, np.full((6, 2), float(x0)), None, embedding)

    def similarity(self, a: np.ndarray, b: np.ndarray) -> float:
        return float(a @ b)


class Columns:
    """A person is everything below and above their face."""

    name = identity = "columns"

    def __init__(self) -> None:
        self.calls = 0

    def segment(self, rgb_HWC: np.ndarray, faces: list[Face]) -> list[PersonMask]:
        self.calls += 1
        masks = []
        for face in faces:
            probability_HW = np.zeros(rgb_HWC.shape[:2], np.float32)
            probability_HW[10:, int(face.box[0]) - 5 : int(face.box[2]) + 5] = 1
            masks.append(PersonMask(probability_HW))
        return masks


def picture(*greens: int) -> torch.Tensor:
    image = torch.zeros(1, HEIGHT, WIDTH, 3)
    image[..., 2] = 0.5
    for number, green in enumerate(greens):
        left = 20 + 80 * number
        image[0, 20:60, left : left + 40] = torch.tensor([1.0, green / 255, 0.0])
    return image


@pytest.fixture(autouse=True)
def host(tmp_path: Path):
    with use_host(LocalHost(tmp_path, tmp_path)) as host:
        yield host


@pytest.fixture
def identity() -> Identity:
    answer = MaskLossReferenceFaces().run(recognizer=[Blobs()], images=[picture(200)])
    return answer["result"][0]


def test_references_from_images_and_a_directory_make_one_identity(tmp_path: Path) -> None:
    (tmp_path / "who").mkdir()
    Image.fromarray((picture(190)[0].numpy() * 255).astype(np.uint8)).save(tmp_path / "who/b.png")
    (tmp_path / "who/notes.txt").write_text("no picture")
    answer = MaskLossReferenceFaces().run(
        recognizer=[Blobs()], images=[picture(200), picture(201)], directory=["who"], face_index=[-1]
    )
    identity, faces, report = answer["result"]
    assert identity.sources == ("image 1", "image 2", "b.png")
    assert faces.shape[0] == 3
    assert [row["name"] for row in json.loads(report)["references"]] == list(identity.sources)
    assert answer["ui"]["text"] == [report]


def test_references_that_disagree_are_said_at_run_time(capsys: pytest.CaptureFixture[str]) -> None:
    MaskLossReferenceFaces().run(recognizer=[Blobs()], images=[picture(0), picture(255)])
    assert "image 1 and image 2 agree by 0.54 only (0.90 is one person)" in capsys.readouterr().err
    with pytest.raises(SettingError, match="recognizer holds 2 values; connect one"):
        MaskLossReferenceFaces().run(recognizer=[Blobs(), Blobs()], images=[picture(0)])


def test_references_that_do_not_say_who(tmp_path: Path) -> None:
    with pytest.raises(SettingError, match="No reference picture"):
        MaskLossReferenceFaces().run(recognizer=[Blobs()])
    with pytest.raises(PersonError, match="shows 2 faces"):
        MaskLossReferenceFaces().run(recognizer=[Blobs()], images=[picture(200, 20)])
    chosen = MaskLossReferenceFaces().run(recognizer=[Blobs()], images=[picture(200, 20)], face_index=[1])
    assert np.arctan2(*chosen["result"][0].embeddings_NK[0, ::-1]) == pytest.approx(20 / 255, abs=1e-3)
    (tmp_path / "empty").mkdir()
    with pytest.raises(PathError, match="holds no picture"):
        MaskLossReferenceFaces().run(recognizer=[Blobs()], directory=["empty"])


def test_a_changed_reference_folder_runs_again(tmp_path: Path) -> None:
    (tmp_path / "who").mkdir()
    before = MaskLossReferenceFaces.IS_CHANGED(directory=["who"], face_index=[-1])
    assert before == MaskLossReferenceFaces.IS_CHANGED(directory=["who"])
    (tmp_path / "who/a.png").touch()
    assert before != MaskLossReferenceFaces.IS_CHANGED(directory=["who"])
    assert "not found" in MaskLossReferenceFaces.IS_CHANGED(directory=["none"])
    assert MaskLossReferenceFaces.IS_CHANGED() == MaskLossReferenceFaces.IS_CHANGED(directory=[""])


def test_only_the_person_is_in_the_mask(identity: Identity) -> None:
    answer = MaskLossInstanceMask().run(
        image=picture(20, 205), recognizer=Blobs(), identity=identity, person_segmenter=Columns()
    )
    mask, overlay, report, box = answer["result"]
    assert mask.shape == (1, HEIGHT, WIDTH)
    assert set(mask.unique().tolist()) == {0.0, 1.0}
    assert box == {"x": 95, "y": 10, "width": 50, "height": 90}
    assert float(mask.sum()) == 50 * 90
    said = json.loads(report)
    assert [face["chosen"] for face in said["faces"]] == [False, True]
    assert set(said) == {"faces", "decision", "needed", "reason", "area"}
    assert set(said["faces"][0]) == {"index", "box", "similarity", "chosen"}
    assert said["decision"] == "match"
    assert said["area"] == pytest.approx(50 * 90 / (WIDTH * HEIGHT))
    assert overlay.shape == (1, HEIGHT, WIDTH, 3)


def test_the_front_end_gets_each_pictures_faces_as_shares_of_it(identity: Identity) -> None:
    pictures = torch.cat([picture(20, 205), picture(20)])
    answer = MaskLossInstanceMask().run(
        image=pictures, recognizer=Blobs(), identity=identity, person_segmenter=Columns(), on_no_match="empty"
    )
    both, alone = answer["ui"]["faces"]
    assert len(answer["ui"]["images"]) == 2
    said = json.loads(answer["result"][2])
    assert [face["index"] for face in both["faces"]] == [0, 1]
    assert [face["chosen"] for face in both["faces"] + alone["faces"]] == [False, True, False]
    for told, reported in zip(both["faces"], said[0]["faces"], strict=True):
        x0, y0, x1, y1 = reported["box"]
        assert told["box"] == pytest.approx([x0 / WIDTH, y0 / HEIGHT, x1 / WIDTH, y1 / HEIGHT], abs=1e-4)
        assert told["similarity"] == reported["similarity"]
    assert (both["reason"], alone["reason"]) == (said[0]["reason"], said[1]["reason"])


def test_nobody_is_kept_where_the_person_is_not(identity: Identity) -> None:
    segmenter = Columns()
    parts = {"image": picture(20), "recognizer": Blobs(), "identity": identity, "person_segmenter": segmenter}
    with pytest.raises(PersonError, match="face 0 at"):
        MaskLossInstanceMask().run(**parts)
    mask, _, report, box = MaskLossInstanceMask().run(**parts, on_no_match="empty")["result"]
    assert not mask.any()
    assert segmenter.calls == 0, "nobody is segmented where nobody is chosen"
    assert box == {"x": 0, "y": 0, "width": 0, "height": 0}
    assert json.loads(report)["decision"] == "empty"
    mask, _, report, _ = MaskLossInstanceMask().run(**parts, on_no_match="largest")["result"]
    assert mask.any()
    assert json.loads(report)["decision"] == "largest"


def test_candidates_stand_in_for_a_segmenter(identity: Identity) -> None:
    candidates = torch.zeros(2, HEIGHT, WIDTH)
    candidates[0, :, :80] = 1
    candidates[1, :, 90:180] = 1
    parts = {"image": picture(20, 205), "recognizer": Blobs()}
    mask = MaskLossInstanceMask().run(**parts, identity=identity, candidates=candidates)["result"][0]
    assert torch.equal(mask[0], candidates[1])
    mask = MaskLossInstanceMask().run(**parts, candidates=candidates, face_index=0)["result"][0]
    assert torch.equal(mask[0], candidates[0])
    none = torch.zeros(0, HEIGHT, WIDTH)
    mask = MaskLossInstanceMask().run(**parts, identity=identity, candidates=none, on_no_match="empty")["result"][0]
    assert not mask.any()


def test_exactly_one_source_of_people_for_one_picture(identity: Identity) -> None:
    parts = {"image": picture(200), "recognizer": Blobs(), "identity": identity}
    candidates = torch.ones(1, HEIGHT, WIDTH)
    with pytest.raises(SettingError, match="neither is connected"):
        MaskLossInstanceMask().run(**parts)
    with pytest.raises(SettingError, match="both are connected"):
        MaskLossInstanceMask().run(**parts, person_segmenter=Columns(), candidates=candidates)
    with pytest.raises(ImageError, match="image holds 2"):
        MaskLossInstanceMask().run(**{**parts, "image": picture(200).repeat(2, 1, 1, 1)}, candidates=candidates)
    with pytest.raises(SettingError, match="No reference face"):
        MaskLossInstanceMask().run(image=picture(200), recognizer=Blobs(), person_segmenter=Columns())


def test_a_batch_gives_a_list_of_reports_and_boxes(identity: Identity) -> None:
    image = torch.cat([picture(200, 20), picture(20, 200)])
    mask, _, report, boxes = MaskLossInstanceMask().run(
        image=image, recognizer=Blobs(), identity=identity, person_segmenter=Columns()
    )["result"]
    assert mask.shape[0] == 2
    assert [each["decision"] for each in json.loads(report)] == ["match", "match"]
    assert [each["x"] for each in boxes] == [15, 95]


def test_apply_instance_keeps_weights_of_the_person() -> None:
    weights = torch.full((2, 4, 6), 0.5)
    instance = torch.zeros(4, 6)
    instance[:, :3] = 0.6
    (kept,) = MaskLossApplyInstanceMask().run(weights=weights, instance=instance)
    assert kept.shape == (2, 4, 6)
    assert torch.equal(kept[1, :, :3], weights[1, :, :3])
    assert not kept[:, :, 3:].any()
    (wider,) = MaskLossApplyInstanceMask().run(weights=weights, instance=instance, dilate_px=1)
    assert float(wider[0, 0, 3]) == 0.5
    with pytest.raises(ImageError, match="same size"):
        MaskLossApplyInstanceMask().run(weights=weights, instance=torch.zeros(5, 6))


SCHEME = PartScheme("four", ("Background", "Face", "Hair", "Body"), frozenset(("Face",)), frozenset(("Hair",)))


def with_hair_beside(*lefts: int) -> PartMap:
    """Everyone of `picture` as `Columns` has them, each with hair that hangs down right beside their column."""
    label_HW = np.zeros((HEIGHT, WIDTH), np.uint8)
    for left in lefts:
        label_HW[10:, left - 5 : left + 45] = SCHEME.class_id("Body")
        label_HW[20:60, left : left + 40] = SCHEME.class_id("Face")
        label_HW[10:70, left + 45 : left + 51] = SCHEME.class_id("Hair")
    return PartMap(label_HW, SCHEME)


def test_hair_of_the_parts_that_hangs_on_this_head_alone_is_added(identity: Identity) -> None:
    nodes = {"recognizer": Blobs(), "identity": identity, "person_segmenter": Columns()}
    image = picture(20, 205)
    bare = MaskLossInstanceMask().run(image=image, **nodes)["result"][0]
    parts = (with_hair_beside(20, 100),)
    mask, _, report, box = MaskLossInstanceMask().run(image=image, **nodes, parts=parts)["result"]
    gained = (mask != bare)[0].numpy()
    expected_HW = np.zeros((HEIGHT, WIDTH), bool)
    expected_HW[10:70, 145:151] = True
    np.testing.assert_array_equal(gained, expected_HW)
    assert box == {"x": 95, "y": 10, "width": 56, "height": 90}
    assert json.loads(report)["area"] == pytest.approx((50 * 90 + 6 * 60) / (WIDTH * HEIGHT))
    two = MaskLossInstanceMask().run(image=image.repeat(2, 1, 1, 1), **nodes, parts=(with_hair_beside(20), *parts))
    assert torch.equal(two["result"][0], torch.cat([bare, mask]))


def test_parts_of_another_picture_are_refused(identity: Identity) -> None:
    nodes = {"recognizer": Blobs(), "identity": identity, "person_segmenter": Columns()}
    parts = with_hair_beside(20)
    with pytest.raises(ImageError, match="parts are of 2 pictures, and image holds 1"):
        MaskLossInstanceMask().run(image=picture(200), **nodes, parts=(parts, parts))
    smaller = PartMap(parts.label_HW[:50], SCHEME)
    with pytest.raises(ImageError, match="parts is 200x50 and image is 200x100"):
        MaskLossInstanceMask().run(image=picture(200), **nodes, parts=(smaller,))
