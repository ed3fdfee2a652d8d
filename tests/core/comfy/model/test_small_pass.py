"""What a model's last block may leave out is looked at before the first step."""

from __future__ import annotations

import pytest
import torch
from maskloss.core.comfy.model.denoiser import open_denoiser
from maskloss.core.comfy.model.last_block import LastBlock
from maskloss.core.train.denoiser import Needed
from tiny_comfy import tiny_models as tiny  # skips where there is no ComfyUI
from tiny_comfy.adapted import WHOLE, sample

pytestmark = pytest.mark.comfy


def corner(name: str) -> torch.Tensor:
    """Weights of two samples, 1 in a corner and else 0."""
    clean, _, _ = sample(name)
    weights = torch.zeros(2, 1, *clean.shape[2:])
    weights[..., : clean.shape[3] // 2, : clean.shape[4] // 2] = 1.0
    return weights


@pytest.mark.parametrize("name", WHOLE)
def test_other_models_compute_everything_and_say_so(name: str) -> None:
    needed = Needed(corner(name), others=False)
    with open_denoiser(tiny.load_model(name), tiny.text_for(name)) as denoiser:
        assert not denoiser.saves(needed)
        assert denoiser.saving_note.startswith("The last block computes every token, where weights are 0 too: ")


def test_nothing_is_saved_with_a_lora_that_draws_for_all_tokens() -> None:
    needed = Needed(corner("wan"), others=False)
    with open_denoiser(tiny.load_model("wan"), tiny.text_for("wan"), dropout=True) as denoiser:
        assert not denoiser.saves(needed)
        assert "dropout" in denoiser.saving_note


def test_nothing_is_saved_where_a_node_has_patched_the_model() -> None:
    needed = Needed(corner("flux"), others=False)
    model = tiny.load_model("flux")
    model.set_model_patch_replace(lambda args, extra: extra["original_block"](args), "dit", "double_block", 0)
    with open_denoiser(model, tiny.text_for("flux")) as denoiser:
        assert not denoiser.saves(needed)
        assert "patches" in denoiser.saving_note


def test_nothing_is_saved_where_the_result_would_be_another(monkeypatch: pytest.MonkeyPatch) -> None:
    attend = LastBlock._attend
    monkeypatch.setattr(LastBlock, "_attend", lambda *args: attend(*args).flip(-1))
    needed = Needed(corner("wan"), others=False)
    with open_denoiser(tiny.load_model("wan"), tiny.text_for("wan")) as denoiser:
        assert not denoiser.saves(needed)
        assert "predicts otherwise" in denoiser.saving_note
