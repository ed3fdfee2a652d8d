"""ComfyUI's own models, small and random, through the trainer."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
import torch
from maskloss.core.errors import TrainingError
from maskloss.core.host.architectures import architecture_of
from maskloss.core.host.conditioning import condition
from maskloss.core.host.counted_padding import TextAttention
from maskloss.core.host.denoiser import model_identity, open_denoiser
from maskloss.core.host.predictions import prediction_family
from maskloss.core.train.adapters import LoraAdapters
from maskloss.core.train.config import LoraConfig, TrainingDtype
from maskloss.core.train.denoiser import Family

from . import tiny_models as tiny  # skips where there is no ComfyUI
from .passes import passes

import comfy.ldm.flux.math  # isort: skip
import comfy.ldm.hunyuan_video.model  # isort: skip
import comfy.ldm.modules.attention  # isort: skip
import comfy.ldm.modules.diffusionmodules.mmdit  # isort: skip
import comfy.model_sampling  # isort: skip
import comfy.sd  # isort: skip

pytestmark = pytest.mark.comfy

FAMILY = dict.fromkeys(("sd15", "sdxl", "sd2", "sdxl_refiner", "pixart"), Family.EPS)
# What takes captions of any lengths in one pass, and what takes those that a UNet can repeat.
ANY_LENGTHS = (
    "wan", "wan22_5b", "hunyuan_video", "hunyuan_video15", "hunyuan_image", "flux", "flux_schnell", "flux2", "ovis",
    "longcat", "chroma", "chroma_radiance", "qwen_image", "mage_flow", "sd3", "lumina2", "z_image",
    "z_image_pixel", "kandinsky5", "kandinsky5_image", "krea2", "pixeldit", "aura_flow", "joy_image", "lens", "ltxv",
    "anima",
)  # fmt: skip
REPEATED = ("sd15", "sdxl", "sd2", "sdxl_refiner")


def inputs(name: str, batch: int = 2) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(7)
    shape = (batch, *tiny.latent_shape(name, height=12))
    clean, noise = (torch.randn(shape, generator=generator) for _ in range(2))
    return clean, noise, torch.linspace(0.2, 0.8, batch)


def with_sampling(model: Any, prediction: str, schedule: str) -> Any:
    """What ComfyUI's ModelSampling nodes do with a MODEL."""

    class Sampling(getattr(comfy.model_sampling, schedule), getattr(comfy.model_sampling, prediction)):
        pass

    model = model.clone()
    model.add_object_patch("model_sampling", Sampling(model.model.model_config))
    return model


@pytest.mark.parametrize("name", tiny.EVERY_ARCHITECTURE)
def test_the_error_is_that_of_what_the_network_predicts(name: str) -> None:
    clean, noise, t = inputs(name)
    with open_denoiser(tiny.load_model(name), tiny.text_for(name)) as denoiser, torch.no_grad():
        assert denoiser.family is FAMILY.get(name, Family.FLOW)
        raw: list[torch.Tensor] = []
        hook = denoiser.module.register_forward_hook(lambda _m, _a, output: raw.append(output))
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


@pytest.mark.parametrize("name", tiny.EVERY_ARCHITECTURE)
def test_a_batch_is_its_samples_in_one_pass(name: str) -> None:
    """One row per sample, each with its own timestep and caption, of whatever length where the model allows it."""
    # As many tokens as the picture has (24), fewer and more; UNets get repeated text, for lengths that allow it.
    lengths = (6, 4, 6) if name in REPEATED else (24, 4, 31)
    ragged = [tiny.text_for(name, length=length, seed=seed) for seed, length in enumerate(lengths)]
    alike = [tiny.text_for(name, length=6, seed=seed) for seed in range(3)]
    assert not torch.equal(*(text["cross_attn"][:, :4] for text in ragged[:2]))
    with open_denoiser(tiny.load_model(name), alike[0]) as denoiser:
        assert passes(denoiser, inputs(name, 3), alike) == [3]
        together = name in (*ANY_LENGTHS, *REPEATED)
        assert passes(denoiser, inputs(name, 3), ragged) == ([3] if together else [1, 1, 1])
        # ComfyUI would repeat these up to 12 tokens each, for whatever network.
        repeatable = [tiny.text_for(name, length=length, seed=length) for length in (6, 4)]
        assert passes(denoiser, inputs(name), repeatable) == ([2] if together else [1, 1])


def test_captions_that_cannot_share_a_pass_come_apart() -> None:
    texts = [tiny.text_for("hunyuan_video", length=6, seed=seed) for seed in (0, 1)]
    for text in texts:
        text["attention_mask"] = torch.tensor([[1, 1, 1, 1, 0, 0]])
    with open_denoiser(tiny.load_model("hunyuan_video"), texts[0]) as denoiser:
        assert passes(denoiser, inputs("hunyuan_video"), texts) == [1, 1], "HunyuanVideo takes one mask for all"
    texts = [tiny.text_for("wan", length=length) for length in (600, 512)]
    with open_denoiser(tiny.load_model("wan"), texts[0]) as denoiser:
        assert passes(denoiser, inputs("wan"), texts) == [1, 1], "longer than any that WAN was trained with"


@pytest.mark.parametrize("lengths", [(40, 4, 70), (33, 64, 1), (24, 40)])
@pytest.mark.parametrize("name", ["z_image", "z_image_pixel"])
def test_texts_that_are_filled_up_to_different_multiples_share_a_pass(name: str, lengths: tuple[int, ...]) -> None:
    """Z-Image fills texts and pictures up to multiples of 32 tokens; its picture stands where the filled text ends."""
    texts = [tiny.text_for(name, length=length, seed=length) for length in lengths]
    with open_denoiser(tiny.load_model(name), texts[0]) as denoiser:
        assert passes(denoiser, inputs(name, len(texts)), texts) == [len(texts)]


def test_what_a_network_does_not_take_of_a_text_is_not_counted_on() -> None:
    texts = [tiny.text_for("pixeldit", length=length, seed=length) for length in (310, 4, 300)]
    model = tiny.load_model("pixeldit")
    assert model.model.diffusion_model.txt_max_length == 300
    with open_denoiser(model, texts[1]) as denoiser:
        assert passes(denoiser, inputs("pixeldit", 3), texts) == [3]
        # A picture of as many tokens.
        generator = torch.Generator().manual_seed(7)
        clean, noise = (torch.randn(2, 3, 1, 320, 240, generator=generator) for _ in range(2))
        assert passes(denoiser, (clean, noise, torch.tensor([0.2, 0.8])), texts[:2]) == [2]


@pytest.mark.parametrize("name", ["pixeldit", "z_image"])
def test_a_mask_that_hides_something_goes_alone_and_one_that_does_not_is_none(name: str) -> None:
    texts = [tiny.text_for(name, length=length) for length in (6, 4)]
    with open_denoiser(tiny.load_model(name), texts[0]) as denoiser:
        assert passes(denoiser, inputs(name), texts) == [2]
        texts[0]["attention_mask"][:, :2] = 0
        assert passes(denoiser, inputs(name), texts) == [1, 1]


def test_positions_that_a_node_sets_do_not_count_on_from_the_text() -> None:
    model = tiny.load_model("longcat").clone()
    model.set_model_rope_options(scale_x=1.0, shift_x=0.0, scale_y=1.0, shift_y=0.0, scale_t=1.0, shift_t=0.0)
    texts = [tiny.text_for("longcat", length=length) for length in (40, 4)]
    with open_denoiser(model, texts[0]) as denoiser:
        assert passes(denoiser, inputs("longcat"), texts) == [1, 1]


@pytest.mark.parametrize("name", ["wan", "flux", "hunyuan_video", "z_image", "longcat", "joy_image"])
def test_what_hides_or_counts_padding_is_where_the_model_computes(name: str) -> None:
    """Captions come from the disk and lie in the CPU's memory; `meta` stands for a GPU."""
    texts = [tiny.text_for(name, length=length) for length in (40, 4)]
    model = tiny.load_model(name).model
    with open_denoiser(tiny.load_model(name), texts[0]):
        (rows,) = condition(
            model, texts, inputs(name)[0].to("meta"), None, architecture_of(model).text, TextAttention()
        )
    assert rows.padding is not None
    tensors = [value for value in vars(rows.padding).values() if isinstance(value, torch.Tensor)]
    assert tensors
    assert {str(tensor.device) for tensor in tensors} == {"meta"}


def test_a_users_own_attention_is_left_alone() -> None:
    model = tiny.load_model("flux")
    seen: list[int] = []

    def attention(function: Any, *args: Any, **kwargs: Any) -> Any:
        seen.append(args[1].shape[-2])
        return function(*args, **kwargs)

    model.model_options.setdefault("transformer_options", {})["optimized_attention_override"] = attention
    texts = [tiny.text_for("flux", length=length) for length in (6, 4)]
    with open_denoiser(model, texts[0]) as denoiser:
        seen.clear()
        assert passes(denoiser, inputs("flux"), texts) == [1, 1]
        assert set(seen) == {24 + 6, 24 + 4}


@pytest.mark.parametrize("backend", ["attention_basic", "attention_sub_quad", "attention_split", "attention_pytorch"])
@pytest.mark.parametrize("name", ["flux", "hunyuan_video", "sd3"])
def test_padding_is_hidden_from_every_attention(name: str, backend: str, monkeypatch: pytest.MonkeyPatch) -> None:
    function = getattr(comfy.ldm.modules.attention, backend)
    for module in (comfy.ldm.flux.math, comfy.ldm.hunyuan_video.model, comfy.ldm.modules.diffusionmodules.mmdit):
        monkeypatch.setattr(module, "optimized_attention", function)
    texts = [tiny.text_for(name, length=length, seed=length) for length in (7, 4)]
    with open_denoiser(tiny.load_model(name), texts[0]) as denoiser:
        assert passes(denoiser, inputs(name), texts) == [2]


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


@pytest.mark.parametrize(
    ("prediction", "schedule", "named"),
    [
        ("EDM", "ModelSamplingContinuousEDM", "EDM"),
        ("V_PREDICTION", "ModelSamplingContinuousEDM", "V_PREDICTION on the schedule ModelSamplingContinuousEDM"),
        ("X0", "ModelSamplingDiscrete", "X0"),
        ("IMG_TO_IMG_FLOW", "ModelSamplingDiscreteFlow", "IMG_TO_IMG_FLOW"),
        ("COSMOS_RFLOW", "ModelSamplingCosmosRFlow", "COSMOS_RFLOW"),
        ("V_PREDICTION_DDPM", "ModelSamplingDiscrete", "V_PREDICTION_DDPM"),
        ("CONST", "ModelSamplingAV", "ModelSamplingAV|CONST"),
        ("EPS", "StableCascadeSampling", "StableCascadeSampling"),
    ],
)
def test_other_predictions_are_refused_by_name(prediction: str, schedule: str, named: str) -> None:
    model = with_sampling(tiny.load_model("sd15"), prediction, schedule)
    with pytest.raises(TrainingError, match=named):
        prediction_family(model.get_model_object("model_sampling"))
    with pytest.raises(TrainingError, match=named), open_denoiser(model, tiny.text_for("sd15")):
        pass


@pytest.mark.parametrize(
    ("name", "named"),
    [
        ("wan_control", "WAN21 takes 16 channels"),
        ("wan_vace", "WAN21_Vace takes control frames"),
        ("wan_s2v", "WAN22_S2V takes speech"),
        ("hunyuan_i2v", "HunyuanVideoI2V takes 17 channels"),
        ("sd15_inpaint", "takes 5 channels"),
        ("sd15_ip2p", "SD15_instructpix2pix takes 4 channels"),
        ("flux_fill", "Flux takes"),
        ("hunyuan_3d", "Hunyuan3Dv2 has latents of 1 dimensions and makes no pictures"),
    ],
)
def test_models_that_are_given_more_than_noise_and_text_are_refused(name: str, named: str) -> None:
    with pytest.raises(TrainingError, match=named), open_denoiser(tiny.load_model(name), tiny.text_for(name)):
        pass
    assert not tiny.management.in_training


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
        with adapters.attached():
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
            with adapters.attached(), denoiser.recording(checkpoint):
                denoiser.predict(clean, noise, t, texts, checkpoint).square().mean().backward()
            gradients.append(torch.cat([parameter.grad.flatten() for parameter in adapters.parameters]))
            for parameter in adapters.parameters:
                parameter.grad = None
    assert torch.isfinite(gradients[0]).all()
    assert (gradients[0] - gradients[1]).norm() < 1e-2 * gradients[0].norm()
    assert torch.equal(tiny.sampled(model, name), before)


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
