"""Weights in ComfyUI's 4 bits: how near they are, in which shapes they come back, and what they weigh."""

from __future__ import annotations

import pytest
import torch
from maskloss.core.comfy.model import four_bits
from maskloss.core.comfy.model.four_bits import has_nvfp4, hold_nvfp4, require_nvfp4
from maskloss.core.errors import TrainingError
from maskloss.core.frozen.config import BasePrecision
from maskloss.core.frozen.held_weights import HeldWeight
from maskloss.core.plan.value_free import run_without_values, value_free_mode
from tiny_comfy import tiny_models as tiny  # noqa: F401 - skips where there is no ComfyUI

import comfy.quant_ops  # isort: skip

pytestmark = pytest.mark.comfy
# Numbers of 4 bits are this far apart at their ends, where a block's largest value is 6.
LEVELS = torch.tensor([0, 0.5, 1, 1.5, 2, 3, 4, 6])


def weights(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return (torch.randn(shape, generator=torch.Generator().manual_seed(0)) * 0.03).to(dtype)


def held(weight: torch.Tensor) -> HeldWeight:
    return hold_nvfp4("layer", weight, BasePrecision.NVFP4)


def restored(weight: torch.Tensor, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    kept = held(weight)
    return kept.restore(kept.tensors, dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("shape", [(48, 64), (33, 40), (8, 100), (1, 5)])
def test_it_is_as_near_as_4_bits_can_be_in_every_shape(shape: tuple[int, int], dtype: torch.dtype) -> None:
    weight = weights(*shape, dtype=dtype)
    before = weight.clone()
    found = restored(weight)
    assert torch.equal(weight, before), "the model's own"
    assert (found.shape, found.dtype) == (weight.shape, torch.float32)
    # A sixth of a block's largest value is half of the widest step, and FP8 rounds the scale.
    for row, near in zip(weight.float(), found, strict=True):
        for block, other in zip(row.split(16), near.split(16), strict=True):
            assert (block - other).abs().max() <= block.abs().max() / 6 * 1.13
    if weight.numel() > 1000:
        assert 0.05 < (found - weight.float()).norm() / weight.float().norm() < 0.12


def test_what_4_bits_can_say_comes_back_as_it_was() -> None:
    weight = torch.cat([LEVELS, -LEVELS]).repeat(16, 1) * 448
    torch.testing.assert_close(restored(weight), weight)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_in_fewer_bits_it_is_the_same_weight(dtype: torch.dtype) -> None:
    weight = weights(64, 64) * 0.01
    found, exact = restored(weight, dtype), restored(weight)
    assert found.dtype is dtype
    torch.testing.assert_close(found.float(), exact, rtol=2**-6, atol=1e-7)


def test_a_weight_of_zeros_stays_zero_and_a_block_of_zeros_too() -> None:
    assert torch.equal(restored(torch.zeros(32, 32)), torch.zeros(32, 32))
    weight = weights(32, 32)
    weight[3] = 0
    found = restored(weight)
    assert torch.isfinite(found).all()
    assert torch.equal(found[3], weight[3])


def test_what_is_kept_is_under_a_third_of_bf16() -> None:
    weight = weights(256, 256, dtype=torch.bfloat16)
    assert held(weight).nbytes <= 0.2815 * weight.nbytes
    assert held(weight).inside == 6 * weight.numel()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_damaged_weight_is_refused_by_name(value: float) -> None:
    weight = weights(16, 16)
    weight[1, 1] = value
    with pytest.raises(TrainingError, match="The weight of layer has values that are not finite"):
        held(weight)


def test_without_values_it_is_as_large_and_comes_back_as_wide() -> None:
    real = held(weights(40, 50))
    with value_free_mode(), run_without_values():
        kept = held(torch.zeros(40, 50))
        found = kept.restore(kept.tensors, torch.bfloat16)
    shapes = [(tuple(each.shape), each.dtype) for each in kept.tensors]
    assert shapes == [(tuple(each.shape), each.dtype) for each in real.tensors]
    assert kept.nbytes == real.nbytes
    assert (tuple(found.shape), found.dtype) == ((40, 50), torch.bfloat16)


def test_a_comfyui_without_the_format_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    require_nvfp4()
    # As ComfyUI has it where comfy_kitchen is not there.
    monkeypatch.setattr(comfy.quant_ops, "TensorCoreNVFP4Layout", type("Nothing", (), {}))
    assert not has_nvfp4()
    with pytest.raises(TrainingError, match="does not have that format"):
        require_nvfp4()
    monkeypatch.delattr(comfy.quant_ops, "TensorCoreNVFP4Layout")
    assert four_bits._layout() is None
