from __future__ import annotations

from maskloss.core.scores.best_checkpoint import RULE, choose_checkpoint
from maskloss.core.scores.checkpoint_scores import CheckpointScores


def _scores(step: int, likeness: float | None, faces: int = 4, **more: float | None) -> CheckpointScores:
    return CheckpointScores(step, 4, faces, likeness, **{"base_likeness": 0.2, **more})


def test_the_greatest_likeness_is_kept() -> None:
    choice = choose_checkpoint([_scores(0, 0.9), _scores(100, 0.4), _scores(200, 0.6), _scores(300, 0.5)])
    assert (choice.step, choice.sure) == (200, True)
    assert choice.reason == (
        "Step 200: likeness 0.60 (the base model's 0.20), bleed not measured, a face in 4 of 4 pictures."
    )


def test_the_earliest_of_those_as_good_is_kept() -> None:
    assert choose_checkpoint([_scores(100, 0.585), _scores(200, 0.57), _scores(300, 0.6)]).step == 100


def test_bleed_counts_against_likeness_and_a_fall_of_it_does_not_count_for_it() -> None:
    bled = [_scores(100, 0.5, bleed=0.0), _scores(200, 0.6, bleed=0.3)]
    assert choose_checkpoint(bled).step == 100
    assert choose_checkpoint([_scores(100, 0.5, bleed=-0.9), _scores(200, 0.6, bleed=0.0)]).step == 200


def test_a_checkpoint_that_repeats_a_photograph_is_not_kept() -> None:
    assert choose_checkpoint([_scores(100, 0.5, copy_risk=0.1), _scores(200, 0.8, copy_risk=0.4)]).step == 100
    choice = choose_checkpoint([_scores(100, 0.5, copy_risk=0.3), _scores(200, 0.8, copy_risk=0.4)])
    assert (choice.step, choice.sure) == (None, False)
    assert "step 100, has a copy risk of 0.30" in choice.reason


def test_too_few_faces_is_no_checkpoint_and_is_said() -> None:
    choice = choose_checkpoint([_scores(100, 0.9, faces=1), _scores(200, None, faces=0)])
    assert (choice.step, choice.sure) == (None, False)
    assert choice.reason == "No checkpoint shows a face in half of its pictures (at most 1 of 4)."
    assert choose_checkpoint([_scores(0, 0.9)]).reason == "No checkpoint has scores."
    assert choose_checkpoint([]).step is None


def test_weak_figures_are_not_sure() -> None:
    weak = choose_checkpoint([_scores(100, 0.24)])
    assert (weak.step, weak.sure) == (100, False)
    assert weak.reason.endswith("Not sure: the likeness is less than 0.05 above the base model's.")
    single = choose_checkpoint([CheckpointScores(100, 1, 1, 0.7)])
    assert (single.step, single.sure) == (100, False)
    assert "fewer than two pictures show a face" in single.reason


def test_the_rule_names_the_thresholds() -> None:
    assert "within 0.02" in RULE
    assert "at most 0.25" in RULE
