"""Fingerprints of models: equal for equal weights and patches, and another for everything that changes a result."""

from __future__ import annotations

import pytest
import torch
from maskloss.core.comfy.model.fingerprint import patcher_fingerprint
from tiny_comfy import tiny_models as tiny  # skips where there is no ComfyUI

pytestmark = pytest.mark.comfy

KEY = "diffusion_model.double_blocks.0.img_attn.proj.weight"


def test_it_follows_weights_of_the_prefix_alone() -> None:
    model = tiny.load_model("flux")
    before, other_part = patcher_fingerprint(model), patcher_fingerprint(model, "diffusion_model.single_blocks.")
    assert len(before) == 16
    assert patcher_fingerprint(tiny.load_model("flux")) == before
    assert patcher_fingerprint(model, "diffusion_model.double_blocks.") != other_part
    weight = model.model.state_dict()[KEY]
    with torch.inference_mode():
        kept = weight[0, 0].clone()
        weight[0, 0] += 1
        try:
            assert patcher_fingerprint(model) != before
            assert patcher_fingerprint(model, "diffusion_model.single_blocks.") == other_part
        finally:
            weight[0, 0] = kept
    assert patcher_fingerprint(model) == before


def test_a_patch_counts_the_same_whether_or_not_it_is_applied() -> None:
    model = tiny.load_model("flux")
    plain = patcher_fingerprint(model)
    strengths: list[str] = []
    for strength in (0.5, 0.25):
        patched = model.clone()
        patched.add_patches({KEY: ("diff", (torch.ones(128, 128),))}, strength)
        strengths.append(patcher_fingerprint(patched))
        tiny.management.load_models_gpu([patched], force_full_load=True)
        assert patched.backup, "ComfyUI has the patch in the weights"
        assert patcher_fingerprint(patched) == strengths[-1]
        patched.unpatch_model()
    assert len({plain, *strengths}) == 3
    assert patcher_fingerprint(model) == plain


def test_two_models_differ() -> None:
    assert len({patcher_fingerprint(tiny.load_model(name)) for name in ("flux", "flux_schnell", "wan", "sd15")}) == 4
