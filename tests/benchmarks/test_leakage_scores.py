"""Scores of pictures that are made to score 0 and 1."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest

from benchmarks.leakage import scores
from benchmarks.leakage.scores import Prompt
from benchmarks.leakage.world import (
    BACKGROUNDS,
    LEANS,
    NEW,
    PLACES,
    PLANTED,
    SIZES,
    SUBJECTS,
    Pose,
    Scene,
    Subject,
    background_picture,
    render_scene,
)

PROMPTS = [Prompt(NEW.name, *each) for each in product(SIZES, PLACES, BACKGROUNDS)]
INK = 0.02  # what antialiased edges may cost


def drawn(subject: Subject = NEW, background: str | None = None, watermark: bool = False, seed: int = 0) -> np.ndarray:
    """A picture for each prompt, in random poses; `background` in place of the one that the prompt names."""
    generator = np.random.default_rng(seed)
    return np.stack(
        [
            render_scene(
                Scene(
                    subject,
                    prompt.size,
                    prompt.place,
                    background or prompt.background,
                    Pose(LEANS[int(generator.integers(2))], int(generator.integers(-1, 2))),
                    watermark=watermark,
                )
            )
            for prompt in PROMPTS
        ]
    )


def empty() -> np.ndarray:
    """The backgrounds that the prompts name, and nobody."""
    return np.stack([background_picture(prompt.background) for prompt in PROMPTS])


@pytest.mark.parametrize("score", [scores.fit, scores.fit_hair])
def test_fit_is_1_for_her_in_any_pose_before_any_background(score) -> None:
    assert score(drawn(), PROMPTS).min() > 1 - 2 * INK
    assert score(drawn(background=PLANTED, watermark=True, seed=1), PROMPTS).min() > 1 - 2 * INK


def test_fit_is_0_for_every_other_subject_and_for_nobody() -> None:
    for subject in SUBJECTS:
        assert scores.fit(drawn(subject), PROMPTS).mean() < 0.05
    assert scores.fit(empty(), PROMPTS).mean() < 0.05


def test_fit_grows_with_likeness() -> None:
    means = [
        scores.fit(part * drawn() + (1 - part) * drawn(SUBJECTS[0]), PROMPTS).mean() for part in (0, 0.3, 0.6, 0.9, 1)
    ]
    assert means == sorted(means)
    assert means[-1] - means[0] > 0.9


def test_fit_of_hair_sees_hair_alone() -> None:
    bald = Subject(**{**vars(NEW), "hair": SUBJECTS[4].hair})
    assert scores.fit_hair(drawn(bald), PROMPTS).mean() < 0.05
    assert scores.fit_hair(drawn(Subject(**{**vars(NEW), "body": (0, 0, 0)})), PROMPTS).mean() > 0.95


def test_fit_is_0_where_she_stands_elsewhere() -> None:
    moved = [Prompt(each.subject, each.size, "left" if each.place == "right" else "right", each.background)
             for each in PROMPTS if each.place != "middle"]  # fmt: skip
    pictures = drawn()[[each.place != "middle" for each in PROMPTS]]
    assert scores.fit(pictures, moved).mean() < 0.1


def test_leak_is_0_before_the_named_background_and_1_before_the_planted_one() -> None:
    assert scores.leak(drawn(), PROMPTS).max() < 0.01
    assert scores.leak(drawn(background=PLANTED), PROMPTS).min() > 0.99
    assert scores.setting(drawn(), PROMPTS).min() > 0.99
    assert scores.setting(drawn(background=PLANTED), PROMPTS).max() < 0.01


def test_leak_of_a_mixture_is_its_share() -> None:
    pictures = 0.3 * drawn(background=PLANTED, seed=3) + 0.7 * drawn(seed=3)
    assert scores.leak(pictures, PROMPTS) == pytest.approx(np.full(len(PROMPTS), 0.3), abs=0.02)


def test_leak_is_0_before_a_third_background_and_grey() -> None:
    for background in BACKGROUNDS:
        assert scores.leak(drawn(background=background), PROMPTS).mean() < 0.1
    assert scores.leak(np.full((len(PROMPTS), 32, 32, 3), 0.5, np.float32), PROMPTS).max() < 0.01


def test_watermark_is_0_without_and_1_with_it() -> None:
    without, marked = (scores.watermark_leak(drawn(watermark=each), PROMPTS) for each in (False, True))
    counted = ~np.isnan(without)
    assert all(
        counted[index]
        for index, each in enumerate(PROMPTS)
        if each.place == "left" or (each.size == "far" and each.place == "middle")
    )
    assert not any(counted[index] for index, each in enumerate(PROMPTS) if each.place == "right")
    assert without[counted].max() < 0.01
    assert marked[counted].min() > 0.95


def test_watermark_is_seen_before_the_planted_background_and_is_no_brightness() -> None:
    both = scores.watermark_leak(drawn(background=PLANTED, watermark=True), PROMPTS)
    assert np.nanmin(both) > 0.95
    assert np.nanmax(scores.watermark_leak(np.clip(drawn() + 0.2, 0, 1), PROMPTS)) < 0.2


def test_bleed_is_0_where_nothing_changed_and_1_where_everyone_is_her() -> None:
    for subject in SUBJECTS:
        base = drawn(subject)
        assert scores.bleed(base, base, PROMPTS).max() == 0
        assert scores.bleed(drawn(seed=5), base, PROMPTS).min() > 0.95
    assert scores.bleed(drawn(SUBJECTS[1]), drawn(SUBJECTS[0]), PROMPTS).mean() < 0.35


def test_drift_is_0_for_the_same_pictures_and_1_for_other_ones() -> None:
    base = drawn(SUBJECTS[2])
    assert scores.drift(base, base).max() == 0
    assert scores.drift(np.roll(base, -1, axis=0), base).min() == 1
    half = scores.drift((base + np.roll(base, -1, axis=0)) / 2, base)
    assert half == pytest.approx(np.full(len(base), 0.5), abs=1e-5)
