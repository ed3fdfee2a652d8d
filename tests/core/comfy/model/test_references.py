"""ComfyUI's edit models, small and random: shown references as its own nodes show them, trained right."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
import torch
from maskloss.core.cache.references import REFERENCE
from maskloss.core.comfy.model.denoiser import open_denoiser
from maskloss.core.comfy.model.references import small_example, takes_references
from tiny_comfy import tiny_models as tiny  # skips where there is no ComfyUI
from tiny_comfy.adapted import adapted, check_gradients, gradients_of
from tiny_comfy.passes import inputs, passes

import comfy.samplers  # isort: skip

pytestmark = pytest.mark.comfy

NAMES = ("flux", "flux2", "qwen_image")
LAST = {"flux": "final_layer", "flux2": "final_layer", "qwen_image": "proj_out"}


def picture(name: str, seed: int, height: int = 8, width: int = 12) -> torch.Tensor:
    """A raw latent (1,C,1,h,w)."""
    channels = tiny.latent_shape(name)[0]
    return torch.randn(1, channels, 1, height, width, generator=torch.Generator().manual_seed(seed))


def shown(name: str, *pictures: torch.Tensor, seed: int = 0) -> dict[str, torch.Tensor]:
    """A caption with references, as a cache gives them."""
    own = {f"{REFERENCE}{number}": each for number, each in enumerate(pictures)}
    return {**tiny.text_for(name, seed=seed), **own}


@pytest.mark.parametrize("name", NAMES)
def test_the_model_is_given_what_comfyuis_own_node_and_sampler_give(name: str) -> None:
    """One Euler step from the middle to the end with two ReferenceLatent nodes, and the same by the denoiser."""
    model, sigma = tiny.load_model(name), 0.5
    first, second = picture(name, 1), picture(name, 2, 6, 6)
    clean, noise, _ = inputs(name, 1)
    own = lambda latent: latent if tiny.takes_videos(name) else latent[:, :, 0]  # noqa: E731
    text = tiny.text_for(name)
    node = importlib.import_module("comfy_extras.nodes_edit_model").ReferenceLatent
    with torch.inference_mode():
        positive: Any = [[text["cross_attn"], {key: value for key, value in text.items() if key != "cross_attn"}]]
        for latent in (first, second):
            positive = node.execute(positive, {"samples": own(latent)}).result[0]
        guider = comfy.samplers.CFGGuider(model)
        guider.inner_set_conds({"positive": positive})
        guider.set_cfg(1.0)
        sampler = comfy.samplers.sampler_object("euler")
        sigmas = torch.tensor([sigma, 0.0])
        made = guider.sample(own(noise), own(clean), sampler, sigmas, disable_pbar=True, seed=0)
        expected = model.model.process_latent_in(made)
    given = shown(name, first, second)
    untouched = {key: value.clone() for key, value in given.items()}
    with open_denoiser(model, text) as denoiser, torch.no_grad():
        assert denoiser.takes_references
        normal = denoiser.normalise(clean)
        difference = denoiser.predict(normal, noise, torch.tensor([sigma]), [given], False)
        again = denoiser.predict(normal, noise, torch.tensor([sigma]), [given], False)
        bare = denoiser.predict(normal, noise, torch.tensor([sigma]), [text], False)
        turned = denoiser.predict(normal, noise, torch.tensor([sigma]), [shown(name, second, first)], False)
    assert difference.shape == clean.shape, "nothing is predicted of the references"
    torch.testing.assert_close(own(normal - sigma * difference), expected, rtol=1e-4, atol=1e-4)
    assert torch.equal(difference, again)
    assert all(torch.equal(given[key], value) for key, value in untouched.items())
    assert not torch.allclose(difference, bare, atol=1e-4), "the references act"
    assert not torch.allclose(difference, turned, atol=1e-5), "and their order"


@pytest.mark.parametrize("name", NAMES)
def test_samples_with_equal_references_share_a_pass_and_others_come_apart(name: str) -> None:
    one, other, wide = picture(name, 1), picture(name, 2), picture(name, 3, 4, 14)
    given = [
        shown(name, one, seed=0), {**tiny.text_for(name, length=4, seed=1), f"{REFERENCE}0": other},
        shown(name, one, other, seed=2), shown(name, wide, seed=3), shown(name, seed=4), shown(name, wide, seed=5),
    ]  # fmt: skip
    with open_denoiser(tiny.load_model(name), tiny.text_for(name)) as denoiser:
        assert sorted(passes(denoiser, inputs(name, 6), given)) == [1, 1, 2, 2]


@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_right_and_references_have_no_loss(name: str) -> None:
    """Checkpointed equals plain, both equal central differences; what the last layer makes of references has none."""
    given = [shown(name, picture(name, 1), picture(name, 2, 6, 6), seed=seed) for seed in range(2)]
    with adapted(name, example=given[0]) as (denoiser, adapters):
        assert "reference pictures" in denoiser.saving_note

        def loss(checkpoint: bool) -> torch.Tensor:
            return denoiser.predict(*inputs(name, 2), given, checkpoint).square().mean()

        tokens: list[torch.Tensor] = []
        hook = denoiser.module.get_submodule(LAST[name]).register_forward_hook(
            lambda _m, _args, output: (output.retain_grad(), tokens.append(output))[1]
        )
        gradients_of(loss, denoiser, adapters, checkpoint=False)
        hook.remove()
        learnt = inputs(name, 2)[0][0, 0].numel() // denoiser_patch(denoiser.module)
        by_token = tokens[0].grad.abs().sum(dim=(0, 2))
        assert len(by_token) > learnt
        assert bool((by_token[:learnt] > 0).all())
        assert bool((by_token[learnt:] == 0).all()), "the loss on the tokens of references is exactly zero"
        check_gradients(loss, denoiser, adapters)


def denoiser_patch(network: torch.nn.Module) -> int:
    """Cells of a token."""
    return int(network.patch_size) ** 2


def test_a_model_that_takes_none_is_looked_at_without() -> None:
    example = shown("wan", picture("wan", 1, 16, 16))
    assert small_example(tiny.load_model("wan").model, example).keys() == tiny.text_for("wan").keys()
    flux = small_example(tiny.load_model("flux").model, shown("flux", picture("flux", 1, 16, 20)))
    assert flux[f"{REFERENCE}0"].shape[-2:] == (8, 8)
    assert not takes_references(tiny.load_model("chroma").model), "made of Flux's class, and no edit model"
