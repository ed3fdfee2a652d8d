"""What token routing leaves alone, what it goes together with, and which models it refuses."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from maskloss.core.comfy.model.denoiser import open_denoiser
from maskloss.core.errors import TrainingError
from maskloss.core.train.adapters import LoraAdapters
from maskloss.core.train.config import LoraConfig
from tiny_comfy import tiny_models as tiny  # skips where there is no ComfyUI
from tiny_comfy.adapted import adapted, sample
from tiny_comfy.offloaded import streamed
from tiny_comfy.routed import Attention, Reference, gradients, kept_tokens, middle_blocks, texts

pytestmark = pytest.mark.comfy


@pytest.fixture
def attention(monkeypatch: pytest.MonkeyPatch) -> Attention:
    return Attention.install(monkeypatch)


@pytest.mark.parametrize("name", ["wan_deep", "flux_deep", "z_image_deep"])
def test_nothing_skipped_is_bit_equal_to_no_routing(name: str) -> None:
    clean, noise, t = sample(name)
    with open_denoiser(tiny.load_model(name), texts(name, 6)[0]) as denoiser, torch.no_grad():
        plain = denoiser.predict(clean, noise, t, texts(name, 6, 4), False)
        with denoiser.route(kept_tokens(denoiser, clean, fraction=1.0)):
            routed = denoiser.predict(clean, noise, t, texts(name, 6, 4), False)
    assert torch.equal(plain, routed)


@pytest.mark.parametrize("name", ["wan_deep", "flux_deep", "sd3_deep"])
@pytest.mark.parametrize("checkpoint", [False, True])
def test_the_blocks_are_what_they_were_also_after_an_error(name: str, checkpoint: bool) -> None:
    clean, noise, t = sample(name)
    with open_denoiser(tiny.load_model(name), texts(name, 6)[0]) as denoiser:
        before = [block.__dict__.get("forward") for block in denoiser.module.modules()]
        broken = middle_blocks(denoiser)[-1]

        def stop(*_: object) -> None:
            raise KeyboardInterrupt

        hook = broken.register_forward_pre_hook(stop)
        with pytest.raises(KeyboardInterrupt), denoiser.route(kept_tokens(denoiser, clean)):
            denoiser.predict(clean, noise, t, texts(name, 6, 4), checkpoint)
        hook.remove()
        assert [block.__dict__.get("forward") for block in denoiser.module.modules()] == before
    assert all("forward" not in block.__dict__ for block in tiny.load_model(name).model.diffusion_model.modules())


@pytest.mark.parametrize("name", ["wan_deep", "flux_deep"])
def test_dropout_in_the_adapters_is_recomputed_as_it_was(name: str) -> None:
    clean = sample(name)[0]
    with open_denoiser(tiny.load_model(name), texts(name, 6)[0], dropout=True) as denoiser:
        generator = torch.Generator().manual_seed(0)
        adapters = LoraAdapters(
            denoiser.module, LoraConfig(rank=4, alpha=4, dropout=0.4), denoiser.default_targets, generator,
            denoiser.device, torch.float32,
        )  # fmt: skip
        with torch.no_grad():
            for parameter in adapters.parameters:
                parameter.add_(torch.randn(parameter.shape, generator=generator) * 0.05)
        kept = kept_tokens(denoiser, clean)
        found = []
        with adapters.attach():
            for checkpoint in (False, True):
                adapters.set_dropout_seeds((1, 2))
                found.append(gradients(name, denoiser, adapters, checkpoint, kept)[1])
            adapters.set_dropout_seeds(())
            without = gradients(name, denoiser, adapters, False, kept)[1]
    assert (found[0] - found[1]).norm() < 1e-4 * found[0].norm()
    assert (found[0] - without).norm() > 1e-2 * without.norm()


@pytest.mark.parametrize("name", ["wan_deep", "flux_deep", "hunyuan_video_deep"])
@pytest.mark.parametrize("checkpoint", [False, True])
def test_offloaded_layers_train_as_loaded_ones(name: str, checkpoint: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    clean = sample(name)[0]
    with adapted(name) as (denoiser, adapters):
        kept = kept_tokens(denoiser, clean)
        expected = gradients(name, denoiser, adapters, checkpoint, kept)
    with streamed(tiny.load_model(name), monkeypatch), adapted(name) as (denoiser, adapters):
        found = gradients(name, denoiser, adapters, checkpoint, kept)
    torch.testing.assert_close(found[0], expected[0], rtol=1e-4, atol=1e-5)
    assert (found[1] - expected[1]).norm() < 1e-5 * expected[1].norm()


@pytest.mark.parametrize("name", ["wan_deep", "qwen_image_deep", "z_image_deep"])
def test_in_bf16_the_routed_gradient_is_about_that_in_fp32(name: str) -> None:
    clean = sample(name)[0]
    with adapted(name) as (denoiser, adapters):
        kept = kept_tokens(denoiser, clean)
        expected = gradients(name, denoiser, adapters, True, kept)[1]
        with torch.autocast(denoiser.device.type, dtype=torch.bfloat16):
            found = gradients(name, denoiser, adapters, True, kept)[1]
    assert (found - expected).norm() < 0.1 * expected.norm()


@pytest.mark.parametrize("name", ["flux_deep", "flux2_deep", "qwen_image_deep"])
def test_reference_pictures_are_seen_by_the_routed_blocks(name: str) -> None:
    clean, noise, t = (each[:1] for each in sample(name))
    reference = torch.randn(1, *clean.shape[1:], generator=torch.Generator().manual_seed(9))
    if not tiny.takes_videos(name):
        reference = reference[:, :, 0]
    text = {**texts(name, 6)[0], "reference_latents": reference[None]}
    with open_denoiser(tiny.load_model(name), texts(name, 6)[0]) as denoiser, torch.no_grad():
        kept = kept_tokens(denoiser, clean)
        plain = denoiser.predict(clean, noise, t, texts(name, 6), False)
        seen = denoiser.predict(clean, noise, t, [text], False)
        assert not torch.allclose(plain, seen), "the reference is taken"
        with denoiser.route(kept):
            routed = denoiser.predict(clean, noise, t, [text], False)
            other = denoiser.predict(clean, noise, t, texts(name, 6), False)
    assert torch.isfinite(routed).all()
    assert not torch.allclose(routed, other, atol=1e-3)


def test_a_modulation_of_each_frame_goes_with_its_tokens(monkeypatch: pytest.MonkeyPatch, attention: Attention) -> None:
    """As WAN 2.2 (5B) modulates a first frame that is given by itself."""
    name = "wan22_5b_deep"
    clean, _noise, _t = sample(name)
    with adapted(name) as (denoiser, adapters):
        network = denoiser.module
        timed = type(network).forward_orig

        def by_frame(x: torch.Tensor, t: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
            each = torch.stack([t * 0.3, t], dim=1) if t.ndim == 1 else t
            return timed(network, x, each, *args, **kwargs)

        monkeypatch.setattr(network, "forward_orig", by_frame, raising=False)
        kept = kept_tokens(denoiser, clean)
        routed = gradients(name, denoiser, adapters, False, kept)
        with Reference(denoiser, kept, clean.shape[2:]).install(attention):
            expected = gradients(name, denoiser, adapters, False, None)
    torch.testing.assert_close(routed[0], expected[0], rtol=1e-3, atol=1e-4)
    assert (routed[1] - expected[1]).norm() < 1e-4 * expected[1].norm()


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("sdxl", "SDXL is a UNet, which has no tokens to skip"),
        ("sd15", "BaseModel is a UNet"),
        ("ltxv", "the blocks of LTXV cannot be routed"),
        ("chroma_radiance", "the blocks of ChromaRadiance cannot be routed"),
        ("wan", "has 2 blocks, and tokens skip those between the first and the last"),
    ],
)
def test_a_model_that_cannot_be_routed_is_refused_by_name(name: str, said: str) -> None:
    with (
        open_denoiser(tiny.load_model(name), tiny.text_for(name)) as denoiser,
        pytest.raises(TrainingError, match=f"^background_tokens: .*{said}.*; set it to 1.0; crops .*MaskLossDatasetC"),
    ):
        denoiser.routed_blocks()
