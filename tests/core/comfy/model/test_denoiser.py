"""ComfyUI's own models, small and random, through the trainer."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
import torch
from maskloss.core.autograd.tensors import tensors_in
from maskloss.core.comfy.model.denoiser import open_denoiser
from maskloss.core.errors import TrainingError
from maskloss.core.train.adapters import LoraAdapters
from maskloss.core.train.config import LoraConfig
from maskloss.core.train.denoiser import Family
from tiny_comfy import tiny_models as tiny  # skips where there is no ComfyUI
from tiny_comfy.passes import inputs, with_sampling

import comfy.model_sampling  # isort: skip
import comfy.sd  # isort: skip

pytestmark = pytest.mark.comfy

FAMILY = dict.fromkeys(("sd15", "sdxl", "sd2", "sdxl_refiner", "pixart"), Family.EPS)


@pytest.mark.parametrize("name", tiny.EVERY_ARCHITECTURE)
def test_the_error_is_that_of_what_the_network_predicts(name: str) -> None:
    clean, noise, t = inputs(name)
    with open_denoiser(tiny.load_model(name), tiny.text_for(name)) as denoiser, torch.no_grad():
        assert denoiser.family is FAMILY.get(name, Family.FLOW)
        raw: list[torch.Tensor] = []
        hook = denoiser.module.register_forward_hook(lambda _m, _a, output: raw.append(tensors_in([output])[0]))
        difference = denoiser.predict(clean, noise, t, [tiny.text_for(name)] * 2, False)
        hook.remove()
    assert difference.shape == clean.shape
    target = noise - clean if denoiser.family is Family.FLOW else noise
    torch.testing.assert_close(difference, torch.cat(raw).reshape(clean.shape) - target, rtol=1e-3, atol=1e-3)


def test_the_error_of_v_prediction_is_that_of_v() -> None:
    model = with_sampling(tiny.load_model("sdxl"), "V_PREDICTION", "ModelSamplingDiscrete")
    clean, noise, t = inputs("sdxl")
    with open_denoiser(model, tiny.text_for("sdxl")) as denoiser, torch.no_grad():
        assert denoiser.family is Family.V
        seen: list[Any] = []
        hook = denoiser.module.register_forward_hook(lambda _m, args, output: seen.append((args, output)))
        difference = denoiser.predict(clean, noise, t, [tiny.text_for("sdxl")] * 2, False)
        hook.remove()
        snr = denoiser.snr(t)
    (arguments, output) = seen[0]
    assert arguments[1].tolist() == [200, 800]
    alpha = (snr / (1 + snr)).sqrt().reshape(-1, 1, 1, 1)
    sigma = (1 / (1 + snr)).sqrt().reshape(-1, 1, 1, 1)
    v = alpha * noise[:, :, 0] - sigma * clean[:, :, 0]
    torch.testing.assert_close(difference[:, :, 0], output - v, rtol=1e-3, atol=2e-3)
    torch.testing.assert_close(arguments[0], alpha * clean[:, :, 0] + sigma * noise[:, :, 0], rtol=1e-4, atol=1e-4)


def test_latents_are_normalised_once_and_keep_their_axes() -> None:
    for name in ("flux", "wan", "sd15"):
        model = tiny.load_model(name)
        raw = torch.randn(2, *tiny.latent_shape(name))
        with open_denoiser(model, tiny.text_for(name)) as denoiser:
            latents = denoiser.normalise(raw)
            own = raw if tiny.takes_videos(name) else raw[:, :, 0]
            expected = model.model.latent_format.process_in(own)
            assert torch.equal(latents, expected.reshape(raw.shape))
            assert not torch.equal(latents, raw)
            with pytest.raises(TrainingError, match="takes latents of"):
                denoiser.normalise(torch.zeros(1, 7, 1, 8, 8))


def test_a_model_of_pictures_refuses_videos() -> None:
    refused = pytest.raises(TrainingError, match="model of pictures, found latents of 3 frames")
    with open_denoiser(tiny.load_model("flux"), tiny.text_for("flux")) as denoiser, refused:
        denoiser.normalise(torch.zeros(1, 16, 3, 8, 8))


@pytest.mark.parametrize("name", ["wan", "flux", "qwen_image", "sd15"])
def test_the_shift_is_the_models_own(name: str) -> None:
    model = tiny.load_model(name)
    t = torch.tensor([0.1, 0.5, 0.9])
    with open_denoiser(model, tiny.text_for(name)) as denoiser:
        shifted = denoiser.shift(t)
        assert float(denoiser.shift(torch.zeros(1))) == 0
        sampling = model.model.model_sampling
    if name == "sd15":
        assert torch.equal(shifted, t)
    else:
        assert shifted.tolist() == pytest.approx([sampling.percent_to_sigma(1 - value) for value in t.tolist()])
        assert not torch.equal(shifted, t)


def test_a_model_whose_first_frame_is_empty_is_trained_as_it_samples_from_text() -> None:
    with open_denoiser(tiny.load_model("hunyuan_video15"), tiny.text_for("hunyuan_video15")) as denoiser:
        assert denoiser.image_channels == 0
        assert denoiser.notes == ("HunyuanVideo15 is trained as it samples from text, without a first frame.",)


@pytest.mark.parametrize(("name", "other"), [("flux", "sd15"), ("wan", "sd3"), ("sd15", "flux"), ("hidream", "sd3")])
def test_embeddings_of_another_models_clip_are_named_for_what_they_are(name: str, other: str) -> None:
    model = tiny.load_model(name)
    before = tiny.sampled(model, name)
    refused = pytest.raises(
        TrainingError, match=r"cannot be run with these captions' embeddings .* Encode the captions"
    )
    with refused, open_denoiser(model, tiny.text_for(other)):
        pass
    assert not tiny.management.in_training
    assert torch.equal(tiny.sampled(model, name), before)


@pytest.mark.parametrize("name", tiny.EVERY_ARCHITECTURE)
def test_the_model_is_left_as_it_was_also_after_an_exception(name: str) -> None:
    model = tiny.load_model(name)
    before = tiny.sampled(model, name)
    tensors = {key: (id(value), value.is_inference()) for key, value in model.model.named_parameters()}
    assert any(inference for _, inference in tensors.values())
    modules = dict(model.model.named_modules())
    with torch.inference_mode():
        with suppress(KeyboardInterrupt), open_denoiser(model, tiny.text_for(name)) as denoiser:
            assert tiny.management.in_training
            assert not torch.is_inference_mode_enabled()
            assert not any(parameter.is_inference() for parameter in denoiser.module.parameters())
            raise KeyboardInterrupt
        assert torch.is_inference_mode_enabled()
    assert not tiny.management.in_training
    assert {key: (id(value), value.is_inference()) for key, value in model.model.named_parameters()} == tensors
    assert all("forward" not in vars(module) for module in modules.values())
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in modules.values())
    assert torch.equal(tiny.sampled(model, name), before)


def test_the_weights_are_not_copied() -> None:
    model = tiny.load_model("wan")
    tiny.management.load_models_gpu([model])
    places = {key: value.data_ptr() for key, value in model.model.diffusion_model.named_parameters()}
    with open_denoiser(model, tiny.text_for("wan")) as denoiser:
        assert {key: value.data_ptr() for key, value in denoiser.module.named_parameters()} == places


def test_identity_follows_weights_shift_lora_and_guidance() -> None:
    model = tiny.load_model("flux")

    def identity(of: Any, guidance: float | None = None) -> str:
        with open_denoiser(of, tiny.text_for("flux"), guidance) as denoiser:
            return denoiser.identity

    before = identity(model)
    assert identity(model) == before
    shifted = with_sampling(model, "CONST", "ModelSamplingFlux")
    shifted.object_patches["model_sampling"].set_parameters(shift=0.5)
    patched = model.clone()
    key = "diffusion_model.double_blocks.0.img_attn.proj.weight"
    patched.add_patches({key: ("diff", (torch.ones(128, 128),))}, 0.5)
    identities = {before, identity(shifted), identity(patched), identity(model, 1.0)}
    assert len(identities) == 4
    assert identity(model) == before


def test_guidance_and_the_users_patches_reach_the_model() -> None:
    clean, noise, t = inputs("flux", batch=1)

    def error(model: Any, text: dict[str, torch.Tensor], guidance: float | None = None) -> torch.Tensor:
        with open_denoiser(model, text, guidance) as denoiser, torch.no_grad():
            return denoiser.predict(clean, noise, t, [text], False)

    model, text = tiny.load_model("flux"), tiny.text_for("flux")
    plain = error(model, text)
    assert torch.equal(error(model, text, 3.5), plain)
    assert not torch.equal(error(model, text, 1.0), plain)
    told = {**text, "guidance": torch.tensor(1.0)}
    assert torch.equal(error(model, told, 3.5), error(model, text, 1.0))
    patched = model.clone()
    patched.set_model_rope_options(scale_x=2.0, shift_x=0, scale_y=1, shift_y=0, scale_t=1, shift_t=0)
    assert not torch.equal(error(patched, text), plain)


@pytest.mark.parametrize("name", tiny.EVERY_ARCHITECTURE)
def test_the_adapter_in_training_is_the_lora_in_sampling(name: str) -> None:
    """The model with the LoRA merged by ComfyUI predicts what the model with our adapters predicted."""
    clean, noise, t = inputs(name, batch=1)
    text = tiny.text_for(name)
    config = LoraConfig(rank=4, alpha=2)
    with open_denoiser(tiny.load_model(name), text) as denoiser, torch.no_grad():
        generator = torch.Generator().manual_seed(0)
        adapters = LoraAdapters(
            denoiser.module, config, denoiser.default_targets, generator, denoiser.device, torch.float32
        )
        for parameter in adapters.parameters:
            parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.05)
        plain = denoiser.predict(clean, noise, t, [text], False)
        with adapters.attach():
            adapted = denoiser.predict(clean, noise, t, [text], False)
    patched, _ = comfy.sd.load_lora_for_models(tiny.load_model(name), None, adapters.state_dict(), 1.0, 0.0)
    with open_denoiser(patched, text) as denoiser, torch.no_grad():
        merged = denoiser.predict(clean, noise, t, [text], False)
    assert (adapted - plain).abs().max() > 1e-2
    torch.testing.assert_close(merged, adapted, rtol=1e-3, atol=1e-3)
    assert torch.isfinite(tiny.sampled(tiny.load_model(name), name)).all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float8_e4m3fn])
@pytest.mark.parametrize("name", ["wan", "flux"])
def test_frozen_weights_may_be_of_low_precision(name: str, dtype: torch.dtype) -> None:
    model = tiny.load_model(name, dtype)
    assert dtype in {parameter.dtype for parameter in model.model.diffusion_model.parameters()}
    before = tiny.sampled(model, name)
    clean, noise, t = inputs(name)
    texts = [tiny.text_for(name, seed=seed) for seed in (0, 1)]
    with open_denoiser(model, texts[0]) as denoiser:
        adapters = LoraAdapters(
            denoiser.module, LoraConfig(rank=4, alpha=4), denoiser.default_targets, torch.Generator().manual_seed(0),
            denoiser.device, torch.float32,
        )  # fmt: skip
        gradients = []
        for checkpoint in (False, True):
            with adapters.attach(), denoiser.autograd_context(checkpoint):
                denoiser.predict(clean, noise, t, texts, checkpoint).square().mean().backward()
            gradients.append(torch.cat([parameter.grad.flatten() for parameter in adapters.parameters]))
            for parameter in adapters.parameters:
                parameter.grad = None
    assert torch.isfinite(gradients[0]).all()
    assert (gradients[0] - gradients[1]).norm() < 1e-2 * gradients[0].norm()
    assert torch.equal(tiny.sampled(model, name), before)
