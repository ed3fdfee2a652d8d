"""Scores as a run's log keeps them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from maskloss.core.errors import TrainingError
from maskloss.core.scores.checkpoint_scores import CheckpointScores
from maskloss.core.train.lora_file import save_lora
from maskloss.core.train.loss_log import LossLog
from maskloss.core.train.metrics import History
from maskloss.core.train.scored_lora import best_lora, read_scores, run_of


def test_a_line_that_a_kill_cut_off_costs_only_itself(tmp_path: Path) -> None:
    path = tmp_path / "lora.jsonl"
    kept = [CheckpointScores(0, 1, 1, 0.2), CheckpointScores(2, 1, 1, 0.6)]
    LossLog(path, History(scores=kept))
    whole = path.read_text(encoding="utf-8")
    path.write_text(whole + '{"step": 4, "scor', encoding="utf-8")
    assert read_scores(path) == kept
    path.write_text('{"step": 4, "scor\n' + whole, encoding="utf-8")
    with pytest.raises(TrainingError, match="is damaged"):
        read_scores(path)


def _lora(path: Path, scores: CheckpointScores | None) -> Path:
    tensors = {
        "diffusion_model.a.lora_up.weight": torch.ones(2, 1),
        "diffusion_model.a.lora_down.weight": torch.ones(1, 2),
    }
    metadata = {} if scores is None else {"maskloss.scores": json.dumps(scores.to_json())}
    save_lora(path, tensors, {"ss_steps": "6", **metadata})
    return path


@pytest.fixture
def run(tmp_path: Path) -> list[CheckpointScores]:
    """A run of six steps whose second checkpoint is the best, and an earlier one's LoRA of the fourth step."""
    scores = [
        CheckpointScores(step, 2, 2, likeness, 0.1) for step, likeness in ((0, 0.1), (2, 0.6), (4, 0.7), (6, 0.5))
    ]
    LossLog(tmp_path / "lora.jsonl", History(scores=scores))
    _lora(tmp_path / "lora-step00000002.safetensors", scores[1])
    _lora(tmp_path / "lora-step00000004.safetensors", CheckpointScores(4, 2, 2, 0.3, 0.1))
    _lora(tmp_path / "lora.safetensors", scores[3])
    return scores


@pytest.mark.parametrize("given", ["lora", "lora-step00000002", "lora-step00000004"])
def test_any_file_of_a_run_leads_to_its_best(tmp_path: Path, run: list[CheckpointScores], given: str) -> None:
    best, choice = best_lora(tmp_path / f"{given}.safetensors")
    assert best == tmp_path / "lora-step00000002.safetensors", "the one of step 4 is another run's"
    assert choice.step == 2
    assert "Step 4 scored better, and its LoRA is not there" in choice.reason
    _lora(tmp_path / "lora-step00000004.safetensors", run[2])
    assert best_lora(tmp_path / f"{given}.safetensors")[0] == tmp_path / "lora-step00000004.safetensors"


def test_only_files_that_can_be_read_are_offered(tmp_path: Path, run: list[CheckpointScores]) -> None:
    (tmp_path / "lora-step00000002.safetensors").write_bytes(b"cut off")
    assert best_lora(tmp_path / "lora.safetensors")[0] == tmp_path / "lora.safetensors"
    _lora(tmp_path / "lora.safetensors", None)
    with pytest.raises(TrainingError, match=r"No LoRA of .*lora\.safetensors can be recommended"):
        best_lora(tmp_path / "lora-step00000002.safetensors")


def test_a_run_may_be_named_like_a_numbered_lora(tmp_path: Path, run: list[CheckpointScores]) -> None:
    name, own = "lora-step00000002", CheckpointScores(5, 2, 2, 0.9, 0.1)
    LossLog(tmp_path / f"{name}.jsonl", History(scores=[own]))
    _lora(tmp_path / f"{name}.safetensors", own)
    assert best_lora(tmp_path / f"{name}.safetensors")[1].step == 5
    assert run_of(tmp_path / "lora-step00000004.safetensors").log == tmp_path / "lora.jsonl"
