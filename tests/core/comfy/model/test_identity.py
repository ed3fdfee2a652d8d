"""The identity of a MODEL is that of its denoiser, and another one wherever it would train otherwise."""

from __future__ import annotations

import pytest
from maskloss.core.comfy.model.denoiser import open_denoiser
from maskloss.core.comfy.model.identity import model_identity
from maskloss.core.comfy.model.references import ReferenceMethod
from maskloss.core.frozen.config import BaseConfig, BasePrecision
from tiny_comfy import tiny_models as tiny  # skips where there is no ComfyUI

pytestmark = pytest.mark.comfy


def test_it_is_the_denoisers_and_changes_with_what_a_model_is_given_and_heeds() -> None:
    flux, wan = tiny.load_model("flux"), tiny.load_model("wan")
    base, index = BaseConfig(BasePrecision.INT8), ReferenceMethod.INDEX
    own = model_identity(flux)
    ways = [own, model_identity(flux, 2.5), model_identity(flux, None, base), model_identity(flux, method=index)]
    assert len(set(ways)) == len(ways)
    assert model_identity(flux, method=ReferenceMethod.OFFSET) == own, "Flux Kontext's own method"
    assert model_identity(wan) == model_identity(wan, 2.5, method=index) != own, "WAN takes neither"
    with open_denoiser(flux, tiny.text_for("flux"), 2.5, method=index) as denoiser:
        assert denoiser.identity == model_identity(flux, 2.5, method=index)
