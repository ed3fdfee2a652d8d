"""The demo transformer: fixed weights, odd sizes, ragged captions, and gradients."""

import pytest
import torch
from maskloss.core.demo.encoders import DemoTextEncoder
from maskloss.core.demo.network import DemoTransformer
from maskloss.core.errors import CacheError


def captions(*texts: str) -> list[dict[str, torch.Tensor]]:
    return [DemoTextEncoder().encode(text) for text in texts]


def loud(seed: int = 0) -> DemoTransformer:
    """With an output layer that is not zero, so that what happens inside can be seen."""
    network = DemoTransformer(seed)
    with torch.no_grad():
        network.final.weight.normal_(0, 0.1, generator=torch.Generator().manual_seed(1))
    return network


def inputs(*shape: int) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(2)
    return torch.randn(shape, generator=generator), torch.rand(shape[0], generator=generator)


def test_weights_follow_the_seed_and_the_output_starts_at_zero() -> None:
    one, same, other = DemoTransformer(0), DemoTransformer(0), DemoTransformer(1)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), same.parameters(), strict=True))
    assert not torch.equal(one.patch.weight, other.patch.weight)
    assert not any(parameter.requires_grad for parameter in one.parameters())
    assert not one(*inputs(1, 16, 1, 4, 4), captions("a"), False).any()


@pytest.mark.parametrize("sides", [(1, 4, 4), (1, 5, 7), (3, 4, 6)])
def test_every_size_comes_out_as_it_went_in_and_checkpointing_changes_nothing(sides: tuple[int, int, int]) -> None:
    x, t = inputs(2, 16, *sides)
    network, text = loud(), captions("a person", "a person on a sofa")
    result = network(x, t, text, False)
    assert result.shape == x.shape
    assert torch.equal(network(x, t, text, True), result)
    gradients: list[torch.Tensor] = []
    for checkpoint in (False, True):
        leaf = x.clone().requires_grad_(True)
        network(leaf, t, text, checkpoint).square().sum().backward()
        assert leaf.grad is not None
        gradients.append(leaf.grad)
    assert gradients[0].any()
    torch.testing.assert_close(gradients[0], gradients[1])


def test_a_sample_does_not_see_its_neighbours_caption_or_padding() -> None:
    x, t = inputs(2, 16, 1, 4, 4)
    network, text = loud(), captions("a", "a much longer caption of another picture")
    both = network(x, t, text, False)
    torch.testing.assert_close(network(x[:1], t[:1], text[:1], False), both[:1], rtol=1e-4, atol=1e-5)
    assert not torch.allclose(network(x[:1], t[:1], text[1:], False), both[:1], atol=1e-3)


def test_another_models_text_is_refused() -> None:
    for text in ({"cross_attn": torch.zeros(1, 2, 64)}, {"tokens": torch.zeros(1, 2, 64)}):
        with pytest.raises(CacheError, match="is not the demo model's"):
            loud()(*inputs(1, 16, 1, 4, 4), [text], False)
