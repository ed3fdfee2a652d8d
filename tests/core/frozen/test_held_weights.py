"""Weights in 8 bits: how near they are, in which shapes they come back, and what they weigh."""

from __future__ import annotations

import pytest
import torch
from maskloss.core.errors import TrainingError
from maskloss.core.frozen.config import BasePrecision
from maskloss.core.frozen.held_weights import from_int8, hold, to_int8


def weights(*shape: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    return (torch.randn(shape, generator=torch.Generator().manual_seed(0)) * 0.03).to(dtype)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("shape", [(6, 40), (6, 5, 3), (6, 5, 3, 3), (6, 5, 1, 3, 3)])
def test_no_value_moves_further_than_half_a_level(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    weight = weights(*shape, dtype=dtype)
    before = weight.clone()
    levels, scale = to_int8(weight)
    assert torch.equal(weight, before), "the model's own"
    assert (levels.dtype, levels.shape, scale.dtype, scale.numel()) == (torch.int8, shape, torch.float32, 6)
    found = from_int8((levels, scale), torch.float32)
    assert found.shape == weight.shape
    assert ((found - weight.float()).abs() <= scale * 0.5001).all()
    peaks = weight.float().abs().flatten(1).amax(1)
    assert (scale.flatten() >= peaks / 127).all()
    assert (scale.flatten() <= peaks / 127 * (1 + 2**-7)).all(), "no coarser than bfloat16 makes it"


def test_a_row_of_large_values_leaves_the_others_fine() -> None:
    weight = weights(4, 64)
    weight[2] *= 1000
    error = (from_int8(to_int8(weight), torch.float32) - weight).norm(dim=1) / weight.norm(dim=1)
    assert (error < 0.012).all()


def test_a_row_of_zeros_stays_zero_and_the_ends_of_the_range_come_back() -> None:
    weight = torch.tensor([[0.0, 0.0], [-127.0, 127.0], [1e-38, 0.0]])
    assert torch.equal(from_int8(to_int8(weight), torch.float32)[:2], weight[:2])
    assert torch.isfinite(from_int8(to_int8(weight), torch.float32)).all()


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_in_fewer_bits_it_is_the_same_weight_rounded_once(dtype: torch.dtype) -> None:
    kept = to_int8(weights(16, 64))
    found = from_int8(kept, dtype)
    assert found.dtype is dtype
    assert torch.equal(found, from_int8(kept, torch.float32).to(dtype))


def test_what_is_kept_is_half_of_bf16_and_the_plain_weight_is_itself() -> None:
    weight = weights(256, 256, dtype=torch.bfloat16)
    assert hold("layer", weight, BasePrecision.INT8).nbytes <= 0.51 * weight.nbytes
    held = hold("layer", weight, BasePrecision.AS_LOADED)
    assert held.restore(held.tensors, torch.bfloat16) is weight


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_damaged_weight_is_refused_by_name(value: float) -> None:
    weight = weights(4, 4)
    weight[1, 2] = value
    with pytest.raises(TrainingError, match=r"The weight of blocks\.0\.qkv has values that are not finite"):
        hold("blocks.0.qkv", weight, BasePrecision.INT8)
