import json
from dataclasses import replace
from pathlib import Path

import pytest
from maskloss.core.errors import DiskError
from maskloss.core.train.loss_log import LossLog, loss_map, points_from_json, points_to_json
from maskloss.core.train.metrics import History, LossPoint

POINTS = [
    LossPoint(1, 0.5, None, 0.75, 0.0, 1e-4, 2.0, ("a", "b")),
    LossPoint(2, 0.25, 0.5, None, 1.0, 1e-4, 1.0),
    LossPoint(3, 0.125, None, 0.25, 0.5, 5e-5, 0.5),
]


def test_what_is_not_known_is_no_number_in_the_loss_map():
    values = loss_map(History(POINTS, [(0, 1.5), (3, 1.25)]))
    assert values == {
        "loss": [0.5, 0.25, 0.125],
        "inside": [None, 0.5, None],
        "outside": [0.75, None, 0.25],
        "coverage": [0.0, 1.0, 0.5],
        "learning_rate": [1e-4, 1e-4, 5e-5],
        "grad_norm": [2.0, 1.0, 0.5],
        "validation": [[0, 1.5], [3, 1.25]],
    }


def test_the_drift_from_the_teacher_is_among_them_where_one_was_asked():
    with_prior = [POINTS[0], *(replace(point, prior=point.loss / 4) for point in POINTS[1:])]
    assert loss_map(History(with_prior))["prior"] == [None, 0.0625, 0.03125]


def test_points_of_a_log_without_it_are_read():
    older = [{key: value for key, value in point.items() if key != "prior"} for point in points_to_json(POINTS)]
    assert points_from_json(older) == POINTS


def test_points_survive_json():
    assert points_from_json(json.loads(json.dumps(points_to_json(POINTS)))) == POINTS


def test_lines_come_as_they_happen_and_a_resumed_log_forgets_what_was_not_saved(tmp_path: Path):
    path = tmp_path / "run" / "lora.jsonl"
    log = LossLog(path, History())
    log.add_validation(0, 1.5)
    for point in POINTS:
        log.add(point)
        assert json.loads(path.read_text().splitlines()[-1])["step"] == point.step
    LossLog(path, History(POINTS[:2], [(0, 1.5), (2, 1.0)])).add_validation(3, 0.5)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [(line["step"], "validation" in line) for line in lines] == [
        (0, True),
        (1, False),
        (2, False),
        (2, True),
        (3, True),
    ]
    assert lines[1]["near_zero"] == ["a", "b"]
    assert lines[1]["inside"] is None


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs a device that is always full")
def test_a_full_disk_is_an_error_that_says_so(tmp_path: Path):
    path = tmp_path / "lora.jsonl"
    log = LossLog(path, History())
    path.unlink()
    path.symlink_to("/dev/full")
    with pytest.raises(DiskError, match=r"lora\.jsonl cannot be written \(No space left on device\); make room"):
        log.add(POINTS[0])


def test_the_loss_of_each_person_is_told_where_items_are_theirs():
    points = [replace(POINTS[0], people={"anna": 0.5}), replace(POINTS[1], people={"berta": 0.25})]
    values = loss_map(History(points))
    assert values["inside/anna"] == [0.5, None]
    assert values["inside/berta"] == [None, 0.25]
    assert points_from_json(json.loads(json.dumps(points_to_json(points)))) == points
    assert "people" not in points_to_json(POINTS)[0]
