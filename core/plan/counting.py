"""Counts the bytes of live tensors and the work of products, operation by operation: of real tensors and of such
without values alike."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

Place = tuple[str, int, int]
"""Where in a step something happens: in which pass, in which run of blocks, and where in that run."""

OUTSIDE: Place = ("outside", 0, 0)

_ATEN = torch.ops.aten


def _attention(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *_: Any, **__: Any) -> int:
    """Scores, and their product with the values; heads of the query may share those of key and value."""
    return 2 * query.numel() * key.shape[-2] + 2 * query[..., 0].numel() * key.shape[-2] * value.shape[-1]


def _attention_backward(
    _gradient: torch.Tensor, query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, *_: Any, **__: Any
) -> int:
    """The scores again, and two products for each of the two before."""
    return 2 * _attention(query, key, value) + 2 * query.numel() * key.shape[-2]


# PyTorch has no formula for attention on the CPU.
_WORK: Mapping[Any, Callable[..., int]] = {
    **flop_registry,
    _ATEN._scaled_dot_product_flash_attention_for_cpu: _attention,
    _ATEN._scaled_dot_product_flash_attention_for_cpu_backward: _attention_backward,
}


def storage_key(tensor: torch.Tensor) -> int:
    """What tells the storages of live tensors apart, also where they have no values and so no address."""
    return tensor.untyped_storage()._cdata  # pyright: ignore[reportPrivateUsage]


class MemoryCount(TorchDispatchMode):
    """Active, it sees every operation's results, and counts each of their storages once for as long as it lives.

    `live` bytes are there now; `peaks` are the most at each `place`. What operations take and give back inside of
    themselves is not seen. `operations` are the multiplications and additions in matrix products, convolutions and
    attention.
    """

    def __init__(self) -> None:
        super().__init__()
        self.live = 0
        self.operations = 0
        self.peaks: dict[Place, int] = {}
        self._place = OUTSIDE
        self._storages: dict[int, weakref.ref[torch.UntypedStorage]] = {}

    @property
    def place(self) -> Place:
        """Where the step is."""
        return self._place

    @place.setter
    def place(self, place: Place) -> None:
        self._place = place
        self._raise_peak()

    @property
    def peak(self) -> int:
        """The most at any place."""
        return max(self.peaks.values(), default=0)

    def forget_peaks(self) -> None:
        """Begin anew; what is live stays counted."""
        self.peaks, self.operations = {}, 0
        self.place = OUTSIDE

    def track(self, tensors: Iterable[torch.Tensor]) -> int:
        """Count tensors that are there already; the bytes that were not counted before."""
        before = self.live
        for tensor in tensors:
            self._add(tensor)
        return self.live - before

    def __torch_dispatch__(
        self,
        func: Callable[..., Any],
        types: Iterable[type],
        args: tuple[Any, ...] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if work := _WORK.get(getattr(func, "overloadpacket", None)):
            self.operations += work(*args, **(kwargs or {}), out_val=result)
        self._add_all(result)
        return result

    def _add_all(self, result: Any) -> None:
        if isinstance(result, torch.Tensor):
            self._add(result)
        elif isinstance(result, (tuple, list)):
            for each in result:
                self._add_all(each)

    def _add(self, tensor: torch.Tensor) -> None:
        storage, key = tensor.untyped_storage(), storage_key(tensor)
        if key in self._storages:
            return
        size = storage.nbytes()

        def drop(_: weakref.ref[torch.UntypedStorage]) -> None:
            del self._storages[key]
            self.live -= size

        self._storages[key] = weakref.ref(storage, drop)
        self.live += size
        self._raise_peak()

    def _raise_peak(self) -> None:
        if self.live > self.peaks.get(self._place, -1):
            self.peaks[self._place] = self.live
