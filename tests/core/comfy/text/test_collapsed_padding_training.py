"""Collapsed padding of WAN and Anima: the same predictions and gradients as with all of it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest
import torch
from maskloss.core.comfy.model.denoiser import open_denoiser
from maskloss.core.errors import TrainingError
from maskloss.core.train.adapters import LoraAdapters
from maskloss.core.train.config import LoraConfig
from tiny_comfy import tiny_models as tiny  # skips where there is no ComfyUI

from comfy.ldm.modules.attention import optimized_attention  # isort: skip

pytestmark = pytest.mark.comfy

# What ComfyUI's text encoder gives to WAN, and what one gets through of a caption of 13.
TOKENS, LEFT = 512, 16


def caption(own: int, seed: int = 0) -> torch.Tensor:
    text = torch.zeros(1, TOKENS, tiny.NETWORKS["wan"].text)
    text[:, :own].normal_(generator=torch.Generator().manual_seed(seed))
    return text


@dataclass
class Step:
    """A prediction, the gradients that it left in a LoRA, and how many keys each attention to the text had."""

    prediction: torch.Tensor
    gradients: torch.Tensor
    keys: set[int]


def step(model: Any, texts: list[dict[str, torch.Tensor]], checkpoint: bool, dropout: bool = False) -> Step:
    generator = torch.Generator().manual_seed(7)
    channels = int(model.model.latent_format.latent_channels)
    clean, noise = (torch.randn(len(texts), channels, 1, 12, 8, generator=generator) for _ in range(2))
    t = torch.linspace(0.3, 0.7, len(texts))
    keys: set[int] = set()
    with open_denoiser(model, texts[0], dropout=dropout) as denoiser:
        adapters = LoraAdapters(
            denoiser.module, LoraConfig(rank=4), denoiser.default_targets, generator, denoiser.device, torch.float32
        )
        with torch.no_grad():
            for parameter in adapters.parameters:
                parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.05)
        hooks = [
            module.register_forward_pre_hook(lambda _module, arguments: keys.add(arguments[0].shape[1]))
            for name, module in denoiser.module.named_modules()
            if name.endswith("cross_attn.v")
        ]
        with adapters.attach(), denoiser.autograd_context(checkpoint):
            prediction = denoiser.predict(clean, noise, t, texts, checkpoint)
            prediction.square().mean().backward()
        for hook in hooks:
            hook.remove()
    found = [parameter.grad for parameter in adapters.parameters if parameter.grad is not None]
    assert len(found) == len(adapters.parameters)
    return Step(prediction.detach(), torch.cat([gradient.flatten() for gradient in found]), keys)


def with_own_attention(name: str) -> Any:
    """A MODEL on which a node has put an attention, which cannot be expected to count."""
    model = tiny.load_model(name)
    model.model_options.setdefault("transformer_options", {})["optimized_attention_override"] = (
        lambda function, *args, **kwargs: function(*args, **kwargs)
    )
    return model


@pytest.mark.parametrize("checkpoint", [False, True])
@pytest.mark.parametrize("name", ["wan", "wan22_5b"])
def test_wan_learns_the_same_from_a_few_as_from_all(name: str, checkpoint: bool) -> None:
    texts = [{"cross_attn": caption(own, own)} for own in (1, 13)]
    counted = step(tiny.load_model(name), texts, checkpoint)
    whole = step(with_own_attention(name), texts, checkpoint)
    assert (counted.keys, whole.keys) == ({LEFT}, {TOKENS})
    torch.testing.assert_close(counted.prediction, whole.prediction, rtol=1e-4, atol=1e-4)
    assert (counted.gradients - whole.gradients).norm() < 1e-4 * whole.gradients.norm()


def test_animas_text_is_what_its_network_makes_of_two_kinds_of_tokens() -> None:
    """Against its network given both, which makes 512 tokens of them, all of which it processes."""
    text = tiny.text_for("anima", length=9)
    generator = torch.Generator().manual_seed(7)
    clean, noise = (torch.randn(1, *tiny.latent_shape("anima"), generator=generator) for _ in range(2))
    t = torch.tensor([0.4])
    keys: set[int] = set()
    with open_denoiser(tiny.load_model("anima"), text) as denoiser:
        layer = denoiser.module.get_submodule("blocks.0.cross_attn.k_proj")
        hook = layer.register_forward_pre_hook(lambda _module, arguments: keys.add(arguments[0].shape[1]))
        found = clean - 0.4 * denoiser.predict(clean, noise, t, [text], False).detach()
        assert keys == {LEFT}, "11 of T5's tokens"
        with torch.no_grad():
            wanted = tiny.load_model("anima").model.apply_model(
                0.4 * noise + 0.6 * clean, t, c_crossattn=text["cross_attn"], t5xxl_ids=text["t5xxl_ids"][None],
                t5xxl_weights=text["t5xxl_weights"][None, :, None],
            )  # fmt: skip
        hook.remove()
        assert keys == {LEFT, TOKENS}
        torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-4)
        config = LoraConfig(rank=4, targets=r"llm_adapter\.blocks\.\d+\.cross_attn")
        adapters = LoraAdapters(denoiser.module, config, "", generator, denoiser.device, torch.float32)
        with adapters.attach(), denoiser.autograd_context(False):
            denoiser.predict(clean, noise, t, [text], False).square().mean().backward()
        gradients = [parameter.grad for parameter in adapters.parameters]
    assert any(gradient is not None and gradient.abs().max() > 0 for gradient in gradients), "it can be trained, too"


def test_with_dropout_each_token_has_its_own_chance() -> None:
    texts = [{"cross_attn": caption(own, own)} for own in (1, 13)]
    assert step(tiny.load_model("wan"), texts, False, dropout=True).keys == {TOKENS}


def test_captions_without_padding_are_processed_whole() -> None:
    texts = [{"cross_attn": caption(own, own)} for own in (1, TOKENS)]
    assert step(tiny.load_model("wan"), texts, False).keys == {TOKENS}


def test_an_attention_to_the_text_that_cannot_count_is_refused() -> None:
    """Such as a node's in place of the model's, that does not ask in the way that can be answered."""
    model = tiny.load_model("wan")

    def forward(x: torch.Tensor, context: torch.Tensor, **_: object) -> torch.Tensor:
        own = model.model.diffusion_model.blocks[0].cross_attn
        return own.o(optimized_attention(own.q(x), own.k(context), own.v(context), heads=own.num_heads))

    model.add_object_patch("diffusion_model.blocks.0.cross_attn.forward", forward)
    refused = pytest.raises(TrainingError, match="attended to the text not always in ComfyUI's own way")
    with refused, open_denoiser(model, {"cross_attn": caption(13)}):
        pass
    with open_denoiser(model, {"cross_attn": caption(TOKENS)}):
        pass
