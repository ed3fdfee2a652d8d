"""The published models, built without values."""

from __future__ import annotations

import logging

import pytest
import torch
from maskloss.core.comfy.model.full_size import caption_shape_of, full_size_models
from maskloss.core.comfy.model.value_free import ValueFreeNetwork
from maskloss.core.plan.extrapolate import SHORTEST
from maskloss.core.plan.value_free import value_free_mode
from maskloss.core.train.config import TrainingDtype
from tiny_comfy import tiny_models  # noqa: F401 - skips where there is no ComfyUI

import comfy.supported_models  # isort: skip

pytestmark = pytest.mark.comfy
logging.getLogger().setLevel(logging.ERROR)


@pytest.mark.parametrize("name", full_size_models())
def test_it_has_the_published_number_of_parameters_and_is_of_the_kind(name: str):
    model = full_size_models()[name]
    configuration = model.configuration(torch.bfloat16)
    given = dict(configuration.unet_config)
    assert getattr(comfy.supported_models, model.kind).matches(given)
    with value_free_mode():
        network = ValueFreeNetwork(configuration)._build().diffusion_model
        trained = sum(each.numel() for each in network.parameters())
        fixed = sum(each.numel() for each in network.buffers())
    # Some publishers count what is not trained.
    wanted = pytest.approx(model.parameters, rel=0.005)
    assert trained / 1e9 == wanted or (trained + fixed) / 1e9 == wanted
    # A network's own parameters outside of layers may be in fp32.
    assert sum(each.numel() for each in network.parameters() if each.dtype == torch.bfloat16) > 0.99 * trained


@pytest.mark.parametrize("name", full_size_models())
def test_it_runs_with_captions_of_the_stated_shape(name: str):
    model = full_size_models()[name]
    network = ValueFreeNetwork(model.configuration(torch.bfloat16))
    lengths = [min(SHORTEST, each) for each in network.run_lengths()]
    # A small pass, forward and backward, is made on entry.
    with network.open(model.caption.embeddings(), TrainingDtype.BF16, lengths, True) as opened:
        assert opened.denoiser.latent_channels > 0


def test_captions_are_of_the_stated_shape():
    text = full_size_models()["wan2.1-14b"].caption.embeddings()["cross_attn"]
    assert text.shape == (1, 512, 4096)
    assert bool(text[:, :128].all())
    assert not bool(text[:, 128:].any())
    given = full_size_models()["z-image"].caption.embeddings()
    assert given["attention_mask"].shape == (1, given["cross_attn"].shape[1])
    assert caption_shape_of("Flux") == full_size_models()["flux-1-dev"].caption
    assert caption_shape_of("Nobody") is None
