"""Training a model that ComfyUI runs with an attention which has no backward pass."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import pytest
import torch
from maskloss.core.comfy.model.denoiser import open_denoiser
from maskloss.core.errors import TrainingError
from tiny_comfy import tiny_models as tiny  # skips where there is no ComfyUI
from tiny_comfy.adapted import adapted, gradients

import comfy.ldm.modules.attention as comfy_attention  # isort: skip

pytestmark = pytest.mark.comfy

# These call the attention that ComfyUI was started with without its options, so that none can be put in its place.
OUT_OF_REACH = ("pixart", "ernie")


@comfy_attention.wrap_attn
def for_sampling_only(*args: Any, **kwargs: Any) -> torch.Tensor:
    """As sage attention: what it returns leads back to nothing."""
    result: torch.Tensor = comfy_attention.attention_pytorch(*args, **kwargs).detach()
    return result


@pytest.fixture
def started_with_sage(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, module in list(sys.modules.items()):
        for attribute in ("optimized_attention", "optimized_attention_masked"):
            if name.startswith("comfy.ldm.") and isinstance(getattr(module, attribute, None), Callable):
                monkeypatch.setattr(module, attribute, for_sampling_only)


@pytest.mark.usefixtures("started_with_sage")
@pytest.mark.parametrize("name", [name for name in tiny.EVERY_ARCHITECTURE if name not in OUT_OF_REACH])
def test_gradients_go_through_attention_whatever_comfyui_was_started_with(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with adapted(name) as (denoiser, adapters):
        found = gradients(name, denoiser, adapters, checkpoint=False)
    monkeypatch.undo()
    with adapted(name) as (denoiser, adapters):
        expected = gradients(name, denoiser, adapters, checkpoint=False)
    assert (found - expected).norm() <= 1e-5 * expected.norm()


@pytest.mark.usefixtures("started_with_sage")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("name", OUT_OF_REACH)
def test_models_out_of_reach_are_refused(name: str, dtype: torch.dtype) -> None:
    with (
        pytest.raises(TrainingError, match="sage attention"),
        open_denoiser(tiny.load_model(name, dtype), tiny.text_for(name)),
    ):
        pass


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_an_attention_that_a_node_has_put_on_the_model_is_kept_and_refused(dtype: torch.dtype) -> None:
    """It may be there for more than speed."""
    model = tiny.load_model("wan", dtype)
    override = lambda function, *args, **kwargs: function(*args, **kwargs).detach()  # noqa: E731
    model.model_options.setdefault("transformer_options", {})["optimized_attention_override"] = override
    with pytest.raises(TrainingError, match="sage attention"), open_denoiser(model, tiny.text_for("wan")):
        pass
