"""Reads TFLite files: the operators of a network in their order, and its weights; nothing is run.

A TFLite file is a FlatBuffer: tables of fields that may be absent, found through offsets. Field numbers and operator
codes are those of TensorFlow's schema.fbs.
"""

from __future__ import annotations

import struct
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path

import numpy as np

from ..errors import ModelMissingError

_DTYPES = {0: "<f4", 1: "<f2", 2: "<i4", 4: "<i8"}
_SKIPPED = -1  # the number of an input that is left out


class Kind(IntEnum):
    """Operators of schema.fbs that the bundled networks have."""

    ADD = 0
    AVERAGE_POOL_2D = 1
    CONCATENATION = 2
    CONV_2D = 3
    DEPTHWISE_CONV_2D = 4
    DEQUANTIZE = 6
    LOGISTIC = 14
    MAX_POOL_2D = 17
    MUL = 18
    RELU = 19
    RESHAPE = 22
    RESIZE_BILINEAR = 23
    CUSTOM = 32
    PAD = 34
    PRELU = 54
    HARD_SWISH = 117


@dataclass(frozen=True, eq=False)
class Table:
    """A table of the file at `place`."""

    content: bytes
    place: int

    def number(self, field: int, kind: str = "i", absent: int = 0) -> int:
        """A field that is a number, `kind` as struct names it; `absent` where the file leaves it out."""
        place = self._place(field)
        return absent if place is None else int(struct.unpack_from("<" + kind, self.content, place)[0])

    def table(self, field: int) -> Table | None:
        place = self._place(field)
        return None if place is None else Table(self.content, self._follow(place))

    def tables(self, field: int) -> list[Table]:
        start, count = self._vector(field)
        return [Table(self.content, self._follow(start + 4 * index)) for index in range(count)]

    def numbers(self, field: int, dtype: str = "<i4") -> np.ndarray:
        start, count = self._vector(field)
        return np.frombuffer(self.content, dtype, count, start)

    def text(self, field: int) -> str:
        return self.numbers(field, "u1").tobytes().decode()

    def _place(self, field: int) -> int | None:
        fields = self.place - struct.unpack_from("<i", self.content, self.place)[0]
        (length,) = struct.unpack_from("<H", self.content, fields)
        if 4 + 2 * field >= length:
            return None
        (offset,) = struct.unpack_from("<H", self.content, fields + 4 + 2 * field)
        return self.place + offset if offset else None

    def _follow(self, place: int) -> int:
        return place + struct.unpack_from("<I", self.content, place)[0]

    def _vector(self, field: int) -> tuple[int, int]:
        """Where the elements begin, and how many there are."""
        place = self._place(field)
        if place is None:
            return 0, 0
        place = self._follow(place)
        return place + 4, struct.unpack_from("<I", self.content, place)[0]


@dataclass(frozen=True, eq=False)
class Operator:
    """One step: tensors by number in and out. `options`: the fields of its kind's table in schema.fbs; `custom`: the
    name of a CUSTOM one."""

    kind: Kind
    inputs: tuple[int, ...]
    output: int
    options: Table | None
    custom: str


@dataclass(frozen=True, eq=False)
class Graph:
    """A network. Tensors have numbers: `constants` holds the weights among them (float32 or integers, as stored, in
    TFLite's NHWC order), `shapes` everyone's, for a batch of one; `input` is fed, `names` finds outputs."""

    operators: tuple[Operator, ...]
    constants: Mapping[int, np.ndarray]
    shapes: Mapping[int, tuple[int, ...]]
    names: Mapping[str, int]
    input: int


def read_graph(path: Path) -> Graph:
    """The network in a TFLite file; weights in half precision are made float32. Of a damaged file it raises what
    `damaged_files` converts."""
    content = path.read_bytes()
    model = Table(content, struct.unpack_from("<I", content, 0)[0])
    codes = [_code(each) for each in model.tables(1)]
    buffers = model.tables(4)
    (graph,) = model.tables(2)
    constants: dict[int, np.ndarray] = {}
    shapes: dict[int, tuple[int, ...]] = {}
    names: dict[str, int] = {}
    for number, tensor in enumerate(graph.tables(0)):
        shapes[number] = tuple(int(side) for side in tensor.numbers(0))
        names[tensor.text(3)] = number
        stored = buffers[tensor.number(2, "I")].numbers(0, "u1")
        if stored.size:
            constants[number] = stored.view(_DTYPES[tensor.number(1, "b")]).reshape(shapes[number])
    operators: list[Operator] = []
    for each in graph.tables(3):
        kind, custom = codes[each.number(0, "I")]
        inputs = tuple(int(number) for number in each.numbers(1) if number != _SKIPPED)
        output = int(each.numbers(2)[0])
        if kind is Kind.DEQUANTIZE:
            constants[output] = constants[inputs[0]].astype(np.float32)
        else:
            operators.append(Operator(kind, inputs, output, each.table(4), custom))
    return Graph(tuple(operators), constants, shapes, names, int(graph.numbers(1)[0]))


@contextmanager
def damaged_files(path: Path) -> Generator[None]:
    """Turn what fails while the network of `path` is read and built into a ModelMissingError that says what to do."""
    try:
        yield
    except (OSError, ValueError, LookupError, TypeError, ArithmeticError, RuntimeError, struct.error) as error:
        raise ModelMissingError(
            f"{path} cannot be loaded ({type(error).__name__}: {error}); run `maskloss models --install`, which checks "
            "and replaces damaged files."
        ) from error


def _code(table: Table) -> tuple[Kind, str]:
    # The first field is one byte wide and kept for old files; newer codes are in the fourth.
    return Kind(max(table.number(0, "b"), table.number(3))), table.text(1)
