"""What is connected to Sampling is what is drawn; what cannot be drawn is refused where it is connected."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from maskloss.core.demo.denoiser import DemoDenoiser
from maskloss.core.errors import PromptError, SettingError, TrainingError
from maskloss.core.people.identity import Identity
from maskloss.nodes.sampling import MaskLossSampling

PERSON = Identity(np.ones((1, 2), np.float32), "painted/1", ("her",))
CONNECTED: dict[str, Any] = {
    "positive": [["her", {}]],
    "latent": {"samples": torch.zeros(2, 4, 8, 8)},
    "vae": object(),
    "sampler": object(),
    "sigmas": torch.linspace(1, 0, 5),
}
REFUSED = (PromptError, SettingError)


def test_everything_that_is_connected_arrives() -> None:
    more = {"negative": [["", {}]], "cfg": 3.5, "seed": 7, "every": 20}
    (sampling,) = MaskLossSampling().run(**CONNECTED, **more)
    for name, value in (CONNECTED | more).items():
        assert getattr(sampling, name) is value, name
    assert (sampling.recognizer, sampling.identity, sampling.bleed, sampling.plain) == (None,) * 4


def test_what_cannot_be_drawn_is_refused() -> None:
    with pytest.raises(REFUSED, match="sigmas has 1 values"):
        MaskLossSampling().run(**CONNECTED | {"sigmas": torch.ones(1)})
    with pytest.raises(REFUSED, match="every"):
        MaskLossSampling().run(**CONNECTED, every=0)


@pytest.mark.parametrize("alone", [{"identity": PERSON}, {"recognizer": object()}, {"bleed": []}, {"plain": []}])
def test_scoring_takes_both_a_recogniser_and_a_person(alone: dict[str, Any]) -> None:
    with pytest.raises(REFUSED, match=next(iter(alone))):
        MaskLossSampling().run(**CONNECTED, **alone)


def test_the_demo_model_cannot_be_sampled_by_it() -> None:
    (sampling,) = MaskLossSampling().run(**CONNECTED)
    with pytest.raises(TrainingError, match="the demo model is none; disconnect sampling"):
        sampling.draw(DemoDenoiser(), lambda: None)
