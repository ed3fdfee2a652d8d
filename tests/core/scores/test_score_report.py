"""The scores of several pictures together, as JSON, warnings and a table."""

from __future__ import annotations

from importlib import util
from pathlib import Path

import numpy as np
import pytest
from maskloss.core.bundled.recognizer import BundledFaceRecognizer
from maskloss.core.errors import DatasetError, SettingError
from maskloss.core.people.identity import Identity
from maskloss.core.people.references import reference_identity
from maskloss.core.scores.likeness import Likeness, measure_likeness
from maskloss.core.scores.picture_scores import PictureScore, PictureScorer
from maskloss.core.scores.score_report import ScoreReport, caption_of, score_pictures
from maskloss.core.segmenters.find import load_face_recognizer

models = pytest.mark.models


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


SEEN = PictureScore(Likeness(((1.0, 2.0, 3.0, 4.0),), (0.625,)), "photo", 0.125, 0.5)
NOBODY = PictureScore(Likeness((), ()), None, None, None)


def test_a_table_has_a_row_for_each_and_one_for_all() -> None:
    report = ScoreReport("painted/1", (("seen", SEEN), ("nobody", NOBODY)), ())
    heading, *rows = [line.split() for line in report.lines()]
    assert heading[:3] == ["picture", "faces", "likeness"]
    assert rows == [
        ["seen", "1", "0.62", "0.12", "photo", "0.50"],
        ["nobody", "0", "-", "-", "-", "-"],
        ["all", "1", "of", "2", "0.62", "0.12", "0.50"],
    ]


def test_json_tells_what_was_not_measured_as_null() -> None:
    found = ScoreReport("painted/1", (("nobody", NOBODY),), ("words",)).to_json()
    assert (found["likeness"], found["copy_risk"], found["background"]) == (None, None, None)
    assert found["counts"] == {"pictures": 1, "with_face": 0}
    assert found["warnings"] == ["words"]
    both = ScoreReport("painted/1", (("seen", SEEN), ("nobody", NOBODY)), ()).to_json()
    assert (both["likeness"], both["copy_risk"], both["background"]) == (0.625, 0.125, 0.5)


def test_a_caption_has_what_was_measured() -> None:
    assert caption_of(SEEN) == "likeness 0.62, background 0.50\ncopy risk +0.12 (photo)"
    assert caption_of(NOBODY) == "no face"


def test_no_picture_is_an_error() -> None:
    with pytest.raises(DatasetError, match="no picture to score"):
        score_pictures([], PictureScorer(BundledFaceRecognizer(), Identity(np.ones((1, 128), np.float32), "x", ("x",))))
