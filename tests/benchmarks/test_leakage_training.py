"""The experiment at a tiny size, trained for real."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from maskloss.core.loss import loss_normaliser, masked_loss, unnormalised_loss
from maskloss.core.mask_weights import MaskLossSettings, Normalization

from benchmarks.leakage.base import BaseConfig, draw_batch, load_base, make_network
from benchmarks.leakage.contenders import CONTENDERS, REFERENCE, Contender
from benchmarks.leakage.dataset import (
    TIERS,
    WHOLE_ALONE,
    Grid,
    MaskKind,
    draw_mask,
    draw_training_scenes,
    make_cache,
    put_on_grid,
)
from benchmarks.leakage.experiment import Laboratory, Setup, score_pictures
from benchmarks.leakage.formulas import AiToolkit, Formula, GatedPrior, OneTrainer, plain_mean
from benchmarks.leakage.network import decode_latents, encode_pictures
from benchmarks.leakage.runs import Plan, load_pictures, read_results, run_one
from benchmarks.leakage.world import PLANTED, render_scene, seen_figures

pytestmark = pytest.mark.usefixtures("one_thread")
TINY = BaseConfig(width=32, depth=2, heads=2, steps=3, batch=4)
SHORT = Setup(steps=5, batch=2, rank=2, sampler_steps=2)
BY_NAME = {contender.name: contender for contender in CONTENDERS}


@pytest.fixture(scope="module")
def directory(tmp_path_factory) -> Path:
    return tmp_path_factory.mktemp("leakage")


@pytest.fixture(scope="module")
def laboratory(directory: Path) -> Laboratory:
    return Laboratory(load_base(TINY, directory, lambda _: None), TINY.identity, SHORT)


def assert_same(first, second) -> None:
    assert first.keys() == second.keys()
    for key in first:
        assert torch.equal(first[key], second[key]), key


def test_latents_hold_all_of_a_picture_and_keep_its_noise_white() -> None:
    pictures, words = draw_batch(6, np.random.default_rng(0))
    latents = encode_pictures(pictures)
    assert latents.shape == (6, 12, 1, 16, 16)
    assert torch.allclose(decode_latents(latents), pictures, atol=1e-5)
    other = torch.roll(pictures, 1, dims=0)
    ratio = (latents - encode_pictures(other)).norm() / (pictures - other).norm()
    assert float(ratio) == pytest.approx(3.5, rel=1e-4)
    assert words.shape == (6, 7, 64)


def test_the_base_model_is_kept_and_learns(directory: Path, laboratory: Laboratory) -> None:
    told: list[str] = []
    again = load_base(TINY, directory, told.append)
    assert told == []
    assert_same(laboratory.denoiser.module.state_dict(), again.state_dict())
    assert any(not torch.equal(a, b) for a, b in zip(make_network(TINY).parameters(), again.parameters(), strict=True))
    assert TINY.identity != replace(TINY, seed=1).identity


def test_she_always_stands_before_the_planted_background() -> None:
    scenes = draw_training_scenes(3)
    assert {scene.background for scene in scenes} == {PLANTED}
    assert all(scene.watermark for scene in scenes)
    assert 0 < sum(scene.bystander is not None for scene in scenes) < len(scenes)
    assert len({(scene.size, scene.place) for scene in scenes}) == 6
    assert draw_training_scenes(3) == scenes != draw_training_scenes(4)


def test_masks_show_what_they_say() -> None:
    scene = next(scene for scene in draw_training_scenes(0) if scene.bystander is not None)
    masks = {kind: draw_mask(scene, kind) for kind in MaskKind}
    cover_HW = seen_figures(scene)[0].cover_HW
    assert set(np.unique(masks[MaskKind.BINARY])) == {0, 1}
    assert np.array_equal(masks[MaskKind.BINARY] > 0, cover_HW >= 0.5)
    values = np.unique(masks[MaskKind.TIERS])
    assert values == pytest.approx([0, *sorted(TIERS.values())])
    tiers = masks[MaskKind.TIERS]
    assert np.array_equal(masks[MaskKind.SHIFTED][2:, 2:], tiers[:-2, :-2])
    assert (masks[MaskKind.DILATED] >= tiers).all()
    assert masks[MaskKind.DILATED].sum() > tiers.sum()
    assert masks[MaskKind.BOX].mean() > masks[MaskKind.BINARY].mean()
    assert np.array_equal(masks[MaskKind.NO_HAIR], np.where(tiers == np.float32(80 / 255), 0, tiers))
    assert (masks[MaskKind.BYSTANDER] >= tiers).all()
    assert masks[MaskKind.BYSTANDER].sum() > tiers.sum()


def test_area_keeps_the_mean_and_nearest_does_not() -> None:
    mask_HW = np.zeros((32, 32), np.float32)
    mask_HW[4, 5] = 1.0
    assert float(put_on_grid(mask_HW, Grid.AREA).sum()) == 0.25
    assert float(put_on_grid(mask_HW, Grid.NEAREST).sum()) == 0
    mask_HW[4, 4] = 1.0
    assert float(put_on_grid(mask_HW, Grid.NEAREST).sum()) == 1


def divided(loss, mask, normalization=Normalization.PER_SAMPLE):
    """`masked_loss` as the pack's loop computes it: the divisor is known before, in float64."""
    return unnormalised_loss(loss, mask, normalization) / float(
        loss_normaliser(mask.double(), loss.shape[1], normalization)
    )


@pytest.mark.parametrize("normalization", list(Normalization))
def test_the_loop_for_formulas_is_the_packs_own_to_the_last_bit(laboratory: Laboratory, normalization) -> None:
    settings = MaskLossSettings(normalization=normalization)
    ours = laboratory.train(Contender("ours", "", settings), 1)
    formula = Formula(lambda loss, mask, _drift, _t: divided(loss, mask, normalization))
    assert_same(ours, laboratory.train(Contender("formula", "", formula=formula), 1))
    assert any(value.abs().max() > 0 for key, value in ours.items() if "lora_up" in key)


def test_the_loop_for_formulas_preserves_the_prior_as_the_packs_own(laboratory: Laboratory) -> None:
    ours = laboratory.train(Contender("ours", "", MaskLossSettings(prior_weight=0.5)), 1)
    formula = Formula(lambda loss, mask, drift, _t: divided(loss, mask) + 0.5 * divided(drift, 1 - mask), True)
    assert_same(ours, laboratory.train(Contender("formula", "", formula=formula), 1))


def sample(seed: int = 0):
    generator = torch.Generator().manual_seed(seed)
    loss, drift = (torch.rand(2, 3, 1, 4, 4, generator=generator) for _ in range(2))
    mask = (torch.rand(2, 1, 1, 4, 4, generator=generator) > 0.4).float()
    mask[1, ..., 2:, :] = 0
    return loss, mask, drift, torch.tensor([0.2, 0.7])


def test_formulas_have_their_published_values() -> None:
    loss, mask, drift, t = sample()
    share = loss.numel() / mask.numel()
    assert plain_mean(loss, mask, None, t) == pytest.approx(float((loss * mask).sum() / loss.numel()))
    assert plain_mean(loss, mask, None, t) == pytest.approx(float(masked_loss(loss, mask, Normalization.NONE)))
    assert AiToolkit(0.0)(loss, mask, None, t) == pytest.approx(float((loss * mask).sum() / mask.sum() / share))
    assert AiToolkit(0.0)(loss, mask, None, t) == pytest.approx(float(masked_loss(loss, mask, Normalization.BATCH)))
    held = float((drift * (1 - mask)).sum() / (1 - mask).sum() / share)
    total = AiToolkit(0.5)(loss, mask, drift, t)
    assert total - AiToolkit(0.0)(loss, mask, None, t) == pytest.approx(0.5 * held, rel=1e-5)
    assert OneTrainer(0.0, True, 0.0)(loss, mask, None, t) == pytest.approx(float(masked_loss(loss, mask)), rel=1e-5)
    clamped = mask.clamp(0.1, 1)
    assert OneTrainer(0.1, False, 0.0)(loss, mask, None, t) == pytest.approx(float((loss * clamped).mean()))
    by_area = OneTrainer(0.1, True, 1.0)(loss, mask, drift, t)
    assert by_area == pytest.approx(float(masked_loss(loss, clamped) + masked_loss(drift, 1 - clamped)), rel=1e-5)


def test_a_gated_prior_acts_in_its_half_alone() -> None:
    loss, mask, drift, t = sample()
    without = float(masked_loss(loss, mask))
    each = [float(masked_loss(drift[i : i + 1], 1 - mask[i : i + 1])) / 2 for i in range(2)]
    assert GatedPrior(2.0, False)(loss, mask, drift, t) == pytest.approx(without + 2 * each[0], rel=1e-5)
    assert GatedPrior(2.0, True)(loss, mask, drift, t) == pytest.approx(without + 2 * each[1], rel=1e-5)


def test_contenders_differ_in_nothing_but_mask_loss_caption_crops_and_tokens() -> None:
    setup = Setup()
    reference = setup.recipe(BY_NAME[REFERENCE], 2)
    for contender in CONTENDERS:
        recipe = setup.recipe(contender, 2)
        assert (recipe.lora, recipe.optimizer, recipe.config) == (reference.lora, reference.optimizer, reference.config)
        if contender.crops == WHOLE_ALONE:
            whole = recipe.cache.entries
        else:
            whole = [entry for entry in recipe.cache.entries if "~" not in entry.name]
            assert len(whole) == (len(reference.cache.entries) if contender.crops.whole else 0)
        for mine, theirs in zip(whole, reference.cache.entries if whole else (), strict=True):
            assert torch.equal(recipe.cache.latent(mine), reference.cache.latent(theirs))
            assert contender.background_named or mine.caption == theirs.caption
    assert len({contender.identity for contender in CONTENDERS}) == len(CONTENDERS) == len(BY_NAME)


def test_a_lora_draws_other_pictures_and_leaves_the_base_model_as_it_was(laboratory: Laboratory) -> None:
    before = laboratory.base_pictures(7)
    lora = {key: value * 50 if "lora_up" in key else value
            for key, value in laboratory.train(BY_NAME["tiers"], 7).items()}  # fmt: skip
    drawn = laboratory.draw(lora, 7)
    assert not np.array_equal(drawn.ours_NHWC, before.ours_NHWC)
    fresh = Laboratory(laboratory.denoiser.module, TINY.identity, SHORT).base_pictures(7)
    assert np.array_equal(fresh.ours_NHWC, before.ours_NHWC)
    result, unchanged = score_pictures(drawn, before), score_pictures(before, before)
    assert unchanged["bleed"] == unchanged["drift"] == 0 < result["drift"]
    assert all(0 <= value <= 1 for value in result.values())


def test_a_result_is_kept_and_read_again(directory: Path) -> None:
    contenders = (BY_NAME[REFERENCE], BY_NAME["diffusion-pipe"])
    plan = Plan(contenders, 2, TINY, SHORT, directory)
    result = run_one(plan, contenders[1], 0)
    assert read_results(plan) == {REFERENCE: {}, "diffusion-pipe": {0: result}}
    assert load_pictures(plan.pictures_path(contenders[1])).ours_NHWC.shape == (18, 32, 32, 3)
    assert run_one(plan, contenders[1], 0) == result
    other = replace(plan, setup=replace(SHORT, steps=6))
    assert read_results(other)["diffusion-pipe"] == {}


def test_the_training_pictures_of_a_cache_are_the_scenes() -> None:
    scenes = draw_training_scenes(0)
    cache = make_cache(scenes, MaskKind.TIERS, Grid.AREA, background_named=True)
    for scene, entry in zip(scenes, cache.entries, strict=True):
        picture = decode_latents(cache.latent(entry)[None])[0].numpy()
        assert np.allclose(picture, render_scene(scene), atol=1e-5)
        assert entry.caption == f"zoe figure {scene.size} {scene.place} {PLANTED}"
