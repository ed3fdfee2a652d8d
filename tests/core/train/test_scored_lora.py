"""Scores as a run's log keeps them."""

from __future__ import annotations

from pathlib import Path

import pytest
from maskloss.core.errors import TrainingError
from maskloss.core.scores.checkpoint_scores import CheckpointScores
from maskloss.core.train.loss_log import LossLog
from maskloss.core.train.scored_lora import read_scores


def test_a_line_that_a_kill_cut_off_costs_only_itself(tmp_path: Path) -> None:
    path = tmp_path / "lora.jsonl"
    kept = [CheckpointScores(0, 1, 1, 0.2), CheckpointScores(2, 1, 1, 0.6)]
    LossLog(path, [], [], kept)
    whole = path.read_text(encoding="utf-8")
    path.write_text(whole + '{"step": 4, "scor', encoding="utf-8")
    assert read_scores(path) == kept
    path.write_text('{"step": 4, "scor\n' + whole, encoding="utf-8")
    with pytest.raises(TrainingError, match="is damaged"):
        read_scores(path)
