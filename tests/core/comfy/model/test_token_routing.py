"""Token routing in every architecture that has it, against a slow reference on all tokens."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import pytest
import torch
from maskloss.core.comfy.model.denoiser import open_denoiser
from tiny_comfy import tiny_models as tiny  # skips where there is no ComfyUI
from tiny_comfy.adapted import adapted, sample
from tiny_comfy.routed import LISTS, Attention, Reference, gradients, kept_tokens, middle_blocks, texts
from tiny_comfy.tiny_networks import DEEP
from torch import nn

pytestmark = pytest.mark.comfy


@pytest.fixture
def attention(monkeypatch: pytest.MonkeyPatch) -> Attention:
    return Attention.install(monkeypatch)


@pytest.mark.parametrize("name", DEEP)
def test_routing_equals_hiding_the_skipped_tokens_from_all_others(name: str, attention: Attention) -> None:
    """Prediction and gradient, of a batch with captions of two lengths and with its own tokens skipped in each."""
    clean = sample(name)[0]
    with adapted(name) as (denoiser, adapters):
        kept = kept_tokens(denoiser, clean)
        assert 0 < kept.count < kept.tokens
        plain = gradients(name, denoiser, adapters, False, None)
        routed = gradients(name, denoiser, adapters, False, kept)
        checkpointed = gradients(name, denoiser, adapters, True, kept)
        with Reference(denoiser, kept, clean.shape[2:]).install(attention):
            expected = gradients(name, denoiser, adapters, False, None)
        again = gradients(name, denoiser, adapters, False, None)
    for found in (routed, checkpointed):
        torch.testing.assert_close(found[0], expected[0], rtol=1e-3, atol=1e-4)
        assert (found[1] - expected[1]).norm() < 1e-4 * expected[1].norm()
    assert (expected[0] - plain[0]).norm() > 1e-3 * plain[0].norm(), "routing changes the prediction"
    for found, before in zip(again, plain, strict=True):
        assert torch.equal(found, before), "afterwards everything is as it was"


@pytest.mark.parametrize("name", DEEP)
def test_the_middle_blocks_run_on_the_kept_tokens_alone(name: str) -> None:
    """The blocks before and after them run on all; text is never skipped."""
    clean, noise, t = sample(name)
    lengths: dict[nn.Module, int] = {}

    def record(block: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        values = (value for value in [*args, *kwargs.values()] if torch.is_tensor(value) and value.ndim == 3)
        lengths[block] = sum(value.shape[1] for value in values)

    with open_denoiser(tiny.load_model(name), texts(name, 6)[0]) as denoiser, ExitStack() as hooks, torch.no_grad():
        blocks = [block for each in LISTS for block in getattr(denoiser.module, each, ())]
        # Behind the routing: what a block's first layers are given.
        kept = kept_tokens(denoiser, clean)
        middle = set(middle_blocks(denoiser))
        for block in blocks:
            original = type(block).forward

            def watched(*args: Any, _block: nn.Module = block, _forward: Any = original, **kwargs: Any) -> Any:
                record(_block, args, kwargs)
                return _forward(_block, *args, **kwargs)

            block.forward = watched
            hooks.callback(block.__dict__.pop, "forward", None)
        denoiser.predict(clean, noise, t, texts(name, 6, 6), False)
        before = dict(lengths)
        with denoiser.route(kept):
            denoiser.predict(clean, noise, t, texts(name, 6, 6), False)
    for block in blocks:
        assert lengths[block] == before[block] - (kept.tokens - kept.count if block in middle else 0)


@pytest.mark.parametrize("name", DEEP)
def test_samples_of_a_batch_are_routed_as_they_are_alone(name: str) -> None:
    clean, noise, t = sample(name)
    given = texts(name, 6, 4)
    with open_denoiser(tiny.load_model(name), given[0]) as denoiser, torch.no_grad():
        kept = kept_tokens(denoiser, clean)
        with denoiser.route(kept):
            together = denoiser.predict(clean, noise, t, given, False)
        for row in range(2):
            with denoiser.route(kept.of([row])):
                one = denoiser.predict(clean[[row]], noise[[row]], t[[row]], given[row : row + 1], False)
            torch.testing.assert_close(one, together[[row]], rtol=1e-3, atol=1e-4)
