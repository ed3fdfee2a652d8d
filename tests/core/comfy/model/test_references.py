"""ComfyUI's edit models, small and random: shown references as its own nodes show them, trained right."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
import torch
from maskloss.core.cache.references import REFERENCE
from maskloss.core.comfy.model.denoiser import open_denoiser
from maskloss.core.comfy.model.identity import model_identity
from maskloss.core.comfy.model.references import (
    ReferenceMethod,
    effective_method,
    method_of,
    shows_references,
    small_example,
    takes_references,
)
from maskloss.core.comfy.model.token_layout import token_layout
from maskloss.core.errors import TrainingError
from tiny_comfy import tiny_models as tiny  # skips where there is no ComfyUI
from tiny_comfy.adapted import adapted, check_gradients, gradients_of
from tiny_comfy.passes import inputs, passes

import comfy.model_detection  # isort: skip
import comfy.samplers  # isort: skip

pytestmark = pytest.mark.comfy

NAMES = ("flux", "flux2", "longcat", "qwen_image", "mage_flow", "joy_image", "omnigen2", "boogu")
# Methods beside the models' own.
PLACED = [
    *(("flux", ReferenceMethod(method)) for method in ("index", "uxo")),
    *(("flux2", ReferenceMethod(method)) for method in ("offset", "uxo", "index_timestep_zero")),
    *(("qwen_image", ReferenceMethod(method)) for method in ("offset", "index_timestep_zero")),
    *(("krea2", ReferenceMethod(method)) for method in ("index", "index_timestep_zero")),
]
LAST = {
    **dict.fromkeys(("flux", "flux2", "longcat"), "final_layer"),
    **dict.fromkeys(("qwen_image", "mage_flow", "joy_image"), "proj_out"),
    **dict.fromkeys(("omnigen2", "boogu"), "norm_out"),
    "krea2": "last",
}


def picture(name: str, seed: int, height: int = 8, width: int = 12) -> torch.Tensor:
    """A raw latent (1,C,1,h,w)."""
    channels = tiny.latent_shape(name)[0]
    return torch.randn(1, channels, 1, height, width, generator=torch.Generator().manual_seed(seed))


def shown(name: str, *pictures: torch.Tensor, seed: int = 0) -> dict[str, torch.Tensor]:
    """A caption with references, as a cache gives them."""
    own = {f"{REFERENCE}{number}": each for number, each in enumerate(pictures)}
    return {**tiny.text_for(name, seed=seed), **own}


@pytest.mark.parametrize(("name", "method"), [*((name, ReferenceMethod.AUTO) for name in NAMES), *PLACED])
def test_the_model_is_given_what_comfyuis_own_nodes_and_sampler_give(name: str, method: ReferenceMethod) -> None:
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
        if method is not ReferenceMethod.AUTO:
            place = importlib.import_module("comfy_extras.nodes_flux").FluxKontextMultiReferenceLatentMethod
            positive = place.execute(positive, method.value).result[0]
            assert method_of(positive) == method.value
        assert shows_references(positive)
        guider = comfy.samplers.CFGGuider(model)
        guider.inner_set_conds({"positive": positive})
        guider.set_cfg(1.0)
        sampler = comfy.samplers.sampler_object("euler")
        sigmas = torch.tensor([sigma, 0.0])
        made = guider.sample(own(noise), own(clean), sampler, sigmas, disable_pbar=True, seed=0)
        expected = model.model.process_latent_in(made)
    given = shown(name, first, second)
    untouched = {key: value.clone() for key, value in given.items()}
    with open_denoiser(model, text, method=method) as denoiser, torch.no_grad():
        assert denoiser.takes_references
        assert denoiser.identity == model_identity(model, method=method)
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
        # The text of two of them is in a pass only with others of its length.
        apart = name in ("omnigen2", "boogu")
        assert sorted(passes(denoiser, inputs(name, 6), given)) == ([1, 1, 1, 1, 2] if apart else [1, 1, 2, 2])


def test_a_model_of_its_own_way_is_another_one_by_another_method_and_the_same_by_its_own() -> None:
    """Qwen-Image-Edit 2511 is known by a key of its file, and runs as 2509 without it."""
    newer, older = (tiny.load_model(name) for name in ("qwen_image_2511", "qwen_image"))
    config = comfy.model_detection.detect_unet_config(newer.model.diffusion_model.state_dict(), "")
    assert config["default_ref_method"] == "index_timestep_zero"
    zero, index = ReferenceMethod.INDEX_TIMESTEP_ZERO, ReferenceMethod.INDEX
    given = [shown("qwen_image", picture("qwen_image", 1))]

    def predict(model: Any, method: ReferenceMethod) -> torch.Tensor:
        with open_denoiser(model, given[0], method=method) as denoiser, torch.no_grad():
            return denoiser.predict(*inputs("qwen_image", 1), given, False)

    assert torch.equal(predict(newer, ReferenceMethod.AUTO), predict(older, zero))
    assert torch.equal(predict(older, ReferenceMethod.AUTO), predict(newer, index))
    assert not torch.allclose(predict(older, index), predict(older, zero), atol=1e-3)
    assert model_identity(older) == model_identity(older, method=index) != model_identity(older, method=zero)
    assert effective_method(newer.model, zero) is ReferenceMethod.AUTO
    assert effective_method(tiny.load_model("wan").model, zero) is ReferenceMethod.AUTO, "it heeds none"


def test_a_method_that_comfyui_cannot_run_is_refused() -> None:
    zero = ReferenceMethod.INDEX_TIMESTEP_ZERO
    with pytest.raises(TrainingError, match=r"reference_method is index_timestep_zero, .* and Flux in no case"):
        open_denoiser(tiny.load_model("flux"), tiny.text_for("flux"), method=zero).__enter__()
    with open_denoiser(tiny.load_model("hunyuan_video"), tiny.text_for("hunyuan_video"), method=zero) as denoiser:
        assert denoiser.reference_method is ReferenceMethod.AUTO


@pytest.mark.parametrize(("name", "method"), PLACED)
def test_a_batch_is_placed_as_each_alone(name: str, method: ReferenceMethod) -> None:
    given = [shown(name, picture(name, seed), seed=seed) for seed in (1, 2)]
    clean, noise, t = inputs(name, 2)
    with open_denoiser(tiny.load_model(name), given[0], method=method) as denoiser, torch.no_grad():
        together = denoiser.predict(clean, noise, t, given, False)
        for i, each in enumerate(given):
            row = slice(i, i + 1)
            alone = denoiser.predict(clean[row], noise[row], t[row], [each], False)
            torch.testing.assert_close(together[row], alone, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("name", "method"), [*((name, ReferenceMethod.AUTO) for name in NAMES), *PLACED])
def test_gradients_are_right_and_references_have_no_loss(name: str, method: ReferenceMethod) -> None:
    """Checkpointed equals plain, both equal central differences; what the last layer makes of references has none."""
    given = [shown(name, picture(name, 1), picture(name, 2, 6, 6), seed=seed) for seed in range(2)]
    with adapted(name, example=given[0], method=method) as (denoiser, adapters):
        assert "reference pictures" in denoiser.saving_note

        def loss(checkpoint: bool) -> torch.Tensor:
            return denoiser.predict(*inputs(name, 2), given, checkpoint).square().mean()

        tokens: list[torch.Tensor] = []
        hook = denoiser.module.get_submodule(LAST[name]).register_forward_hook(
            lambda _m, _args, output: (output.retain_grad(), tokens.append(output))[1]
        )
        gradients_of(loss, denoiser, adapters, checkpoint=False)
        hook.remove()
        layout = token_layout(denoiser.module)
        assert layout is not None
        learnt = layout.count(inputs(name, 2)[0].shape[2:])
        by_token = tokens[0].grad.abs().sum(dim=(0, 2))
        # JoyImage's last layer is given the picture alone, Krea 2's the text before it.
        start = {"omnigen2": len(by_token) - learnt, "boogu": len(by_token) - learnt, "krea2": 6}.get(name, 0)
        assert len(by_token) > learnt or name == "joy_image"
        assert bool((by_token[start:][:learnt] > 0).all())
        others = torch.cat([by_token[:start], by_token[start + learnt :]])
        assert bool((others == 0).all()), "the loss on the tokens of references is exactly zero"
        check_gradients(loss, denoiser, adapters)


def test_krea_2_ignores_references_until_it_is_told_how_to_place_them() -> None:
    model = tiny.load_model("krea2").model
    assert not takes_references(model)
    assert takes_references(model, ReferenceMethod.INDEX)


def test_more_references_than_a_model_tells_apart_are_refused() -> None:
    given = shown("omnigen2", *(picture("omnigen2", seed) for seed in range(6)))
    refused = pytest.raises(TrainingError, match="has 6 control images, and Omnigen2 is shown 5 at most")
    with open_denoiser(tiny.load_model("omnigen2"), tiny.text_for("omnigen2")) as denoiser, refused:
        denoiser.predict(*inputs("omnigen2", 1), [given], False)


def test_a_model_that_takes_none_is_looked_at_without() -> None:
    example = shown("wan", picture("wan", 1, 16, 16))
    assert small_example(tiny.load_model("wan").model, example).keys() == tiny.text_for("wan").keys()
    flux = small_example(tiny.load_model("flux").model, shown("flux", picture("flux", 1, 16, 20)))
    assert flux[f"{REFERENCE}0"].shape[-2:] == (8, 8)
    assert not takes_references(tiny.load_model("chroma").model), "made of Flux's class, and no edit model"
