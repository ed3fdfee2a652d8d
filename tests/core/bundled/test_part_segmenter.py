from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest
from maskloss.core.bundled.found_faces import find_faces
from maskloss.core.bundled.part_segmenter import BundledPartSegmenter
from maskloss.core.errors import InternalError, ModelMissingError


@pytest.mark.models
def test_six_people_have_faces_hair_above_them_and_bodies_below(t1_photograph: np.ndarray):
    parts = BundledPartSegmenter().segment(t1_photograph)
    assert parts.approximate
    assert parts.scheme.id == "maskloss_4"
    assert parts.label_HW.shape == t1_photograph.shape[:2]
    face, hair, body = (parts.scheme.class_id(name) for name in ("Face", "Hair", "Body"))
    crowned: list[bool] = []
    for found in find_faces(t1_photograph):
        oval_HW = np.zeros(parts.label_HW.shape, np.uint8)
        cv2.fillPoly(oval_HW, [np.rint(found.mesh.oval_N2).astype(np.int32)], 1)
        assert (parts.label_HW[oval_HW > 0] == face).mean() > 0.85
        forehead, chin = found.mesh.points_N2[10], found.mesh.points_N2[152]
        height = np.linalg.norm(forehead - chin)
        crown = np.rint(forehead + 0.25 * (forehead - chin)).astype(int)
        crowned.append((parts.label_HW[crown[1] - 3 : crown[1] + 4, crown[0] - 3 : crown[0] + 4] == hair).mean() > 0.5)
        chest = np.rint(chin + np.array([0, 0.8 * height])).astype(int)
        assert (parts.label_HW[chest[1] - 3 : chest[1] + 4, chest[0] - 3 : chest[0] + 4] == body).mean() > 0.5
    assert sum(crowned) >= 5  # the fair woman on the right: her parting is taken for skin
    shares = np.bincount(parts.label_HW.reshape(-1), minlength=4) / parts.label_HW.size
    assert shares[0] > 0.4
    assert 0.04 < shares[face] < 0.09
    assert 0.03 < shares[hair] < 0.09


@pytest.mark.models
def test_long_hair_is_hair_below_the_chin(sample_photograph: Callable[[int], np.ndarray]):
    """sample1: black hair to the waist in the middle; the clothes are black too."""
    photograph = sample_photograph(1)
    parts = BundledPartSegmenter().segment(photograph)
    hair_HW = parts.mask(parts.scheme.ids(["hair"]))
    chin = find_faces(photograph)[1].mesh.points_N2[152]
    below_HW = hair_HW[int(chin[1]) :, 700:1250]
    assert below_HW.sum() > 60_000
    assert not hair_HW[:120].any()


@pytest.mark.models
def test_someone_without_a_face_in_sight_is_all_body(sample_photograph: Callable[[int], np.ndarray]):
    headless_HWC = sample_photograph(6)[900:1500, 250:1100]
    assert find_faces(headless_HWC) == ()
    parts = BundledPartSegmenter().segment(headless_HWC)
    assert set(np.unique(parts.label_HW)) <= {0, parts.scheme.class_id("Body")}
    assert parts.mask(parts.scheme.ids(["body"])).mean() > 0.3


@pytest.mark.models
def test_an_empty_picture_is_background_and_a_wrong_array_is_refused():
    assert not BundledPartSegmenter().segment(np.full((90, 70, 3), 200, np.uint8)).label_HW.all()
    with pytest.raises(InternalError, match="uint8 RGB"):
        BundledPartSegmenter().segment(np.zeros((9, 9, 3), np.float32))


def test_without_models_there_is_no_segmenter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("MASKLOSS_MODELS", str(tmp_path))
    with pytest.raises(ModelMissingError, match="maskloss models --install"):
        BundledPartSegmenter()
