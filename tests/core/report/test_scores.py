"""The report of a run whose checkpoints were scored."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from maskloss.core.images import save_image
from maskloss.core.report.report import write_report
from maskloss.core.scores.checkpoint_scores import CheckpointScores
from maskloss.core.train.lora_file import save_lora
from maskloss.core.train.run import RunFiles

SCORES = (
    CheckpointScores(0, 4, 4, 0.2, 0.2, 0.0, 0.0, "a", 0.0, 0.0),
    CheckpointScores(10, 4, 4, 0.6, 0.2, 0.02, 0.05, "a", 0.01, 0.1),
    CheckpointScores(20, 4, 3, 0.7, 0.2, 0.4, 0.1, "b<", 0.02, 0.2),
)


def _report(tmp_path: Path, scores: tuple[CheckpointScores, ...]) -> tuple[str, list[str]]:
    files = RunFiles(tmp_path / "lora")
    parts = {f"diffusion_model.x.lora_{part}.weight": torch.zeros(2, 2) for part in ("up", "down")}
    save_lora(files.lora, parts)
    for each in scores:
        save_image(files.sample(each.step), np.full((32, 64, 3), each.step, np.uint8))
    save_image(files.base_sample, np.zeros((32, 64, 3), np.uint8))
    loss = {"loss": [1.0, 0.5], "validation": []}
    if scores:
        loss["scores"] = [each.to_json() for each in scores]
    page, lines = write_report(tmp_path / "report", None, None, loss, files.lora)
    return page.read_text(encoding="utf-8"), lines


def test_every_checkpoint_has_its_row_and_the_one_to_keep_is_named(tmp_path: Path) -> None:
    html, lines = _report(tmp_path, SCORES)
    assert "Checkpoints and their scores" in html
    assert html.count("<article>") == 3
    assert 'step 10 <span class="badge good">keep</span>' in html
    assert "Checkpoint to keep: step 10. Step 10: likeness 0.60 (the base model" in html
    assert "b&lt;" in html, "names are escaped"
    assert html.count('alt="samples of step') == 3
    assert html.count('alt="base model of step 0"') == 1
    assert 'class="dot likeness"' in html
    (line,) = [line for line in lines if line.startswith("Checkpoint to keep: step 10.")]
    assert lines[-2] == line
    assert len(lines) <= 10


def test_without_scores_the_page_shows_sample_pictures_spread_over_the_run(tmp_path: Path) -> None:
    files = RunFiles(tmp_path / "lora")
    for step in range(0, 101, 10):
        save_image(files.sample(step), np.full((32, 64, 3), step, np.uint8))
    (tmp_path / "lora.samples/step_000100.png").write_bytes(b"damaged")
    html, _ = _report(tmp_path, ())
    assert "Sample pictures" in html
    assert "Checkpoints" not in html
    assert [step for step in range(0, 101, 10) if f'alt="step {step} of lora"' in html] == [0, 20, 40, 60, 80]
    assert 'lora <span class="badge good">6 of 11</span>' in html
    assert "step_000100.png" in html, "the last one is damaged, which its row says"
    assert "Sample pictures" not in _report(tmp_path / "scored", SCORES)[0]


def test_without_scores_the_page_has_no_checkpoints(tmp_path: Path) -> None:
    html, lines = _report(tmp_path, ())
    assert "Checkpoints" not in html
    assert not any("Checkpoint" in line for line in lines)
