"""A whole training with the last block for the tokens that count alone."""

from __future__ import annotations

from pathlib import Path

import maskloss.core.comfy.model.denoiser as denoiser_module
import pytest
import torch
from maskloss.core.mask_weights import MaskLossSettings
from tiny_comfy import tiny_models  # skips where there is no ComfyUI

from .test_comfy_training import make_cache, run

__all__ = ["tiny_models"]
pytestmark = pytest.mark.comfy


@pytest.mark.parametrize("checkpoint", [False, True])
def test_a_run_learns_the_same(checkpoint: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = make_cache("wan", tmp_path)
    chosen = {"steps": 21, "batch_size": 2, "gradient_checkpointing": checkpoint}
    saved = run("wan", cache, tmp_path / "saved", MaskLossSettings(), **chosen)
    monkeypatch.setattr(denoiser_module, "find_last_block", lambda network: None)
    plain = run("wan", cache, tmp_path / "plain", MaskLossSettings(), **chosen)
    for name, value in plain.lora.items():
        assert torch.allclose(saved.lora[name], value, rtol=1e-3, atol=1e-5)
    assert [point.outside is not None for point in saved.points] == [step % 2 == 0 for step in range(21)]
    for mine, its in zip(saved.points, plain.points, strict=True):
        assert mine.inside == pytest.approx(its.inside, rel=1e-4)
        assert mine.outside is None or mine.outside == pytest.approx(its.outside, rel=1e-4)
