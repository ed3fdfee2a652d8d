"""Work at once gives the same results in the same order, holds little, and stops when told to."""

import threading
import time
from contextlib import closing

import cv2
import pytest
import torch
from maskloss.core.progress import check_interrupted, set_interrupt_check
from maskloss.core.workers import MAX_WORKERS, Budget, map_in_order, worker_count

# Only for what never comes: nothing is measured by it.
SECONDS = 600


class Parallel:
    parallel = True


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_results_come_in_the_order_of_the_pieces(workers: int) -> None:
    first_may_end = threading.Event()

    def work(piece: int) -> int:
        if piece == 0 and workers > 1:
            assert first_may_end.wait(SECONDS), "the second piece is worked on while the first one is"
        first_may_end.set()
        return piece * 10

    assert list(map_in_order(work, range(9), workers)) == [piece * 10 for piece in range(9)]


def test_no_more_pieces_are_taken_than_can_be_held() -> None:
    taken = 0

    def pieces():
        nonlocal taken
        for piece in range(100):
            taken += 1
            yield piece

    with closing(map_in_order(lambda piece: piece, pieces(), 2)) as results:
        assert next(results) == 0
        assert taken == 4


@pytest.mark.parametrize("workers", [1, 2])
def test_the_first_error_in_order_is_raised_and_nothing_new_is_begun(workers: int) -> None:
    begun: list[int] = []

    def work(piece: int) -> int:
        begun.append(piece)
        if piece == 2:
            raise ValueError("the third")
        return piece

    results = map_in_order(work, range(50), workers)
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ValueError, match="the third"):
        next(results)
    assert len(begun) <= 2 + 2 * workers


def test_the_libraries_use_one_thread_meanwhile_and_as_many_as_before_afterwards() -> None:
    before = cv2.getNumThreads(), torch.get_num_threads()
    inside = list(map_in_order(lambda _: (cv2.getNumThreads(), torch.get_num_threads()), range(4), 2))
    assert set(inside) == {(1, 1)}
    assert (cv2.getNumThreads(), torch.get_num_threads()) == before
    with closing(map_in_order(lambda piece: piece, range(9), 2)) as results:
        next(results)
    assert (cv2.getNumThreads(), torch.get_num_threads()) == before


def test_only_models_that_say_so_are_used_by_several_threads() -> None:
    assert worker_count(Parallel(), object()) == 1
    assert 1 <= worker_count(Parallel(), Parallel()) <= MAX_WORKERS


def test_a_budget_is_never_exceeded_and_the_largest_work_alone() -> None:
    budget, lock = Budget(10), threading.Lock()
    held: list[int] = []
    seen: list[list[int]] = []
    company = threading.Event()

    def work(amount: int) -> int:
        with budget.reserve(amount):
            with lock:
                held.append(amount)
                seen.append(list(held))
            if len(seen[-1]) > 1:
                company.set()
            if amount < 40:
                assert company.wait(SECONDS), "small ones are worked on at once"
            with lock:
                held.remove(amount)
        return amount

    amounts = [4, 3, 3, 40, 6, 6, 1, 4, 4, 4] * 3
    assert list(map_in_order(work, amounts, 4)) == amounts
    assert all(sum(together) <= 10 or together == [40] for together in seen)


def test_a_budget_comes_back_after_an_error() -> None:
    budget = Budget(10)
    for _ in range(3):
        with pytest.raises(ValueError, match="here"), budget.reserve(8):
            raise ValueError("here")


class Interrupt(BaseException):
    pass


def test_an_interrupt_is_heeded_while_work_is_waited_for_and_no_stage_is_begun_after_it() -> None:
    under_way = threading.Barrier(3)
    stages: list[str] = []

    def work(piece: int) -> int:
        stages.append(f"{piece} first")
        under_way.wait(10)
        for _ in range(1000):  # until it is told to stop; at the latest after some seconds
            check_interrupted()
            time.sleep(0.01)
        stages.append(f"{piece} second")
        return piece

    def check() -> None:
        if threading.current_thread() is threading.main_thread():
            under_way.wait(10)  # both pieces are in their first stage
            raise Interrupt

    with pytest.raises(Interrupt), set_interrupt_check(check):
        list(map_in_order(work, range(8), 2))
    assert sorted(stages) == ["0 first", "1 first"]


def test_the_calling_thread_is_interrupted_between_the_stages_of_a_piece() -> None:
    stages: list[str] = []

    def work(piece: int) -> None:
        for stage in ("first", "second"):
            check_interrupted()
            stages.append(stage)

    def check() -> None:
        if stages:
            raise Interrupt

    with pytest.raises(Interrupt), set_interrupt_check(check):
        list(map_in_order(work, range(3), 1))
    assert stages == ["first"]
