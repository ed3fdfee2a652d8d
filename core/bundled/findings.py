"""What the bundled networks found in the pictures of this session, by their content: nobody finds it a second time.

Keep Person needs the faces and people that Build Masks has found, and so does either again with other settings.
"""

from __future__ import annotations

import hashlib
import threading
import zlib
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Generic, TypeVar

import numpy as np

from ..errors import InternalError

T = TypeVar("T")


class Findings(Generic[T]):
    """Results by picture, for any number of threads; `size_of` says what one takes in bytes. Beyond `most_bytes` those
    that were used longest ago go."""

    def __init__(self, most_bytes: int, size_of: Callable[[T], int]) -> None:
        self._most_bytes, self._size_of = most_bytes, size_of
        self._lock = threading.Lock()
        self._results: OrderedDict[bytes, T] = OrderedDict()
        self._bytes = 0

    def get(self, rgb_HWC: np.ndarray, compute: Callable[[], T], also: bytes = b"") -> T:
        """What `compute` gave for this uint8 RGB picture (and `also`), computed when it is not known.

        The result is shared: nobody changes it.
        """
        key = _content(rgb_HWC, also)
        with self._lock:
            if key in self._results:
                self._results.move_to_end(key)
                return self._results[key]
        result = compute()
        with self._lock:
            if key not in self._results:
                self._results[key] = result
                self._bytes += self._size_of(result)
            while self._bytes > self._most_bytes:
                self._bytes -= self._size_of(self._results.popitem(last=False)[1])
        return result


@dataclass(frozen=True, eq=False)
class PackedMap:
    """A soft map in a few kilobytes: its values are in 255ths."""

    shape: tuple[int, int]
    content: bytes

    @classmethod
    def pack(cls, soft_HW: np.ndarray) -> PackedMap:
        """float32 HW in [0, 1]. Rounded down where two values are as near, so that 0.5 is not above it afterwards."""
        rounded_HW = np.ceil(soft_HW * np.float32(255) - np.float32(0.5)).astype(np.uint8)
        return cls((rounded_HW.shape[0], rounded_HW.shape[1]), zlib.compress(rounded_HW.tobytes(), 1))

    def unpack(self) -> np.ndarray:
        """float32 HW in [0, 1], the caller's own."""
        rounded_HW = np.frombuffer(zlib.decompress(self.content), np.uint8).reshape(self.shape)
        return rounded_HW * np.float32(1 / 255)


def check_picture(rgb_HWC: np.ndarray) -> None:
    """InternalError unless the array is a uint8 HWC picture with three channels and at least one pixel."""
    if rgb_HWC.ndim != 3 or rgb_HWC.shape[2] != 3 or rgb_HWC.dtype != np.uint8 or rgb_HWC.size == 0:
        raise InternalError(f"a picture must be uint8 RGB of shape (H, W, 3), got {rgb_HWC.dtype} {rgb_HWC.shape}")


def _content(rgb_HWC: np.ndarray, also: bytes) -> bytes:
    check_picture(rgb_HWC)
    hashed = hashlib.sha256(np.ascontiguousarray(rgb_HWC).data)
    hashed.update(repr(rgb_HWC.shape).encode() + also)
    return hashed.digest()
