"""Frames of a video that were corrected by hand, where one person is kept."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from maskloss.core.corrections.store import CorrectionStore, Patch
from maskloss.core.dataset.corrected import painted_over, with_corrections
from maskloss.core.dataset.items import Dataset
from maskloss.core.dataset.load import read_weights
from maskloss.core.people.decision import MatchRules, OnNoMatch
from maskloss.core.video.reader import probe

from .colour_people import GREEN, RED, draw_people
from .test_video_person import Film, Step, film, step

__all__ = ["film", "step"]


def test_what_was_painted_on_a_frame_lies_over_what_is_kept_and_not_under_it(
    step: Step, film: Film, tmp_path: Path
) -> None:
    item = film([draw_people((20 + 2 * t, RED, True), (150, GREEN, True)) for t in range(11)])
    dataset, _ = step(item)
    before = (step.out / "film.mkv").read_bytes()
    size = probe(item.media_path).size
    store = CorrectionStore(tmp_path / "corrections")
    patch = Patch(150, 0, np.full((10, 20), 80, np.uint8), np.ones((10, 20), bool))
    store.paint_frame(item.media_path, 4, size, patch, painted_over(item), "")
    corrected = with_corrections(Dataset((item,)), store)[0].items[0]
    again, report = step(corrected)
    assert [row["state"] for row in report["items"]] == ["unchanged"]
    weights = dict(read_weights(again.items[0], range(11)))
    assert (weights[4][:10, 150:170] == np.float32(80 / 255)).all()
    assert (weights[3][:10, 150:170] == 0).all()
    step(corrected, overwrite=True, rules=MatchRules(on_no_match=OnNoMatch.EMPTY))
    assert (step.out / "film.mkv").read_bytes() == before, "nothing of it is in the mask of the one person"
    assert dataset.items[0].correction_path is None
