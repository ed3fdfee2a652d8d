import pytest
import torch
from maskloss.core.demo.denoiser import DemoDenoiser
from maskloss.core.demo.encoders import DemoLatentEncoder, DemoTextEncoder
from maskloss.core.errors import CacheError, TrainingError
from maskloss.core.frozen.config import BaseConfig, BasePrecision
from maskloss.core.train.denoiser import Family
from skimage import data


def inputs(batch: int = 2, shape: tuple[int, ...] = (1, 7, 5)) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(1)
    size = (batch, 16, *shape)
    return (
        torch.randn(size, generator=generator),
        torch.randn(size, generator=generator),
        torch.rand(batch, generator=generator),
    )


def texts(*captions: str) -> list[dict[str, torch.Tensor]]:
    return [DemoTextEncoder().encode(caption) for caption in captions]


def awake(denoiser: DemoDenoiser) -> DemoDenoiser:
    """With an output layer that says something, as a LoRA would make it."""
    torch.nn.init.normal_(denoiser.module.final.weight, std=0.02, generator=torch.Generator().manual_seed(3))
    return denoiser


def test_normalised_photographs_have_about_unit_variance_and_raw_ones_do_not():
    denoiser = DemoDenoiser()
    raw = DemoLatentEncoder().encode(torch.from_numpy(data.chelsea()[:296, :448].copy()).float()[None, None] / 255)
    normalised = denoiser.normalise(raw)
    assert 0.5 < normalised.std() < 1.5
    assert not 0.8 < raw.std() < 1.25
    assert not torch.allclose(denoiser.normalise(normalised), normalised, atol=0.1)


def test_an_untrained_model_knows_only_the_noise_level():
    clean, noise, _ = inputs()
    difference = DemoDenoiser().predict(clean, noise, torch.tensor([0.0, 1.0]), texts("a", "b"), False)
    # At t = 0 the guess is −x0 (the noise is unknown), at t = 1 it is the noise (the picture is unknown).
    assert torch.allclose(difference[0], -noise[0], atol=1e-6)
    assert torch.allclose(difference[1], clean[1], atol=1e-6)


def test_same_seed_same_weights_other_seed_other_identity():
    first, again, other = DemoDenoiser(4), DemoDenoiser(4), DemoDenoiser(5)
    for mine, its in zip(first.module.parameters(), again.module.parameters(), strict=True):
        assert torch.equal(mine, its)
    assert not torch.equal(first.module.patch.weight, other.module.patch.weight)
    assert first.identity == again.identity != other.identity


def test_global_random_state_is_untouched():
    torch.manual_seed(0)
    before = torch.get_rng_state()
    clean, noise, t = inputs()
    DemoDenoiser(1).predict(clean, noise, t, texts("a", "b c"), True)
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("shape", [(1, 7, 5), (1, 8, 8), (3, 6, 9)])
def test_odd_sizes_and_frames(shape: tuple[int, ...]):
    clean, noise, t = inputs(2, shape)
    assert awake(DemoDenoiser()).predict(clean, noise, t, texts("a", "b"), False).shape == clean.shape


def test_padded_captions_do_not_leak_into_each_other():
    denoiser = awake(DemoDenoiser())
    clean, noise, t = inputs()
    together = denoiser.predict(clean, noise, t, texts("anna", "a much longer caption here"), False)
    alone = denoiser.predict(clean[:1], noise[:1], t[:1], texts("anna"), False)
    assert torch.allclose(together[:1], alone, atol=1e-5)
    other = denoiser.predict(clean[:1], noise[:1], t[:1], texts("bert"), False)
    assert not torch.allclose(alone, other, atol=1e-3)


def test_checkpointed_gradient_equals_the_plain_one():
    gradients = []
    for checkpoint in (False, True):
        denoiser = awake(DemoDenoiser())
        for parameter in denoiser.module.parameters():
            parameter.requires_grad_(True)
        clean, noise, t = inputs()
        denoiser.predict(clean, noise, t, texts("a", "b c"), checkpoint).square().mean().backward()
        gradients.append([parameter.grad for parameter in denoiser.module.parameters()])
    for plain, checkpointed in zip(*gradients, strict=True):
        assert torch.equal(plain, checkpointed)


def test_made_under_inference_mode_it_can_still_be_trained():
    with torch.inference_mode():
        denoiser = awake(DemoDenoiser())
    clean, noise, t = inputs()
    weight = denoiser.module.final.weight.requires_grad_(True)
    denoiser.predict(clean, noise, t, texts("a", "b"), False).sum().backward()
    assert weight.grad is not None


def test_shift_and_snr():
    denoiser = DemoDenoiser()
    assert denoiser.family is Family.FLOW
    shifted = denoiser.shift(torch.tensor([0.0, 0.5, 1.0]))
    assert torch.allclose(shifted, torch.tensor([0.0, 0.75, 1.0]))
    assert torch.allclose(denoiser.snr(torch.tensor([0.5, 0.2])), torch.tensor([1.0, 16.0]))


def test_other_channels_are_refused():
    with pytest.raises(TrainingError, match="found 4"):
        DemoDenoiser().normalise(torch.zeros(1, 4, 1, 8, 8))


def test_text_of_another_model_is_said() -> None:
    denoiser = DemoDenoiser()
    x = torch.randn(1, 16, 1, 4, 4)
    for text in ({"cross_attn": torch.zeros(1, 4, 8)}, {"tokens": torch.zeros(64)}):
        with pytest.raises(CacheError, match="run CacheText on it again"):
            denoiser.predict(x, x, torch.tensor([0.5]), [text], False)


def test_held_in_int8_it_is_nearly_the_same_model_and_afterwards_the_very_same() -> None:
    denoiser, text = awake(DemoDenoiser()), texts("a", "b")
    before = denoiser.predict(*inputs(), text, False)
    with denoiser.held(BaseConfig(BasePrecision.INT8)) as held, denoiser.held(BaseConfig()):
        assert held.identity != denoiser.identity
        found = held.predict(*inputs(), text, False)
        assert not torch.equal(found, before)
        assert (found - before).norm() < 0.02 * before.norm()
    assert torch.equal(denoiser.predict(*inputs(), text, False), before)
