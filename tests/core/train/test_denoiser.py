"""The protocol says all that training asks of a model, and the demo model has it."""

import inspect

import pytest
import torch
from maskloss.core.comfy.model.denoiser import ComfyDenoiser
from maskloss.core.demo.denoiser import DemoDenoiser
from maskloss.core.train.denoiser import Denoiser, Family

MEMBERS = sorted(name for name in vars(Denoiser) if not name.startswith("_"))


@pytest.mark.parametrize("name", MEMBERS)
def test_the_models_have_what_the_protocol_names_and_take_the_same_arguments(name: str):
    wanted = vars(Denoiser)[name]
    assert hasattr(DemoDenoiser(), name)
    if not isinstance(wanted, property):
        for model in (DemoDenoiser, ComfyDenoiser):
            found = inspect.getattr_static(model, name)
            assert list(inspect.signature(found).parameters) == list(inspect.signature(wanted).parameters)


def test_zero_is_the_clean_latent_and_one_is_noise():
    """What is drawn depends on neither end: at t = 0 the model is shown the latent alone, at t = 1 the noise alone."""
    model = DemoDenoiser()
    assert model.family is Family.FLOW
    generator = torch.Generator().manual_seed(0)
    for parameter in model.module.parameters():  # untrained, it predicts 0 whatever it is shown
        parameter.data.normal_(std=0.2, generator=generator)
    clean, noise, other = torch.randn(3, 1, model.latent_channels, 1, 4, 4, generator=generator).unbind()
    text = [{"tokens": torch.ones(1, 64)}]

    def prediction(clean: torch.Tensor, noise: torch.Tensor, t: float) -> torch.Tensor:
        with torch.no_grad():  # what is returned is the prediction less its target, noise - clean
            return model.predict(clean, noise, torch.tensor([t]), text, False) + (noise - clean)

    torch.testing.assert_close(prediction(clean, noise, 0.0), prediction(clean, other, 0.0), atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(prediction(clean, noise, 1.0), prediction(other, noise, 1.0), atol=1e-4, rtol=1e-4)
    assert not torch.allclose(prediction(clean, noise, 0.5), prediction(clean, other, 0.5), atol=1e-3)


def test_the_signal_falls_as_the_noise_grows():
    model = DemoDenoiser()
    t_B = torch.linspace(0.05, 0.95, 10)
    assert (model.snr(t_B).diff() < 0).all()
    assert (model.shift(t_B).diff() > 0).all()
