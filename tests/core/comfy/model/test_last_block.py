"""The last block for the tokens that count: the same prediction and gradients as with all tokens."""

from __future__ import annotations

from contextlib import nullcontext

import pytest
import torch
from maskloss.core.comfy.model.denoiser import ComfyDenoiser, open_denoiser
from maskloss.core.train.adapters import LoraAdapters
from maskloss.core.train.config import Algorithm
from maskloss.core.train.denoiser import Needed
from tiny_comfy import tiny_models as tiny  # skips where there is no ComfyUI
from tiny_comfy.adapted import WHOLE, adapted, sample

pytestmark = pytest.mark.comfy

SAVING = tuple(name for name in tiny.EVERY_ARCHITECTURE if name not in WHOLE)


def weights_for(clean: torch.Tensor) -> torch.Tensor:
    """Of two samples: a corner, and in the last frame alone a smaller part elsewhere."""
    height, width = clean.shape[3:]
    weights = torch.zeros(2, 1, *clean.shape[2:])
    weights[0, ..., : height // 2, : width // 2] = 1.0
    weights[1, :, -1, height // 2 :, width // 2 + 1 : -1] = 0.5
    return weights


def gradients(
    name: str, denoiser: ComfyDenoiser, adapters: LoraAdapters, checkpoint: bool, needed: Needed | None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Prediction, and gradients of all adapters."""
    clean, noise, t = sample(name)
    texts = [tiny.text_for(name, length=length, seed=length) for length in (6, 4)]
    for parameter in adapters.parameters:
        parameter.grad = None
    with denoiser.autograd_context(checkpoint):
        with nullcontext() if needed is None else denoiser.count_only(needed):
            residual = denoiser.predict(clean, noise, t, texts, checkpoint)
        (residual.square() * weights_for(clean)).sum().backward()
    gradient = [torch.zeros(p.numel()) if p.grad is None else p.grad.flatten() for p in adapters.parameters]
    return residual.detach(), torch.cat(gradient)


@pytest.mark.parametrize("name", SAVING)
def test_gradients_are_those_of_all_tokens(name: str) -> None:
    """With masks that differ from sample to sample, with and without checkpointing, told or not what others predict."""
    weights = weights_for(sample(name)[0])
    with adapted(name) as (denoiser, adapters):
        assert "changes no gradient" in denoiser.saving_note
        wanted, gradient = gradients(name, denoiser, adapters, False, None)
        for checkpoint in (False, True):
            for others in (False, True):
                found, saved = gradients(name, denoiser, adapters, checkpoint, Needed(weights, others))
                told = torch.ones_like(found, dtype=torch.bool) if others else (weights > 0).expand_as(found)
                assert ((found - wanted) * told).norm() < 1e-5 * wanted.norm()
                # So less was computed.
                assert others or ((found - wanted) * ~told).norm() > 1e-2 * wanted.norm()
                assert (saved - gradient).norm() < 1e-6 * gradient.norm()


@pytest.mark.parametrize("algorithm", list(Algorithm))
@pytest.mark.parametrize("name", ["wan", "flux"])
def test_every_algorithm_has_the_same_gradients(name: str, algorithm: Algorithm) -> None:
    needed = Needed(weights_for(sample(name)[0]), others=False)
    with adapted(name, algorithm=algorithm) as (denoiser, adapters):
        for checkpoint in (False, True):
            (_, gradient), (_, saved) = (
                gradients(name, denoiser, adapters, checkpoint, each) for each in (None, needed)
            )
            assert (saved - gradient).norm() < 1e-6 * gradient.norm()


def test_a_mask_that_covers_nearly_everything_saves_nothing() -> None:
    with open_denoiser(tiny.load_model("wan"), tiny.text_for("wan")) as denoiser:
        cells = torch.ones(2, 1, 1, 8, 8)
        assert not denoiser.saves(Needed(cells, others=False))
        cells[0, ..., :2, :2] = 0  # one sample alone
        assert not denoiser.saves(Needed(cells, others=False))
        assert denoiser.saves(Needed(torch.zeros(2, 1, 1, 8, 8), others=False))


@pytest.mark.parametrize("name", ["wan", "flux"])
def test_the_block_is_as_it_was_after_an_error(name: str) -> None:
    """One in the middle of its second run, with hooks on its layers."""
    model = tiny.load_model(name)
    network = model.model.diffusion_model
    last = (network.blocks if name == "wan" else network.single_blocks)[-1]
    broken = last.ffn[2] if name == "wan" else last.linear2
    hooks = {each: (dict(m._forward_hooks), dict(m._forward_pre_hooks)) for each, m in network.named_modules()}

    def fail(*_: object) -> None:
        raise KeyboardInterrupt

    def interrupted() -> None:
        clean, noise, t = sample(name)
        with (
            open_denoiser(model, tiny.text_for(name)) as denoiser,
            denoiser.count_only(Needed(weights_for(clean), others=False)),
            broken.register_forward_pre_hook(fail),
        ):
            denoiser.predict(clean, noise, t, [tiny.text_for(name)] * 2, False)

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert "forward" not in vars(last)
    assert hooks == {each: (dict(m._forward_hooks), dict(m._forward_pre_hooks)) for each, m in network.named_modules()}
