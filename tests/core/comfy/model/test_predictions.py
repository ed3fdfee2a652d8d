"""Which ComfyUI models can be trained, and that others are refused by name."""

from __future__ import annotations

import pytest
from maskloss.core.comfy.model.denoiser import open_denoiser
from maskloss.core.comfy.model.predictions import prediction_family, supported_image_channels
from maskloss.core.errors import TrainingError
from maskloss.core.train.denoiser import Family
from tiny_comfy import tiny_models as tiny  # skips where there is no ComfyUI
from tiny_comfy.passes import with_sampling

pytestmark = pytest.mark.comfy


@pytest.mark.parametrize(
    ("prediction", "schedule", "named"),
    [
        ("EDM", "ModelSamplingContinuousEDM", "EDM"),
        ("V_PREDICTION", "ModelSamplingContinuousEDM", "V_PREDICTION on the schedule ModelSamplingContinuousEDM"),
        ("X0", "ModelSamplingDiscrete", "X0"),
        ("IMG_TO_IMG_FLOW", "ModelSamplingDiscreteFlow", "IMG_TO_IMG_FLOW"),
        ("COSMOS_RFLOW", "ModelSamplingCosmosRFlow", "COSMOS_RFLOW"),
        ("V_PREDICTION_DDPM", "ModelSamplingDiscrete", "V_PREDICTION_DDPM"),
        ("CONST", "ModelSamplingAV", "ModelSamplingAV|CONST"),
        ("EPS", "StableCascadeSampling", "StableCascadeSampling"),
    ],
)
def test_other_predictions_are_refused_by_name(prediction: str, schedule: str, named: str) -> None:
    model = with_sampling(tiny.load_model("sd15"), prediction, schedule)
    with pytest.raises(TrainingError, match=named):
        prediction_family(model.get_model_object("model_sampling"))
    with pytest.raises(TrainingError, match=named), open_denoiser(model, tiny.text_for("sd15")):
        pass


@pytest.mark.parametrize(
    ("name", "named"),
    [
        ("wan_control", "WAN21 takes 16 channels"),
        ("wan_s2v", "WAN22_S2V takes speech"),
        ("hunyuan_i2v", "HunyuanVideoI2V takes 17 channels"),
        ("sd15_ip2p", "SD15_instructpix2pix takes 4 channels"),
        ("hunyuan_3d", "Hunyuan3Dv2 has latents of 1 dimensions and makes no pictures"),
    ],
)
def test_models_that_are_given_more_than_noise_and_text_are_refused(name: str, named: str) -> None:
    with pytest.raises(TrainingError, match=named), open_denoiser(tiny.load_model(name), tiny.text_for(name)):
        pass
    assert not tiny.management.in_training


def test_families_and_image_channels_of_models_that_can_be_trained() -> None:
    expected = {
        "flux": (Family.FLOW, 0),
        "sd15": (Family.EPS, 0),
        "wan": (Family.FLOW, 0),
        "wan_i2v": (Family.FLOW, 20),
        "sd15_inpaint": (Family.EPS, 64 + 4),
        "sdxl_inpaint": (Family.EPS, 64 + 4),
        "flux_fill": (Family.FLOW, 64 + 16),
        "wan_vace": (Family.FLOW, 64 + 2 * 16),
    }
    for name, (family, channels) in expected.items():
        model = tiny.load_model(name)
        assert prediction_family(model.get_model_object("model_sampling")) is family
        assert supported_image_channels(model) == channels
    v = with_sampling(tiny.load_model("sd15"), "V_PREDICTION", "ModelSamplingDiscrete")
    assert prediction_family(v.get_model_object("model_sampling")) is Family.V
