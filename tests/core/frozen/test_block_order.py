"""Which block is guessed to come next."""

from __future__ import annotations

from maskloss.core.frozen.block_order import BlockOrder


def guesses(order: BlockOrder, blocks: list[int]) -> list[int]:
    return [order.come(block) for block in blocks]


def test_at_first_as_they_are_listed() -> None:
    assert guesses(BlockOrder((4, 7, 9)), [4, 7, 9, 7]) == [7, 9, 4, 9]


def test_there_and_back_is_learnt_in_one_pass() -> None:
    order = BlockOrder(range(4))
    to_and_fro = [0, 1, 2, 3, 2, 1]
    guesses(order, [*to_and_fro, 0])
    # What follows 1 and 2 depends on where they are come to from.
    assert guesses(order, to_and_fro[1:]) == [2, 3, 2, 1, 0]
    assert guesses(order, to_and_fro) == [1, 2, 3, 2, 1, 0]


def test_another_order_is_learnt_anew() -> None:
    order = BlockOrder(range(3))
    guesses(order, [0, 1, 2, 0, 1, 2])
    guesses(order, [0, 2, 1, 0])
    assert guesses(order, [2, 1, 0]) == [1, 0, 2]
