"""Loading a MODEL for training: in which dtype it computes, and that nothing of the user's changes."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import pytest
import torch
from maskloss.core.comfy.model.denoiser import open_denoiser
from maskloss.core.comfy.model.identity import model_identity
from maskloss.core.comfy.model.loading import (
    disable_dynamic_memory,
    load,
    sampling_dtype,
    set_compute_dtype,
)
from maskloss.core.train.config import TrainingDtype
from tiny_comfy import tiny_models as tiny  # skips where there is no ComfyUI
from tiny_comfy.passes import inputs

import comfy.model_sampling  # isort: skip
import comfy.sd  # isort: skip

pytestmark = pytest.mark.comfy


@pytest.mark.parametrize("own", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", ["wan", "flux"])
def test_fp32_arithmetic_is_fp32_on_a_16_bit_model(name: str, own: torch.dtype) -> None:
    with torch.inference_mode():
        network = tiny.load_model(name).model.diffusion_model
        weights = {key: value.to(own) for key, value in network.state_dict().items()}
        exact = comfy.sd.load_diffusion_model_state_dict(
            {key: value.float() for key, value in weights.items()}, model_options={"dtype": torch.float32}
        )
        model = comfy.sd.load_diffusion_model_state_dict(weights, model_options={"dtype": own})
    model.set_model_compute_dtype(own)
    before = tiny.sampled(model, name)
    text = tiny.text_for(name)

    def predicted(of: Any, dtype: TrainingDtype | None) -> tuple[torch.Tensor, str]:
        with open_denoiser(of, text, dtype=dtype) as denoiser, torch.no_grad():
            return denoiser.predict(*inputs(name, batch=1), [text], False), denoiser.identity

    expected, _ = predicted(exact, TrainingDtype.FP32)
    for dtype in (TrainingDtype.FP32, TrainingDtype.AUTO):
        found, identity = predicted(model, dtype)
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
        assert identity == model_identity(model)
    rough, _ = predicted(model, None)
    assert (rough - expected).abs().max() > 1e-3, "as in sampling, which is what this is about"
    assert torch.equal(tiny.sampled(model, name), before)


def test_a_model_that_computes_in_the_wanted_dtype_is_used_as_it_is() -> None:
    model = tiny.load_model("wan")
    with ExitStack() as stack:
        assert disable_dynamic_memory(model, tiny.management, stack) is model
        for dtype in (None, TrainingDtype.FP32, TrainingDtype.AUTO):
            assert set_compute_dtype(dtype, model, tiny.management, stack) is model


def test_the_dtype_of_sampling_is_the_users_choice_whether_or_not_it_is_applied() -> None:
    model = tiny.load_model("wan")
    assert sampling_dtype(model) is torch.float32
    model.set_model_compute_dtype(torch.bfloat16)
    assert sampling_dtype(model) is torch.bfloat16
    with ExitStack() as stack:
        clone = set_compute_dtype(TrainingDtype.FP32, model, tiny.management, stack)
        assert clone is not model
        assert sampling_dtype(clone) is torch.float32
    assert sampling_dtype(model) is torch.bfloat16
    load(model, tiny.management)
    assert sampling_dtype(model) is torch.bfloat16
