from __future__ import annotations

import dataclasses

import pytest
import torch
from maskloss.core.cache.entries import StaleEntry
from maskloss.core.demo.denoiser import DemoDenoiser
from maskloss.core.errors import CacheError, MaskMissingError, TrainingError
from maskloss.core.mask_weights import MaskLossSettings
from maskloss.core.train.checks import check_training, split_cache
from maskloss.core.train.config import LoraConfig, OptimizerConfig, TrainConfig
from maskloss.core.train.denoiser import Family
from maskloss.core.train.loop import train
from maskloss.core.train.recipe import TrainingRecipe
from maskloss.core.warning import collect_warnings

SIZE = (4, 4)
HALF = torch.cat([torch.ones(1, 1, 4, 2), torch.zeros(1, 1, 4, 2)], dim=-1)


class NoiseModel(DemoDenoiser):
    family = Family.EPS


def notes(cache, settings: MaskLossSettings | None = MaskLossSettings(), validation=None, denoiser=None, **config):  # noqa: B008
    chosen = TrainConfig(**config)
    recipe = TrainingRecipe(cache, settings, LoraConfig(), OptimizerConfig(), chosen, validation)
    with collect_warnings() as given:
        banner = check_training(denoiser or DemoDenoiser(), recipe, split_cache(cache, validation, chosen))
    return [*given.texts, *banner]


def test_the_banner_says_that_masks_act_and_how(make_cache):
    cache = make_cache([("a", SIZE, HALF), ("b", SIZE, None)])
    banner = notes(cache, MaskLossSettings(gamma=0.7, min_weight=0.05))[-1].splitlines()
    assert banner[0] == banner[2] == banner[-1] == "=" * 60
    assert banner[1] == "MASK-WEIGHTED LOSS TRAINING ENABLED"
    text = "\n".join(banner)
    assert "  mask_min_weight: 0.05\n  mask_gamma: 0.7\n  normalization: per_sample\n" in text
    assert "Mask sources: alpha=0, file=1, none=1" in text
    assert "coverage: 75.0%" in text


def test_mask_loss_without_any_mask_is_fatal_before_anything_is_written(make_cache, tmp_path):
    cache = make_cache([("a", SIZE, None)])
    recipe = TrainingRecipe(cache, MaskLossSettings(), LoraConfig(), OptimizerConfig(), TrainConfig())
    with pytest.raises(TrainingError, match=r"^FATAL: mask loss is enabled but the cache has no mask_weights! Give"):
        train(DemoDenoiser(), recipe, tmp_path / "lora")
    assert list(tmp_path.iterdir()) == []


def test_items_without_mask_are_counted_or_with_strict_refused(make_cache):
    cache = make_cache([("a", SIZE, HALF), ("b", SIZE, None), ("c", SIZE, None)])
    assert "2 items had no mask (no alpha + no file). Filled with full-weight (255)." in notes(cache)
    with pytest.raises(MaskMissingError, match="2 of 3 cached items have no mask: b, c"):
        notes(cache, MaskLossSettings(strict=True))
    assert len(notes(make_cache([("a", SIZE, HALF)]), MaskLossSettings(strict=True))) == 1


def test_masks_that_nobody_uses_are_said(make_cache):
    assert "masks do nothing" in notes(make_cache([("a", SIZE, HALF)]), None)[0]
    assert notes(make_cache([("a", SIZE, None)]), None) == []


def test_low_coverage_and_idle_settings_are_warned_of(make_cache):
    speck = torch.zeros(1, 1, 4, 4)
    speck[..., 0, 0] = 0.2
    cache = make_cache([("a", SIZE, speck)])
    assert any("only 1.25%" in note for note in notes(cache))
    assert not any("only" in note for note in notes(cache, MaskLossSettings(invert=True)))
    assert any("huber_delta=2.0" in note for note in notes(cache, MaskLossSettings(huber_delta=2.0)))


def test_masks_that_are_the_same_everywhere_are_said_to_do_nothing(make_cache):
    black, white = torch.zeros(1, 1, 4, 4), torch.ones(1, 1, 4, 4)
    all_black = make_cache([("a", SIZE, black), ("b", SIZE, black)])
    (said, *_) = notes(all_black, MaskLossSettings(min_weight=0.1))
    assert "(2 black), so every pixel of a picture counts alike (black ones by min_weight 0.1): this equals" in said
    assert "this equals training without a mask." in said
    (said, *_) = notes(all_black, MaskLossSettings(min_weight=0.1, prior_weight=1))
    assert "without a mask, with prior preservation over all of each black one." in said
    (said, *_) = notes(make_cache([("a", SIZE, white), ("b", SIZE, black)]), MaskLossSettings(min_weight=0.1))
    assert "(1 black and 1 white)" in said
    assert "without a mask" in notes(all_black, MaskLossSettings(invert=True))[0]
    with pytest.raises(TrainingError, match="black everywhere, and area_beta multiplies their loss by 0"):
        notes(all_black, MaskLossSettings(min_weight=0.1, area_beta=0.5))


@pytest.mark.parametrize(
    "settings", [MaskLossSettings(min_weight=0.1, normalization="batch"), MaskLossSettings()], ids=["batch", "empty"]
)
def test_masks_by_which_items_count_differently_are_no_plain_training(make_cache, settings):
    cache = make_cache([("a", SIZE, torch.ones(1, 1, 4, 4)), ("b", SIZE, torch.zeros(1, 1, 4, 4))])
    assert not any("without a mask" in note for note in notes(cache, settings))
    assert not any("without a mask" in note for note in notes(make_cache([("a", SIZE, HALF)]), settings))


def test_a_run_with_black_masks_and_a_floor_equals_plain_training(make_cache, tmp_path):
    cache = make_cache([("a", SIZE, torch.zeros(1, 1, 4, 4))])
    losses = [
        train(
            DemoDenoiser(),
            TrainingRecipe(cache, settings, LoraConfig(), OptimizerConfig(), TrainConfig(steps=3)),
            tmp_path / name,
        ).points
        for name, settings in (("plain", None), ("black", MaskLossSettings(min_weight=0.1)))
    ]
    assert [point.loss for point in losses[1]] == pytest.approx([point.loss for point in losses[0]], rel=1e-6)


def test_min_snr_is_for_noise_and_v_models(make_cache):
    cache = make_cache([("a", SIZE, HALF)])
    with pytest.raises(TrainingError, match=r"min_snr_gamma is 5\.0.*flow model"):
        notes(cache, min_snr_gamma=5.0)
    assert notes(cache, denoiser=NoiseModel(), min_snr_gamma=5.0)


def test_caches_that_cannot_be_trained_on(make_cache):
    with pytest.raises(CacheError, match="is empty"):
        notes(make_cache([]), None)
    with pytest.raises(CacheError, match=r"1 items .* a \(mask changed\)\. Cache the dataset again"):
        notes(make_cache([("a", SIZE, HALF)], stale=(StaleEntry("a", "mask changed"),)))
    with pytest.raises(CacheError, match="no captions"):
        notes(make_cache([("a", SIZE, HALF)], text_encoder=None))
    with pytest.raises(CacheError, match="is empty"):
        notes(make_cache([("a", SIZE, HALF)]), validation=make_cache([]))


def changed_entry(cache, **values):
    return dataclasses.replace(cache, entries=(dataclasses.replace(cache.entries[0], **values),))


class ImageToVideoModel(DemoDenoiser):
    image_channels = 20
    notes = ("Sample it without clip_vision_output.",)

    def can_place(self, indices):
        return len(indices) == 2


def test_other_channels_and_one_frame_caches_are_refused(make_cache):
    cache = make_cache([("a", SIZE, HALF)])
    with pytest.raises(CacheError, match=r"latents of \[4\] channels"):
        notes(changed_entry(cache, latent_shape=(4, 1, 4, 4)))
    with pytest.raises(CacheError, match=r"one-frame training \(a\), which takes an image-to-video model"):
        notes(changed_entry(cache, target_index=1))


def test_image_to_video_models_want_first_frames_in_the_cache(make_cache):
    cache, model = make_cache([("a", SIZE, HALF)]), ImageToVideoModel()
    with pytest.raises(CacheError, match=r"takes 20 channels .* none for 1 entries \(a\).* image_conditioning on"):
        notes(cache, denoiser=model)
    shown = changed_entry(cache, image_channels=20)
    assert notes(shown, denoiser=model)[0] == model.notes[0]
    assert model.notes[0] in notes(shown, None, denoiser=model)
    assert "what an image-to-video or an inpainting model is given; this one is given text alone" in notes(shown)[0]
    assert not any("given text alone" in note for note in notes(cache))


def test_frames_that_the_model_cannot_be_told_of_are_named(make_cache):
    cache = changed_entry(make_cache([("a", SIZE, HALF)]), image_channels=20, target_index=1, control_indices=(0, 5))
    with pytest.raises(CacheError, match=r"has frames at \[0, 1, 5\]"):
        notes(cache, denoiser=ImageToVideoModel())
    assert notes(changed_entry(cache, control_indices=(7,)), denoiser=ImageToVideoModel())


def test_split_holds_out_whole_photographs_by_the_seed(make_cache):
    cache = make_cache([(f"{name}@{part}", SIZE, None) for name in "abcdefgh" for part in (1, 2)], repeats=3)
    split = split_cache(cache, None, TrainConfig(validation_split=0.25))
    held = {entry.name[0] for entry in split.validation}
    assert len(held) == 2
    assert len(split.validation) == 4
    assert held.isdisjoint(entry.name[0] for entry in split.training)
    assert len(split.training) == 12
    again = split_cache(cache, None, TrainConfig(validation_split=0.25))
    assert list(again.validation) == list(split.validation)
    configs = [TrainConfig(validation_split=0.25, seed=seed) for seed in range(6)]
    seeds = {tuple(split_cache(cache, None, config).validation) for config in configs}
    assert len(seeds) > 1
    least = split_cache(cache, None, TrainConfig(validation_split=0.01)).validation
    assert len({entry.name[0] for entry in least}) == 1
    assert split_cache(cache, None, TrainConfig(validation_split=0.99)).training


def test_split_needs_two_photographs_and_one_source_of_validation(make_cache):
    cache = make_cache([("a@1", SIZE, None), ("a@2", SIZE, None)])
    with pytest.raises(TrainingError, match="has 1 source photograph"):
        split_cache(cache, None, TrainConfig(validation_split=0.5))
    with pytest.raises(TrainingError, match="one of the two"):
        split_cache(cache, cache, TrainConfig(validation_split=0.5))
    assert split_cache(cache, cache, TrainConfig()).validation == cache.entries
