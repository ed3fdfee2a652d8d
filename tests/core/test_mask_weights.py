"""The transform on the latent grid: each setting's effect, the order, and what is refused."""

import dataclasses
import math

import cv2
import numpy as np
import pytest
import torch
from maskloss.core.errors import SettingError
from maskloss.core.mask_weights import (
    PRESETS,
    LossKind,
    MaskLossSettings,
    Normalization,
    area_scale,
    prior_region,
    transform_weights,
)

TIERS = (255, 128, 80, 0)


def tiers() -> torch.Tensor:
    return torch.tensor(TIERS, dtype=torch.float32).div(255).reshape(1, 1, 1, 1, 4)


def values(settings: MaskLossSettings) -> list[float]:
    return [round(float(v), 3) for v in transform_weights(tiers(), settings).flatten()]


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        (MaskLossSettings(), [1.0, 0.502, 0.314, 0.0]),
        (MaskLossSettings(gamma=0.5), [1.0, 0.708, 0.56, 0.0]),
        (MaskLossSettings(gamma=2.0), [1.0, 0.252, 0.098, 0.0]),
        (MaskLossSettings(min_weight=0.1), [1.0, 0.552, 0.382, 0.1]),
        (MaskLossSettings(gamma=0.7, min_weight=0.05), [1.0, 0.636, 0.472, 0.05]),
        (MaskLossSettings(invert=True), [0.0, 0.498, 0.686, 1.0]),
    ],
)
def test_tiers_follow_the_formula(settings, expected):
    assert values(settings) == expected


def test_floor_is_affine_not_a_clamp():
    # A clamp would leave 0.502 at 0.502.
    assert values(MaskLossSettings(min_weight=0.2))[1] == pytest.approx(0.502 * 0.8 + 0.2, abs=1e-3)


def test_order_is_invert_blur_gamma_floor():
    weights = torch.rand(2, 1, 3, 9, 7, generator=torch.Generator().manual_seed(0))
    settings = MaskLossSettings(invert=True, blur=3, gamma=1.7, min_weight=0.2)
    step = transform_weights(weights, MaskLossSettings(invert=True))
    step = transform_weights(step, MaskLossSettings(blur=3))
    step = transform_weights(step, MaskLossSettings(gamma=1.7))
    step = transform_weights(step, MaskLossSettings(min_weight=0.2))
    assert torch.equal(transform_weights(weights, settings), step)
    other = transform_weights(transform_weights(weights, MaskLossSettings(gamma=1.7)), MaskLossSettings(blur=3))
    assert not torch.allclose(transform_weights(weights, MaskLossSettings(blur=3, gamma=1.7)), other, atol=1e-3)


@pytest.mark.parametrize("kernel", [1, 3, 5, 9])
def test_blur_is_opencvs_gaussian_per_frame(kernel):
    weights = torch.rand(2, 1, 2, 12, 10, generator=torch.Generator().manual_seed(1))
    blurred = transform_weights(weights, MaskLossSettings(blur=kernel))
    sigma = 0.3 * ((kernel - 1) / 2 - 1) + 0.8
    for b in range(2):
        for t in range(2):
            plane = cv2.GaussianBlur(
                weights[b, 0, t].numpy().astype(np.float64), (kernel, kernel), sigma, borderType=cv2.BORDER_REPLICATE
            )
            np.testing.assert_allclose(blurred[b, 0, t].numpy(), plane, atol=1e-6)


def test_blur_keeps_constants_and_stays_in_range():
    ones = torch.ones(1, 1, 1, 6, 6)
    assert torch.allclose(transform_weights(ones, MaskLossSettings(blur=5)), ones)
    edge = torch.zeros(1, 1, 1, 6, 6)
    edge[..., :3] = 1
    blurred = transform_weights(edge, MaskLossSettings(blur=7))
    assert blurred.min() >= 0
    assert blurred.max() <= 1


def test_argument_is_left_alone_and_result_is_new():
    weights = tiers()
    before = weights.clone()
    result = transform_weights(weights, MaskLossSettings())
    result.fill_(0.5)
    assert torch.equal(weights, before)


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"gamma": 0.0}, "mask_gamma must be > 0"),
        ({"gamma": -1.0}, "mask_gamma must be > 0"),
        ({"gamma": math.nan}, "mask_gamma must be > 0"),
        ({"gamma": math.inf}, "mask_gamma must be > 0"),
        ({"min_weight": 1.0}, r"mask_min_weight must be in range \[0, 1\)"),
        ({"min_weight": -0.1}, r"mask_min_weight must be in range \[0, 1\)"),
        ({"min_weight": math.nan}, r"mask_min_weight must be in range \[0, 1\)"),
        ({"blur": 4}, "odd kernel"),
        ({"blur": -1}, "odd kernel"),
        ({"probability": 1.5}, "probability"),
        ({"probability": 0.0}, "leave mask_loss unconnected"),
        ({"huber_delta": 0.0}, "huber_delta"),
        ({"area_beta": -1.0}, "area_beta"),
        ({"area_beta": math.nan}, "area_beta"),
        ({"prior_weight": -0.5}, "prior_weight"),
        ({"prior_threshold": 2.0}, "prior_threshold"),
    ],
)
def test_settings_refuse_to_exist(fields, message):
    with pytest.raises(SettingError, match=message):
        MaskLossSettings(**fields)


@pytest.mark.parametrize("shape", [(4, 4), (1, 2, 1, 4, 4), (1, 1, 4, 4)])
def test_wrong_shape_is_refused(shape):
    with pytest.raises(SettingError, match=r"\(B, 1, T, h, w\)"):
        transform_weights(torch.zeros(shape), MaskLossSettings())


@pytest.mark.parametrize("value", [-0.1, 1.5, math.nan])
def test_values_outside_the_range_are_refused(value):
    with pytest.raises(SettingError, match=r"\[0, 1\]"):
        transform_weights(torch.full((1, 1, 1, 2, 2), value), MaskLossSettings())


def test_area_scale_takes_the_mean_after_invert_before_blur():
    weights = torch.zeros(2, 1, 1, 4, 4)
    weights[0, ..., :1] = 1  # mean 0.25
    weights[1, ..., :2] = 1  # mean 0.5
    scale = area_scale(weights, MaskLossSettings(area_beta=2.0, blur=3, gamma=3.0))
    assert scale.tolist() == [0.0625, 0.25]
    assert area_scale(weights, MaskLossSettings(area_beta=1.0, invert=True)).tolist() == [0.75, 0.5]
    assert area_scale(weights, MaskLossSettings()).tolist() == [1.0, 1.0]


def test_prior_region_is_what_the_mask_leaves_out():
    settings = MaskLossSettings(min_weight=0.1)
    raw = tiers()
    region = prior_region(raw, transform_weights(raw, settings), settings)
    assert [round(float(v), 3) for v in region.flatten()] == [0.0, 0.448, 0.618, 0.9]
    sharp = MaskLossSettings(prior_weight=1.0, prior_threshold=0.4)
    assert prior_region(raw, transform_weights(raw, sharp), sharp).flatten().tolist() == [0.0, 0.0, 1.0, 1.0]


def test_choices_by_name_are_the_choices():
    settings = MaskLossSettings(normalization="batch", loss="huber")
    assert settings.normalization is Normalization.BATCH
    assert settings.loss is LossKind.HUBER
    with pytest.raises(SettingError, match="loss must be one of mse, huber; found 'mae'"):
        MaskLossSettings(loss="mae")
    with pytest.raises(SettingError, match="normalization must be one of"):
        MaskLossSettings(normalization="mean")


def test_settings_without_effect_are_named():
    assert MaskLossSettings(huber_delta=0.5).settings_without_effect() == (
        "huber_delta=0.5 has no effect while loss is mse",
    )
    assert MaskLossSettings(huber_delta=0.5, loss=LossKind.HUBER).settings_without_effect() == ()
    assert "prior_weight is 0" in MaskLossSettings(prior_threshold=0.3).settings_without_effect()[0]


def test_presets_are_the_recommended_values():
    assert {k: (v.gamma, v.min_weight) for k, v in PRESETS.items()} == {
        "person": (0.7, 0.05),
        "face": (1.5, 0.0),
        "style": (0.5, 0.1),
        "person_prior": (0.7, 0.0),
        "person_prior_gated": (0.7, 0.0),
        "all_but_face": (1.0, 0.0),
    }
    held = PRESETS["person_prior"]
    # The reference system's guide: weight 1.0, mask threshold 0.1, per-sample normalisation; its code adds that target
    # and prior do not overlap.
    assert (held.prior_weight, held.prior_threshold, held.prior_exclusive) == (1.0, 0.1, True)
    assert held.normalization is Normalization.PER_SAMPLE


def test_differential_output_preservation_needs_its_words_and_names_what_is_idle():
    with pytest.raises(SettingError, match="it needs the word that is learnt, such as ohwx, and what that is"):
        MaskLossSettings(dop_weight=1.0, trigger="ohwx")
    with pytest.raises(SettingError, match="dop_region must be one of everywhere, inside, outside"):
        MaskLossSettings(dop_region="both")
    with pytest.raises(SettingError, match="dop_weight must be 0"):
        MaskLossSettings(dop_weight=-1.0)
    idle = MaskLossSettings(trigger="ohwx", dop_region="inside").settings_without_effect()
    assert idle == (
        "dop_region=inside has no effect while dop_weight is 0",
        "trigger=ohwx has no effect while dop_weight is 0",
    )
    acting = MaskLossSettings(dop_weight=1.0, trigger="ohwx", class_noun="woman", prior_threshold=0.1)
    assert acting.settings_without_effect() == ("prior_threshold=0.1 has no effect while prior_weight is 0",)
    assert acting.triggers == (("ohwx", "woman"),)
    assert dataclasses.replace(acting, dop_region="outside").settings_without_effect() == ()
