"""Reading ahead: the disk works while the model does, in the same order, and the thread is gone at the end."""

from __future__ import annotations

import dataclasses
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from maskloss.core.demo.denoiser import DemoDenoiser
from maskloss.core.errors import CacheError
from maskloss.core.train.read_ahead import ReadAhead

from .conftest import MemoryCache
from .runs import Stop, Watcher, assert_same

# Only for what never comes: nothing is measured by it.
SECONDS = 600.0


def threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name.startswith("maskloss-read-ahead")]


def test_everything_comes_once_and_in_order():
    asked: list[int] = []

    def read(position: int) -> int:
        asked.append(position)
        return position * position

    with ReadAhead(read, 3, 8) as ahead:
        assert [ahead.take(lambda: None) for _ in range(5)] == [9, 16, 25, 36, 49]
        with pytest.raises(IndexError):
            ahead.take(lambda: None)
    assert asked == [3, 4, 5, 6, 7]
    assert threads() == []


def test_the_thread_computes_with_one_core_and_leaves_theirs_to_others():
    before = torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        with ReadAhead(lambda _: torch.get_num_threads(), 0, 2) as ahead, ThreadPoolExecutor(1) as other:
            assert [ahead.take(lambda: None) for _ in range(2)] == [1, 1]
            assert other.submit(torch.get_num_threads).result() == torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)


def test_it_is_one_ahead_and_no_more():
    """No position but the next is read before the one at hand is asked for."""
    started = [threading.Event() for _ in range(4)]
    with ReadAhead(lambda position: started[position].set(), 0, 4) as ahead:
        assert started[0].wait(SECONDS)
        assert not started[1].wait(0.05)
        ahead.take(lambda: None)
        assert started[1].wait(SECONDS)
        assert not started[2].wait(0.05)


def test_an_error_comes_in_the_step_that_needs_it_and_the_thread_ends():
    def read(position: int) -> int:
        if position == 1:
            raise CacheError("b.safetensors is damaged")
        return position

    with ReadAhead(read, 0, 3) as ahead:
        assert ahead.take(lambda: None) == 0
        with pytest.raises(CacheError, match=r"b\.safetensors"):
            ahead.take(lambda: None)
    assert threads() == []


def test_waiting_for_a_slow_disk_can_be_interrupted():
    released = threading.Event()

    def interrupted() -> None:
        released.set()
        raise Stop

    with pytest.raises(Stop), ReadAhead(lambda _: released.wait(SECONDS), 0, 2) as ahead:
        ahead.take(interrupted)
    assert threads() == []


class Watched(MemoryCache):
    """Says which latents were read; a plain class attribute, as the dataclass is frozen."""

    reads: list[str]
    second: threading.Event

    def latent(self, entry):
        self.reads.append(entry.name)
        if len(self.reads) == 2:
            self.second.set()
        return super().latent(entry)


def test_the_second_step_is_read_while_the_model_works_on_the_first(run, cache):
    """The model's first answer waits until the second window was read, which a loop that reads in turn never does."""
    watched = Watched(**{field.name: getattr(cache, field.name) for field in dataclasses.fields(cache)})
    Watched.reads, Watched.second = [], threading.Event()
    met: list[bool] = []

    class Waiting(DemoDenoiser):
        def predict(self, *arguments: object) -> torch.Tensor:
            met.append(Watched.second.wait(SECONDS))
            return super().predict(*arguments)

    plain = run("plain", steps=5)
    ahead = run("ahead", steps=5, on=watched, denoiser=Waiting())
    assert met == [True] * 5
    assert_same(plain, ahead)
    assert len(Watched.reads) == 5, "nothing is read that is not trained on"
    assert threads() == []


def test_an_interrupt_leaves_no_thread_behind(run):
    with pytest.raises(Stop):
        run(steps=50, watcher=Watcher(2))
    assert threads() == []


def test_a_damaged_file_stops_in_its_own_step_and_what_was_learnt_before_is_kept(run, cache, tmp_path):
    class Damaged(MemoryCache):
        def latent(self, entry):
            if entry.name == "b":
                raise CacheError("the cache file b.safetensors is damaged")
            return super().latent(entry)

    damaged = Damaged(**{field.name: getattr(cache, field.name) for field in dataclasses.fields(cache)})
    watcher = Watcher()
    with pytest.raises(CacheError, match=r"b\.safetensors"):
        run("lora", steps=8, on=damaged, watcher=watcher)
    whole = run("whole", steps=max(1, len(watcher.points)))
    assert [point.loss for point in watcher.points] == [point.loss for point in whole.points][: len(watcher.points)]
    assert (tmp_path / "lora.safetensors").exists()
    assert threads() == []
