"""MiniMax H3, whose network makes picture and sound in one sequence: its picture is trained, beside empty sound."""

from __future__ import annotations

import importlib
from typing import Any

import pytest
import torch
from maskloss.core.comfy.model.denoiser import ComfyDenoiser, model_identity, open_denoiser
from maskloss.core.comfy.model.sampling import ComfySampling
from maskloss.core.errors import TrainingError
from maskloss.core.frozen.config import BaseConfig, BasePrecision
from tiny_comfy import tiny_models as tiny  # skips where there is no ComfyUI
from tiny_comfy.adapted import adapted, check_gradients
from tiny_comfy.passes import with_sampling

import comfy.nested_tensor  # isort: skip
import comfy.samplers  # isort: skip
import comfy.sd  # isort: skip
import comfy.utils  # isort: skip

pytestmark = pytest.mark.comfy

NAME = "minimax_h3"
# Five latent frames are 17 frames of video, which are 28 latent frames of sound; 5x7 is no whole number of patches.
SHAPE = (1, 24, 5, 5, 7)
SOUND = (1, 32, 2, 28)


def inputs(seed: int = 7) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    clean, noise = (torch.randn(SHAPE, generator=generator) for _ in range(2))
    return clean, noise


def shifted(video: float, sound: float) -> Any:
    node = importlib.import_module("comfy_extras.nodes_minimax_h3").MiniMaxH3SigmaShift
    return node.execute(tiny.load_model(NAME), video, sound).result[0]


class Seen:
    """What the network is given and makes, at every call."""

    def __init__(self, network: torch.nn.Module) -> None:
        self.given: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []
        self.hook = network.register_forward_pre_hook(self._keep, with_kwargs=True)
        self.payloads: list[dict[str, Any]] = []

    def _keep(self, _network: torch.nn.Module, args: Any, kwargs: Any) -> None:
        (video, sound), timestep = args[:2]
        self.given.append((video.clone(), sound.clone(), timestep.clone()))
        self.payloads.append(kwargs["minimax_payload"])


@pytest.mark.parametrize("shifts", [None, (7.0, 2.0)])
def test_a_step_is_the_one_that_comfyuis_sampler_makes(shifts: tuple[float, float] | None) -> None:
    """Both streams, their timesteps, the packed layout and the scale of the sound."""
    model = tiny.load_model(NAME) if shifts is None else shifted(*shifts)
    text = tiny.text_for(NAME, seed=3)
    text["minimax_token_tags"] = torch.tensor([1, 1, 0, 0, 1, 1])
    clean, noise = inputs()
    sigma = 0.6
    with open_denoiser(model, text) as denoiser, torch.no_grad():
        own = Seen(denoiser.module)
        error = denoiser.predict(denoiser.normalise(clean), noise, torch.tensor([sigma]), [text], False)
        own.hook.remove()
    (_, sound, timestep), payload = own.given[0], own.payloads[0]
    assert sound.shape == SOUND
    assert float(timestep) == pytest.approx(1000 * sigma)
    assert payload["audio_scale"] == pytest.approx(12 / 3 if shifts is None else shifts[0] / shifts[1])

    conditioning = [[text["cross_attn"], {"minimax_token_tags": text["minimax_token_tags"]}]]
    with torch.inference_mode():
        sampler_sees = Seen(model.model.diffusion_model)
        result = comfy.sample.sample_custom(
            model, comfy.nested_tensor.NestedTensor([noise, sound / sigma]), 1.0,
            comfy.samplers.sampler_object("euler"), torch.tensor([sigma, 0.0]), conditioning, conditioning,
            comfy.nested_tensor.NestedTensor([clean, torch.zeros(SOUND)]), disable_pbar=True, seed=0,
        )  # fmt: skip
        sampler_sees.hook.remove()
    for ours, theirs in zip(own.given[0], sampler_sees.given[0], strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=1e-5)
    theirs = sampler_sees.payloads[0]
    assert payload["layout"].segments == theirs["layout"].segments
    assert torch.equal(payload["layout"].position_ids, theirs["layout"].position_ids)
    assert payload["audio_scale"] == theirs["audio_scale"]
    assert torch.equal(payload["text_token_tags"], theirs["text_token_tags"])
    picture = result.unbind()[0]
    torch.testing.assert_close(error, (clean - picture) / sigma, rtol=1e-4, atol=1e-4)


def test_the_error_is_the_pictures_alone_and_plain_pytorchs() -> None:
    """The sound acts on the picture, what is predicted of it on nothing."""
    text = tiny.text_for(NAME)
    clean, noise = inputs()
    sigma = torch.tensor([0.3])
    with open_denoiser(tiny.load_model(NAME), text) as denoiser, torch.no_grad():
        seen = Seen(denoiser.module)
        error = denoiser.predict(clean, noise, sigma, [text], False)
        again = denoiser.predict(clean, noise, sigma, [text], False)
        seen.hook.remove()
        _, carried, timestep = seen.given[0]
        # The sound's own schedule, from a shift of 12 to one of 3.
        base = sigma / (12 - 11 * sigma)
        own_sigma = 3 * base / (1 + 2 * base)
        video = (1 - sigma) * clean + sigma * noise
        context = text["cross_attn"]
        plain = denoiser.module([video, carried / sigma * own_sigma], timestep, context)[0]
        silent = denoiser.module([video, torch.zeros_like(carried)], timestep, context)[0]
        denoiser.module.final_layer.audio_out.register_forward_hook(lambda _m, _a, output: output + 100)
        deaf = denoiser.predict(clean, noise, sigma, [text], False)
        denoiser.module.final_layer.audio_out._forward_hooks.clear()
    assert error.shape == SHAPE
    torch.testing.assert_close(error, plain - (noise - clean), rtol=1e-4, atol=1e-4)
    assert (plain - silent).abs().max() > 1e-3
    assert torch.equal(error, again)
    assert torch.equal(error, deaf)


def test_other_pictures_are_beside_other_noise() -> None:
    text = tiny.text_for(NAME)
    with open_denoiser(tiny.load_model(NAME), text) as denoiser, torch.no_grad():
        seen = Seen(denoiser.module)
        for seed in (1, 2):
            denoiser.predict(*inputs(seed), torch.tensor([1.0]), [text], False)
        seen.hook.remove()
    first, second = (sound for _, sound, _ in seen.given)
    assert not torch.equal(first, second)
    assert first.std() == pytest.approx(1, abs=0.05)


def loss(denoiser: ComfyDenoiser, checkpoint: bool) -> torch.Tensor:
    batch = [torch.cat(pair) for pair in zip(inputs(1), inputs(2), strict=True)]
    texts = [tiny.text_for(NAME, length=length, seed=length) for length in (6, 4)]
    return denoiser.predict(*batch, torch.tensor([0.3, 0.8]), texts, checkpoint).square().mean()


@pytest.mark.parametrize("targets", ["", r"^(condition_proj|token_refiner|audio_patch_proj|video_patch_proj)"])
def test_gradients_are_right_ahead_of_the_blocks_too(targets: str) -> None:
    with adapted(NAME, targets) as (denoiser, adapters):
        if targets:
            assert any(layer.startswith("token_refiner") for layer in adapters.layer_names)
        check_gradients(lambda checkpoint: loss(denoiser, checkpoint), denoiser, adapters)
        without = [
            layer
            for layer, down in zip(adapters.layer_names, adapters.parameters[::2], strict=True)
            if down.grad is None or down.grad.norm() == 0
        ]
        assert without == []


def test_its_blocks_may_be_in_main_memory_and_in_8_bits() -> None:
    text, predicted = tiny.text_for(NAME), list[torch.Tensor]()
    for base in (BaseConfig(), BaseConfig(blocks_in_main_memory=2), BaseConfig(BasePrecision.INT8)):
        with open_denoiser(tiny.load_model(NAME), text, base=base) as denoiser, torch.no_grad():
            predicted.append(denoiser.predict(*inputs(), torch.tensor([0.5]), [text], False))
    plain, swapped, small = predicted
    assert torch.equal(plain, swapped)
    assert 0 < (small - plain).norm() < 0.05 * plain.norm()


def test_what_the_layers_share_is_said_and_no_layer_of_the_sound_gets_an_adapter() -> None:
    with adapted(NAME) as (denoiser, adapters):
        assert "beside empty sound, and acts on the sound, too" in denoiser.notes[0]
        layers = {layer.split(".", 2)[2] for layer in adapters.layer_names}
        assert layers == {"attn.qkv_proj", "attn.out_proj", "mlp.fc1", "mlp.fc2"}
        assert denoiser.latent_channels == 24
        assert denoiser.lora_architecture == "minimax-h3"


def test_comfyui_is_told_of_the_sound_for_the_pass_alone() -> None:
    model = tiny.load_model(NAME)
    with open_denoiser(model, tiny.text_for(NAME)) as denoiser:
        model.model.latent_shapes = kept = [torch.Size(SHAPE)]
        denoiser.predict(*inputs(), torch.tensor([0.5]), [tiny.text_for(NAME)], False)
        assert model.model.latent_shapes is kept
        model.model.latent_shapes = None


def test_the_shift_of_the_sound_is_part_of_what_is_trained() -> None:
    identities = {model_identity(model) for model in (tiny.load_model(NAME), shifted(12.0, 2.0), shifted(11.0, 3.0))}
    assert len(identities) == 3


def test_a_schedule_without_sound_is_refused_as_comfyui_cannot_sample_it() -> None:
    model = with_sampling(tiny.load_model(NAME), "CONST", "ModelSamplingDiscreteFlow")
    with pytest.raises(TrainingError, match="CONST"), open_denoiser(model, tiny.text_for(NAME)):
        pass


class PictureVae:
    """The first three channels, as pixels."""

    class patcher:
        load_device = torch.device("cpu")

    @staticmethod
    def decode(samples: torch.Tensor) -> torch.Tensor:
        assert samples.shape[1:] in ((24, *SHAPE[2:]), (128, *SHAPE[2:]))
        return samples[:, :3].movedim(1, -1).clamp(0, 1)


def latents(name: str, sound: bool) -> Any:
    """As a node gives them: of video and sound, or of the video alone."""
    if name == NAME:
        return tiny.empty_latent(NAME, SHAPE) if sound else torch.zeros(SHAPE)
    video = torch.zeros(1, 128, *SHAPE[2:])
    return comfy.nested_tensor.NestedTensor([video, torch.zeros(1, 8, 26, 16)]) if sound else video


@pytest.mark.parametrize("sound", [True, False])
@pytest.mark.parametrize("name", [NAME, "ltx2"])
def test_it_is_sampled_with_sound_while_it_is_trained(name: str, sound: bool) -> None:
    text = tiny.text_for(name)
    sampling = ComfySampling(
        positive=[[text["cross_attn"], {}]], latent={"samples": latents(name, sound)}, vae=PictureVae(),
        sampler=comfy.samplers.sampler_object("euler"), sigmas=torch.tensor([1.0, 0.5, 0.0]),
    )  # fmt: skip
    generator = torch.Generator().manual_seed(7)
    channels = tiny.latent_shape(name)[0]
    clean, noise = (torch.randn(1, channels, *SHAPE[2:], generator=generator) for _ in range(2))
    with open_denoiser(tiny.load_model(name), text) as denoiser:
        before = denoiser.predict(denoiser.normalise(clean), noise, torch.tensor([0.5]), [text], False).detach()
        drawn = sampling.draw(denoiser, lambda: None)
        after = denoiser.predict(denoiser.normalise(clean), noise, torch.tensor([0.5]), [text], False).detach()
    assert [pictures.shape for pictures in drawn.values()] == [(1, 4, 5, 7, 3)]
    assert torch.equal(before, after)
