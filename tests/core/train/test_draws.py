"""What is drawn of a sample."""

import pytest
import torch
from maskloss.core.demo.denoiser import DemoDenoiser
from maskloss.core.train.config import TimestepSampling, TrainConfig
from maskloss.core.train.draws import draw_samples, draw_uniform, timesteps


def test_the_uniform_numbers_are_those_that_come_before_the_noise():
    assert torch.equal(draw_uniform([3, 5]), draw_samples([3, 5], (2, 1, 3, 3))[0])
    assert torch.equal(draw_samples([5], (2, 1, 3, 3))[1], draw_samples([3, 5], (2, 1, 3, 3))[1][1:])


def test_timestep_distributions():
    draws = draw_samples(range(4000), (1, 1, 1, 1))[0][:, 0]
    denoiser = DemoDenoiser()

    def sampled(**values: object) -> torch.Tensor:
        return timesteps(draws, TrainConfig(**values), denoiser)

    uniform = sampled()
    assert uniform.mean() == pytest.approx(0.5, abs=0.02)
    assert uniform.std() == pytest.approx(12**-0.5, abs=0.01)
    normal = torch.logit(sampled(timestep_sampling=TimestepSampling.LOGIT_NORMAL))
    assert normal.mean() == pytest.approx(0.0, abs=0.06)
    assert normal.std() == pytest.approx(1.0, abs=0.05)
    shifted = sampled(timestep_sampling=TimestepSampling.SHIFT)
    assert torch.allclose(shifted, denoiser.shift(torch.sigmoid(normal)), atol=1e-5)
    rescaled = sampled(timestep_min=0.2, timestep_max=0.6)
    assert torch.allclose(rescaled, 0.2 + 0.4 * uniform, atol=1e-6)
