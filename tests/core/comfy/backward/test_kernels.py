"""ComfyUI's fused kernels and the plain operations that stand in for them while a model is trained."""

from __future__ import annotations

from contextlib import suppress

import pytest
import torch
from maskloss.core.comfy.backward.kernels import use_plain_kernels
from tiny_comfy import tiny_models as tiny  # skips where there is no ComfyUI

pytestmark = pytest.mark.comfy
kitchen = pytest.importorskip("comfy_kitchen")


def test_kernels_give_way_while_comfyui_is_told_that_it_is_training(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    query, key = (torch.randn(1, 4, 2, 8, generator=generator) for _ in range(2))
    rotation = torch.randn(1, 4, 1, 4, 2, 2, generator=generator)
    arguments = (rotation, torch.ones(8), torch.ones(8), 1e-6)
    expected = kitchen.rms_rope_split_half(query, key, *arguments)
    query.requires_grad_(True)
    with use_plain_kernels():
        with pytest.raises(RuntimeError, match="backward"):
            kitchen.rms_rope_split_half(query, key, *arguments)[0].sum().backward()
        monkeypatch.setattr(tiny.management, "in_training", True)
        found = kitchen.rms_rope_split_half(query, key, *arguments)
        found[0].square().sum().backward()
    torch.testing.assert_close(found, expected)
    assert query.grad is not None
    assert query.grad.norm() > 0


def test_kernels_are_as_they_were_also_after_an_exception() -> None:
    before = {name: getattr(kitchen, name) for name in kitchen.__all__}
    with suppress(KeyboardInterrupt), use_plain_kernels():
        assert kitchen.rms_rope is not before["rms_rope"]
        assert kitchen.rms_rope_ is before["rms_rope_"], "writes into its arguments"
        raise KeyboardInterrupt
    assert {name: getattr(kitchen, name) for name in kitchen.__all__} == before
