"""Bytes of live tensors, counted where the result is known."""

from __future__ import annotations

import torch
from maskloss.core.plan.counting import OUTSIDE, MemoryCount, storage_key

KIB = 1024


def kibibytes(count: int) -> torch.Tensor:
    return torch.empty(count * KIB, dtype=torch.uint8)


def test_storages_count_while_they_live_and_views_do_not():
    with MemoryCount() as count:
        first = kibibytes(3)
        second = kibibytes(2)
        view = first[:KIB]
        assert count.live == 5 * KIB
        del first
        assert count.live == 5 * KIB, "the view keeps the storage"
        del view
        assert (count.live, count.peak) == (2 * KIB, 5 * KIB)
        del second
    assert count.live == 0


def test_what_the_backward_pass_needs_is_seen_until_it_is_over():
    with MemoryCount() as count:
        weight = torch.ones(KIB, requires_grad=True)
        before = count.live
        result = (weight.exp().exp() * 2).sum()
        kept = count.live - before - result.nbytes
        result.backward()
        gradient = count.live - before - result.nbytes
    assert kept == 2 * 4 * KIB, "the results of both exponentials"
    assert gradient == 4 * KIB


def test_a_change_in_place_is_no_new_tensor():
    with MemoryCount() as count:
        values = torch.zeros(KIB)
        values.add_(1).mul_(2)
        assert count.peak == 4 * KIB


def test_tensors_from_before_count_once():
    there = kibibytes(4)
    part = there[KIB:]
    with MemoryCount() as count:
        assert count.track((there, part)) == 4 * KIB
        assert count.track((there,)) == 0
        there.add(1)
    assert count.peak == 8 * KIB
    assert storage_key(there) == storage_key(part) != storage_key(kibibytes(4))


def test_every_place_has_its_own_peak():
    with MemoryCount() as count:
        kept = kibibytes(2)
        count.place = ("forward", 0, 0)
        kibibytes(3)
        count.place = ("backward", 0, 0)
        count.forget_peaks()
        assert count.peaks == {OUTSIDE: kept.nbytes}
        count.place = ("forward", 0, 0)
        kibibytes(3)
        count.place = ("backward", 0, 0)
    assert count.peaks == {OUTSIDE: 2 * KIB, ("forward", 0, 0): 5 * KIB, ("backward", 0, 0): 2 * KIB}


def test_products_convolutions_and_attention_are_work_and_nothing_else_is():
    left, right = torch.ones(3, 5, requires_grad=True), torch.ones(5, 7)
    picture, kernel = torch.ones(1, 2, 6, 6), torch.ones(4, 2, 3, 3)
    query, key = torch.ones(1, 2, 8, 16), torch.ones(1, 1, 8, 16)
    work: list[int] = []
    with MemoryCount() as count:
        for operation in (
            lambda: (left @ right).sum().backward(),
            lambda: torch.nn.functional.conv2d(picture, kernel),
            lambda: torch.nn.functional.scaled_dot_product_attention(query, query, query),
            lambda: torch.nn.functional.scaled_dot_product_attention(query, key, key, enable_gqa=True),
            lambda: torch.exp(picture).sum(),
        ):
            before = count.operations
            operation()
            work.append(count.operations - before)
    # Forward and the gradient of the one factor; output cells times what each sums; scores and their product.
    assert work == [
        2 * (2 * 3 * 5 * 7),
        2 * (4 * 4) * 4 * (2 * 3 * 3),
        2 * (2 * 2 * 8 * 8 * 16),
        2 * (2 * 2 * 8 * 8 * 16),
        0,
    ]
