"""An index is read line by line, and piece by piece of a line, as JSON reads it whole; damage is found."""

from __future__ import annotations

import io
import json
import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import maskloss.core.cache.column_json as module
import numpy as np
import pytest
from maskloss.core.cache.column_json import ColumnReader, decode_column, encode_column
from maskloss.core.cache.entries import CacheEntry, Source
from maskloss.core.cache.index import CacheIndex, read_index_file, write_index_file
from maskloss.core.cache.index_columns import EntryTable
from maskloss.core.dataset.items import MaskOrigin
from maskloss.core.errors import CacheError

# What looks like the end of an item, of a list or of a column.
TEXTS = (
    '", "',
    ", ",
    '"',
    "\\",
    '\\"',
    '", \\"',
    '"], "rows": [',
    '"]',
    "]",
    "], [",
    "\n",
    "ä",
    "漢",
    "\udcff",
    "",
    "a" * 50,
)


@pytest.fixture(params=[1, 2, 7, 64, 1 << 20])
def block(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(module, "_BLOCK_BYTES", request.param)
    monkeypatch.setattr(module, "_ROWS", max(1, request.param // 8))
    monkeypatch.setattr(module, "_FEW", request.param)
    monkeypatch.setattr(module, "_MOST_LISTED", request.param)
    return request.param


def columns(draw: random.Random) -> dict[str, list[Any]]:
    count = draw.choice((0, 1, 2, 60))
    texts = ["".join(draw.choices(TEXTS, k=draw.randrange(4))) for _ in range(count)]
    return {
        "texts": texts,
        "few": draw.choices((*texts[:4], "x"), k=count),
        "half": [text for text in dict.fromkeys(texts) for _ in range(2)],
        "few digests": [f"{number % 20:064x}" for number in range(2 * count)],
        "few numbers": [number // 3 for number in range(2 * count)],
        "numbers": [draw.randrange(-9, 10**19) for _ in range(count)],
        "floats": [draw.random() for _ in range(count)],
        "mixed": [*draw.choices((None, 2, 2.5, True, "a, b"), k=count), 3, 4, 5],
        "digests": [f"{draw.getrandbits(256):064x}" for _ in range(count)],
        "wide": ["ä" * 64 for _ in range(count)] + [f"{number:064}" for number in range(count)],
        "tuples": [tuple(draw.choices(range(99), k=draw.randrange(3))) for _ in range(count)],
        "cycle": (draw.choices((1, "b", None), k=3) * count)[:count],
        "origin": [draw.choice(list(MaskOrigin)) for _ in range(count)],
    }


@pytest.mark.parametrize("seed", range(12))
def test_columns_come_back(block: int, seed: int) -> None:
    written = columns(random.Random(seed))
    lines = [f'"{name}": {"".join(encode_column(column))}' for name, column in written.items()]
    text = '{\n"format": 2,\n"of": {\n' + ",\n".join(lines) + '\n},\n"end": "ä"\n}\n'
    content = text.encode("utf-8", "surrogatepass")
    whole = json.loads(content)
    of_lines: dict[str, Any] = {"wide": None}  # texts of 64 characters that are no digests are read whole
    if "wide" in whole["of"] and "text" in whole["of"]["wide"]:
        with pytest.raises(ValueError, match=r"."):
            ColumnReader(io.BytesIO(content)).tables()
        content = content.replace(lines[9].encode("utf-8", "surrogatepass"), b'"wide": [1]')
        of_lines = ColumnReader(io.BytesIO(content)).tables()["of"]
        assert list(of_lines.pop("wide")) == [1]
    else:
        of_lines = ColumnReader(io.BytesIO(content)).tables()["of"]
    for name, values in written.items():
        for column in (of_lines.get(name), decode_column(name, whole["of"][name])):
            if column is not None:
                assert [(type(each), each) for each in column] == [(type(each), each) for each in values], name
                assert "".join(encode_column(column)) == "".join(encode_column(values))


def entry(number: int, draw: random.Random) -> CacheEntry:
    name = f"{number // 10}/{draw.choice(TEXTS).replace('/', '')}photo{number:03}"
    source = Source("image", Path(f"/set/{name}.jpg"), number, 10**18 + number, f"{draw.getrandbits(256):064x}")
    return CacheEntry(
        name, f"{name}_1x1.safetensors", MaskOrigin.FILE, draw.random(), 1, (8, 8), (8, 8), (16, 1, 1, 1),
        draw.choice(TEXTS), f"{draw.getrandbits(256):064x}", "2" * 64, 5 + number % 7, (source,) * (number % 3),
    )  # fmt: skip


def test_an_index_is_read_line_by_line_as_it_is_whole(tmp_path: Path, block: int) -> None:
    draw = random.Random(block)
    entries = [entry(number, draw) for number in range(50)]
    path = tmp_path / "index.json"
    write_index_file(path, CacheIndex("wan", "e", entries, "words"))
    by_lines = read_index_file(path)
    assert list(by_lines.entries) == entries == [by_lines.entries[row] for row in range(50)]
    stored = json.loads(path.read_bytes().decode("utf-8", "surrogatepass"))
    path.write_text(json.dumps(stored, indent=1))
    assert read_index_file(path) == by_lines
    assert read_index_file(path) != replace(by_lines, entries=entries[1:])


def test_what_is_cut_off_or_followed_by_more_is_damaged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    draw = random.Random(0)
    path = tmp_path / "index.json"
    write_index_file(path, CacheIndex("wan", "e", [entry(number, draw) for number in range(50)]))
    content = path.read_bytes()
    monkeypatch.setattr("maskloss.core.cache.index._MOST_WHOLE_BYTES", 0)  # as of a large one
    assert len(read_index_file(path).entries) == 50
    random_ = np.random.default_rng(0)
    for end in random_.integers(len(content), size=60):
        path.write_bytes(content[:end])
        with pytest.raises(CacheError, match="is damaged"):
            read_index_file(path)
    for damaged in (content + b"x", content.replace(b'"caption"', b'"legend"'), content.replace(b"[", b"[[", 1),
                    content.replace(b'"values"', b'"value"')):  # fmt: skip
        path.write_bytes(damaged)
        with pytest.raises(CacheError, match="is damaged"):
            read_index_file(path)


def test_entries_come_in_the_order_of_their_names() -> None:
    draw = random.Random(0)
    entries = sorted((entry(number, draw) for number in range(30)), key=lambda each: each.name)
    assert list(EntryTable.from_entries(entries).by_name()) == entries
    draw.shuffle(shuffled := list(entries))
    assert list(EntryTable.from_entries(shuffled).by_name()) == entries
