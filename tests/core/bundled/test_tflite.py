from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
from maskloss.core.bundled.install import require
from maskloss.core.bundled.registry import FACE_MESH, SELFIE
from maskloss.core.bundled.tflite import Kind, Table, damaged_files, read_graph
from maskloss.core.errors import ModelMissingError


def table_of(fields: dict[int, tuple[str, int]]) -> Table:
    """A FlatBuffer table with these numbers, as (struct's kind, value) by field."""
    count = max(fields, default=-1) + 1
    offsets = [4 + 4 * field if field in fields else 0 for field in range(count)]
    vtable = struct.pack(f"<HH{count}H", 4 + 2 * count, 4 + 4 * count, *offsets)
    values = b"".join(
        struct.pack("<" + fields[field][0], fields[field][1]).ljust(4, b"\0") if field in fields else b"\0" * 4
        for field in range(count)
    )
    return Table(vtable + struct.pack("<i", len(vtable)) + values, len(vtable))


def test_fields_are_read_and_absent_ones_have_their_default():
    table = table_of({0: ("b", -3), 2: ("i", 70000)})
    assert (table.number(0, "b"), table.number(2), table.number(1, absent=5), table.number(9, absent=6)) == (
        -3,
        70000,
        5,
        6,
    )
    assert table.table(1) is None
    assert table.tables(1) == []
    assert table.text(1) == ""


@pytest.mark.models
def test_a_network_is_read_with_its_weights_as_float32():
    graph = read_graph(require(FACE_MESH))
    assert graph.shapes[graph.input] == (1, 192, 192, 3)
    assert graph.shapes[graph.names["conv2d_21"]] == (1, 1, 1, 1404)
    assert Kind.DEQUANTIZE not in {operator.kind for operator in graph.operators}
    first = graph.operators[0]
    kernel = graph.constants[first.inputs[1]]
    assert (first.kind, first.inputs[0], kernel.dtype) == (Kind.CONV_2D, graph.input, np.float32)
    assert kernel.shape[3] == 3
    assert np.isfinite(kernel).all()
    assert 0 < np.abs(kernel).max() < 100


@pytest.mark.models
def test_an_operator_that_no_bundled_network_has_is_refused(tmp_path: Path):
    """HARD_SWISH (117) is the selfie net's alone; where its file names another operator, it is none that we know."""
    content = require(SELFIE).read_bytes()
    code = struct.pack("<i", Kind.HARD_SWISH)
    places = [place for place in range(0, len(content) - 4, 4) if content[place : place + 4] == code]
    assert places
    changed = bytearray(content)
    for place in places:
        changed[place : place + 4] = struct.pack("<i", 99)
    path = tmp_path / "net.tflite"
    path.write_bytes(bytes(changed))
    with pytest.raises(ModelMissingError, match=r"net\.tflite cannot be loaded"), damaged_files(path):
        read_graph(path)
