"""Likeness, copies and backgrounds of real photographs, by the bundled recogniser."""

from __future__ import annotations

import io
import itertools
from collections.abc import Callable
from importlib import util
from pathlib import Path

import cv2
import numpy as np
import pytest
from maskloss.core.bundled.recognizer import BundledFaceRecognizer
from maskloss.core.errors import SettingError
from maskloss.core.people.identity import Identity
from maskloss.core.people.references import reference_identity
from maskloss.core.scores.backgrounds import background_similarity, describe_background, outside_people
from maskloss.core.scores.best_checkpoint import MOST_COPY_RISK
from maskloss.core.scores.copies import UNRELATED, hash_pictures
from maskloss.core.scores.likeness import measure_likeness
from maskloss.core.scores.picture_scores import PictureScorer, mean_likeness
from maskloss.core.scores.score_report import score_pictures
from maskloss.core.scores.training_pictures import TrainingPictures
from maskloss.core.segmenters.find import load_face_recognizer
from PIL import Image

from benchmarks.photographs import read_rgb

models = pytest.mark.models
photographs = pytest.mark.photographs


@pytest.fixture(scope="module")
def recognizer() -> BundledFaceRecognizer:
    return BundledFaceRecognizer()


@models
@photographs
def test_the_same_person_is_more_alike_than_any_other_in_nearly_all_pairs(
    recognizer: BundledFaceRecognizer, sample_photograph: Callable[[int], np.ndarray], t1_photograph: np.ndarray
) -> None:
    same: list[float] = []
    portraits = [read_rgb(name) for name in ("obama.jpg", "obama2.jpg", "obama3.jpg")]
    strangers = [read_rgb("biden.jpg"), t1_photograph, *(sample_photograph(number) for number in (2, 4, 5, 6))]
    identities = [reference_identity(recognizer, [("him", portrait)])[0] for portrait in portraits[:1]]
    others: list[float] = []
    for identity in identities:
        for portrait in portraits[1:]:
            best = measure_likeness(portrait, recognizer, identity).best
            assert best is not None
            same.append(best)
        others += [each for rgb in strangers for each in measure_likeness(rgb, recognizer, identity).similarities]
    her, _, _ = reference_identity(recognizer, [("sample1", sample_photograph(1))], face_index=2)
    third = measure_likeness(sample_photograph(3), recognizer, her)
    assert third.best == third.similarities[1]
    same.append(third.similarities[1])
    others += [each for index, each in enumerate(third.similarities) if index != 1]
    others += [each for rgb in strangers for each in measure_likeness(rgb, recognizer, her).similarities]
    assert len(others) > 30
    right = [one > other for one, other in itertools.product(same, others)]
    assert np.mean(right) >= 0.95


@models
def test_no_face_is_a_result_and_no_zero(recognizer: BundledFaceRecognizer) -> None:
    him = Identity(np.ones((1, 128), np.float32), recognizer.identity, ("him",))
    scorer = PictureScorer(recognizer, him)
    nothing = np.random.default_rng(1).integers(0, 255, (256, 320, 3), np.uint8)
    score = scorer.score(cv2.GaussianBlur(nothing, (0, 0), 9))
    assert (score.likeness.faces, score.likeness.best, mean_likeness([score])) == (0, None, None)
    assert score.to_json()["likeness"] is None


@models
def test_another_recognisers_identity_is_refused(recognizer: BundledFaceRecognizer) -> None:
    other = Identity(np.ones((1, 128), np.float32), "another", ("him",))
    with pytest.raises(SettingError, match="read by another, but the pictures by bundled-dlib"):
        measure_likeness(np.zeros((64, 64, 3), np.uint8), recognizer, other)


def _recompressed(rgb_HWC: np.ndarray) -> np.ndarray:
    picture = Image.fromarray(np.ascontiguousarray(rgb_HWC))
    data = io.BytesIO()
    picture.resize((picture.width * 2 // 3, picture.height * 2 // 3)).save(data, "JPEG", quality=40)
    return np.asarray(Image.open(data))


@models
def test_a_copy_is_the_nearest_also_mirrored_and_recompressed(
    sample_photograph: Callable[[int], np.ndarray], t1_photograph: np.ndarray
) -> None:
    trained = [(f"sample{number}", sample_photograph(number)) for number in (1, 2, 3, 4)]
    hashes = hash_pictures(trained)
    unrelated = [hashes.nearest(picture)[1] for picture in (t1_photograph, sample_photograph(5), sample_photograph(6))]
    for name, rgb_HWC in trained:
        height, width = rgb_HWC.shape[:2]
        side = min(height, width)
        square_HWC = rgb_HWC[(height - side) // 2 :][:side, (width - side) // 2 :][:, :side]
        for copy_HWC in (rgb_HWC, _recompressed(rgb_HWC), _recompressed(rgb_HWC[:, ::-1]), _recompressed(square_HWC)):
            found, alike = hashes.nearest(copy_HWC)
            assert found == name
            assert alike > 0.9
    assert max(unrelated) < 0.7
    assert hashes.typical() < 0.7


def test_one_photograph_alone_is_compared_with_what_is_unrelated() -> None:
    assert hash_pictures([("one", np.zeros((64, 64, 3), np.uint8))]).typical() == UNRELATED


def test_what_training_photographs_are_to_each_other_is_the_median_of_the_nearest() -> None:
    rng = np.random.default_rng(0)
    scene = cv2.resize(rng.integers(0, 255, (12, 12, 3), np.uint8), (128, 128))
    others = [cv2.resize(rng.integers(0, 255, (12, 12, 3), np.uint8), (128, 128)) for _ in range(3)]
    repeated = hash_pictures([("a", scene), ("b", scene), ("c", scene)])
    assert repeated.typical() == UNRELATED, "a photograph kept twice is no other one"
    assert repeated.nearest(scene)[1] - repeated.typical() > MOST_COPY_RISK
    assert hash_pictures([(str(i), each) for i, each in enumerate(others)]).typical() < 0.75


def _scene(seed: int) -> np.ndarray:
    """A room of a few colours and stripes."""
    rng = np.random.default_rng(seed)
    rgb_HWC = np.empty((240, 240, 3), np.uint8)
    rgb_HWC[:] = rng.integers(40, 220, 3)
    rgb_HWC[150:] = rng.integers(40, 220, 3)
    across = bool(rng.integers(2))
    for place in range(0, 240, 24):
        (rgb_HWC[place : place + 6] if across else rgb_HWC[:, place : place + 6])[:] = rng.integers(40, 220, 3)
    return rgb_HWC


def test_a_background_is_known_again_behind_another_person() -> None:
    people = (np.uint8([200, 30, 30]), np.uint8([30, 30, 200]))
    boxes = ((60.0, 60.0, 100.0, 100.0), (130.0, 40.0, 160.0, 70.0))
    size = (240, 240)

    def described(seed: int, person: int) -> np.ndarray:
        rgb_HWC, outside_HW = _scene(seed), outside_people(size, [boxes[person]])
        rgb_HWC[~outside_HW] = people[person]
        description_K = describe_background(rgb_HWC, outside_HW)
        assert description_K is not None
        return description_K

    rooms = [(described(seed, 0), described(seed, 1)) for seed in range(5)]
    for index, (_, again) in enumerate(rooms):
        alike = [background_similarity(again, first) for first, _ in rooms]
        assert int(np.argmax(alike)) == index
        assert alike[index] > 0.8
        assert max(each for place, each in enumerate(alike) if place != index) < alike[index] - 0.2
    assert background_similarity(rooms[0][0], rooms[0][0]) == pytest.approx(1)


def test_the_person_is_a_column_below_the_head() -> None:
    outside_HW = outside_people((100, 80), [(40.0, 20.0, 60.0, 40.0)])
    assert outside_HW[:5].all()
    assert not outside_HW[5:, 20:80].any()
    assert outside_HW[:, :20].all()
    assert outside_HW[:, 80:].all()
    assert describe_background(np.zeros((80, 100, 3), np.uint8), np.zeros((80, 100), bool)) is None


@models
@photographs
def test_a_photograph_scored_against_itself_is_a_copy_with_its_background(
    recognizer: BundledFaceRecognizer, sample_photograph: Callable[[int], np.ndarray]
) -> None:
    obama, other = read_rgb("obama.jpg"), sample_photograph(2)
    identity, _, _ = reference_identity(recognizer, [("him", obama)])
    hashes = hash_pictures([("obama", obama), ("sample5", sample_photograph(5))])
    boxes = measure_likeness(obama, recognizer, identity).boxes
    outside_HW = outside_people((obama.shape[1], obama.shape[0]), boxes)
    description_K = describe_background(obama, outside_HW)
    assert description_K is not None
    training = TrainingPictures(hashes, hashes.typical(), (description_K,))
    scorer = PictureScorer(recognizer, identity, training)
    same, stranger = scorer.score(obama), scorer.score(other)
    assert same.copy_of == "obama"
    assert same.copy_risk is not None
    assert stranger.copy_risk is not None
    assert same.copy_risk > 0.25 > stranger.copy_risk
    assert same.likeness.best == pytest.approx(1)
    assert same.background is not None
    assert stranger.background is not None
    assert same.background > 0.9 > stranger.background


@models
def test_a_pack_of_insightface_measures_as_well(tmp_path: Path) -> None:
    """A pack in form alone: what it takes for a face is a red square. Published weights have not been tried."""
    pytest.importorskip("insightface")
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    spec = util.spec_from_file_location("tiny_onnx", Path(__file__).parents[1] / "segmenters/tiny_onnx.py")
    assert spec is not None
    assert spec.loader is not None
    tiny_onnx = util.module_from_spec(spec)
    spec.loader.exec_module(tiny_onnx)
    tiny_onnx.face_detector(tmp_path / "models/tiny/det.onnx")
    tiny_onnx.face_embedder(tmp_path / "models/tiny/rec.onnx")
    recognizer = load_face_recognizer("tiny", [tmp_path])
    shown_HWC = np.full((640, 640, 3), 127, np.uint8)
    shown_HWC[256:288, 64:96] = (255, 0, 0)
    identity, _, _ = reference_identity(recognizer, [("reference", shown_HWC)])
    empty_HWC = np.full((640, 640, 3), 127, np.uint8)
    report = score_pictures([("shown", shown_HWC), ("empty", empty_HWC)], PictureScorer(recognizer, identity))
    (_, shown), (_, empty) = report.scored
    assert (shown.likeness.faces, empty.likeness.faces) == (1, 0)
    assert shown.likeness.best == pytest.approx(1.0, abs=1e-4)
    assert empty.likeness.best is None
    assert report.recognizer == recognizer.identity != BundledFaceRecognizer().identity
    assert any("non-commercial" in note for note in recognizer.notes)
    with pytest.raises(SettingError, match="recogni"):
        measure_likeness(shown_HWC, BundledFaceRecognizer(), identity)
