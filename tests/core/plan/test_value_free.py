"""Tensors without values in the code that trains."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext

import pytest
import torch
import torch.nn.functional as F
from maskloss.core.autograd.checkpointing import mutation_allowed
from maskloss.core.plan.counting import MemoryCount
from maskloss.core.plan.value_free import (
    is_value_free,
    run_without_values,
    selected_evenly,
    value_free_mode,
    zero_for_values,
)
from torch._subclasses.fake_tensor import DataDependentOutputException, DynamicOutputShapeException


def test_values_are_answered_and_only_where_there_are_none():
    with value_free_mode():
        number, flags = torch.zeros(2, 3), torch.zeros(2, dtype=torch.bool)
        count = torch.zeros((), dtype=torch.long)
    assert is_value_free(number)
    with run_without_values():
        assert number.tolist() == [[1.0] * 3] * 2
        assert flags.tolist() == [True, True]
        assert (int(count), bool(flags.all()), float(number.sum())) == (1, True, 1.0)
        assert torch.zeros(2).tolist() == [0.0, 0.0]
    with pytest.raises(DataDependentOutputException):
        bool(flags.all())


def test_real_tensors_stay_real_until_they_meet_one_without_values():
    with value_free_mode():
        empty = torch.zeros(4)
    real = torch.arange(4.0)
    assert not is_value_free(real * 2)
    assert is_value_free(real * empty)


def test_a_network_may_ask_for_values_while_it_is_made():
    with value_free_mode(), zero_for_values():
        rates = [each.item() for each in torch.linspace(0, 0, 3)]
        assert (rates, int(torch.ones((), dtype=torch.long)), bool(torch.ones((), dtype=torch.bool))) == (
            [0.0] * 3,
            0,
            False,
        )


def test_modules_without_values_are_not_moved_and_others_are():
    own = torch.nn.Module.to
    with value_free_mode():
        layer = torch.nn.Linear(2, 2)
    real = torch.nn.Linear(2, 2)
    with run_without_values():
        kept = layer.weight
        assert layer.to("cpu").weight is kept
        assert real.to(torch.float64).weight.dtype is torch.float64
    assert torch.nn.Module.to is own


def test_experts_take_equal_shares_of_the_rows_in_both_passes():
    def shared_out(rows: torch.Tensor, expert_of: torch.Tensor) -> torch.Tensor:
        result = torch.empty_like(rows)
        for expert in range(4):
            result[expert_of == expert] = rows[expert_of == expert] * 2
        return result

    with value_free_mode():
        rows, expert_of = torch.zeros(10, 3, requires_grad=True), torch.zeros(10, dtype=torch.long)
    real, even = torch.arange(4.0), torch.tensor([True, False, True, False])
    with run_without_values():
        with pytest.raises(DynamicOutputShapeException):
            shared_out(rows, expert_of)
        with selected_evenly(4):
            assert rows[expert_of == 1].shape == (3, 3)
            assert rows[expert_of].shape == (10, 3)
            (gradient,) = torch.autograd.grad(shared_out(rows, expert_of).sum(), rows)
            assert gradient.shape == rows.shape
            assert real[even].tolist() == [0.0, 2.0], "what has values selects by them"
        with pytest.raises(DynamicOutputShapeException):
            shared_out(rows, expert_of)


def in_place_step(new_tensors: AbstractContextManager[object]) -> int:
    """The peak of a pass that overwrites what it has saved, and of its backward pass."""
    with new_tensors:
        weight, values = torch.ones(1000, requires_grad=True), torch.ones(1000)
        others = [torch.ones(1000 + each) for each in range(3)]
    with MemoryCount() as count, mutation_allowed():
        kept = [each * weight[:1].expand(len(each)) for each in others]
        result = values * weight
        squared = result * result
        result += 1
        (squared.sum() + result.sum() + sum(each.sum() for each in kept)).backward()
    return count.peak


def test_overwritten_values_are_kept_as_they_are_with_values():
    with run_without_values():
        assert in_place_step(value_free_mode()) == in_place_step(nullcontext())


@pytest.mark.parametrize("as_on_cuda", [False, True])
def test_norms_keep_what_they_keep_on_the_device_under_autocast(as_on_cuda: bool):
    with value_free_mode():
        values = torch.zeros(4, 64, dtype=torch.bfloat16, requires_grad=True)
        weight = torch.zeros(64, dtype=torch.bfloat16)
    with run_without_values(as_on_cuda), torch.autocast("cpu", dtype=torch.bfloat16):
        assert F.layer_norm(values, (64,)).dtype is (torch.float32 if as_on_cuda else torch.bfloat16)
        with MemoryCount() as count:
            result = F.rms_norm(values, (64,), weight)
            kept = count.live
    assert result.dtype is torch.bfloat16
    # On CUDA one kernel saves no more than a number for each row.
    assert (kept <= result.nbytes + 4 * 4 * 2) is as_on_cuda
