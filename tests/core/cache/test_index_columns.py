"""Entries as columns come back as they were."""

import json
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from maskloss.core.cache.entries import CacheEntry, Source
from maskloss.core.cache.index import CacheIndex, read_index_file, write_index_file
from maskloss.core.cache.index_columns import EntryTable
from maskloss.core.dataset.items import MaskOrigin

DIGESTS = st.text("0123456789abcdef", min_size=64, max_size=64)
WORDS = st.text(st.characters(exclude_characters="/", exclude_categories=("Cs",)), max_size=9)
NUMBERS = st.integers(0, 2**62)
SIZES = st.tuples(st.integers(1, 3000), st.integers(1, 3000))
SOURCES = st.builds(
    Source,
    st.sampled_from(["image", "mask"]),
    st.builds(lambda folder, name: Path("/data", folder or "x", name or "y"), st.sampled_from("ab"), WORDS),
    NUMBERS,
    NUMBERS,
    DIGESTS,
)
ENTRIES = st.builds(
    CacheEntry,
    name=WORDS,
    file=st.one_of(WORDS, st.just("|a_1x1")),
    origin=st.sampled_from(MaskOrigin),
    coverage=st.floats(0, 1),
    repeats=st.integers(1, 3),
    image_size=SIZES,
    bucket=SIZES,
    latent_shape=st.tuples(*[st.integers(1, 99)] * 4),
    caption=WORDS,
    latent_fingerprint=DIGESTS,
    mask_fingerprint=st.one_of(DIGESTS, WORDS),
    file_bytes=NUMBERS,
    sources=st.lists(SOURCES, max_size=3).map(tuple),
    target_index=st.one_of(st.none(), st.integers(0, 9)),
    control_indices=st.lists(st.integers(0, 9), max_size=2).map(tuple),
)


def encoded_before(column: list[Any]) -> str:
    """A column as the version of 2026-11-30 wrote it, all of it at once."""
    numbers = {value: number for number, value in enumerate(dict.fromkeys(column))}
    plain: Any = column
    period = next((k for k in range(1, 5) if len(column) > k and column[k:] == column[:-k]), 0)
    if period:
        plain = {"values": column[:period], "count": len(column)}
    elif len(numbers) * 2 <= len(column):
        plain = {"values": list(numbers), "rows": [numbers[value] for value in column]}
    elif all(isinstance(value, str) and len(value) == 64 for value in column):
        plain = {"width": 64, "text": "".join(column)}
    return json.dumps(plain, ensure_ascii=False, allow_nan=False)


def without_name(name: str, file: str) -> str:
    after = file[len(name) :]
    return after if file.startswith(name) and not after.startswith("|") else "|" + file


def as_before(entries: list[CacheEntry]) -> str:
    """The tables as the version of 2026-11-30 wrote them."""
    columns = {field.name: [getattr(entry, field.name) for entry in entries] for field in fields(CacheEntry)}
    columns["file"] = [without_name(entry.name, entry.file) for entry in entries]
    columns["sources"] = [len(entry.sources) for entry in entries]
    owned = [(entry.name.rpartition("/")[2], source) for entry in entries for source in entry.sources]
    sources = {
        "role": [source.role for _, source in owned],
        "folder": [str(source.path.parent) for _, source in owned],
        "file": [without_name(name, source.path.name) for name, source in owned],
        **{name: [getattr(source, name) for _, source in owned] for name in ("size", "mtime_ns", "sha256")},
    }
    for name in ("crop", "regularisation", "subject", "references"):
        if not any(columns[name]):
            del columns[name]
    tables = {"entries": columns, "sources": sources}
    return ",\n".join(
        f'"{table}": {{\n' + ",\n".join(f'"{name}": {encoded_before(column)}' for name, column in of.items()) + "\n}"
        for table, of in tables.items()
    )


@settings(deadline=None)
@given(st.lists(ENTRIES, max_size=12))
def test_round_trip(entries: list[CacheEntry]) -> None:
    table = EntryTable.from_entries(entries)
    assert table == tuple(entries)
    assert "".join(table.json_pieces()) == as_before(entries)
    back = EntryTable.from_json(json.loads("{" + "".join(table.json_pieces()) + "}"))
    assert back == table
    assert tuple(back) == tuple(entries)
    assert [back[row] for row in range(len(entries))] == entries
    assert back[1:3] == tuple(entries[1:3])
    assert [(entry.file, entry.file_bytes) for entry in entries] == list(back.files())


def test_many_alike_entries_take_little_room(tmp_path: Path) -> None:
    sources = (Source("image", Path("/set/a.png"), 1, 2, "3" * 64), Source("mask", Path("/m/a.png"), 1, 2, "4" * 64))
    entry = CacheEntry(
        "a", "a_0064x0064_wan.safetensors", MaskOrigin.FILE, 0.5, 1, (64, 64), (64, 64), (16, 1, 8, 8), "ohwx",
        "1" * 64, "2" * 64, 4096, sources,
    )  # fmt: skip
    write_index_file(tmp_path / "one.json", CacheIndex("wan", "e", (entry,)))
    write_index_file(tmp_path / "many.json", CacheIndex("wan", "e", (entry,) * 1000))
    assert (tmp_path / "many.json").stat().st_size < 2 * (tmp_path / "one.json").stat().st_size
    assert len(read_index_file(tmp_path / "many.json").entries) == 1000


def test_a_path_that_is_not_utf8_comes_back(tmp_path: Path) -> None:
    path = Path("/set/a\udcff.png")
    entry = CacheEntry(
        "a", "a.safetensors", MaskOrigin.NONE, 1.0, 1, (8, 8), (8, 8), (16, 1, 1, 1), "", "", "", 1,
        (Source("image", path, 1, 1, ""),),
    )  # fmt: skip
    write_index_file(tmp_path / "index.json", CacheIndex("wan", "e", (entry,)))
    assert read_index_file(tmp_path / "index.json").entries[0].sources[0].path == path


@pytest.mark.parametrize("change", [{"name": ["a", "b"]}, {"strange": ["a"]}, {"repeats": {"values": [], "count": 1}}])
def test_columns_that_do_not_fit_are_no_table(change: dict[str, object]) -> None:
    entry = CacheEntry("a", "a", MaskOrigin.NONE, 1.0, 1, (8, 8), (8, 8), (16, 1, 1, 1), "", "", "", 1)
    stored = json.loads("{" + "".join(EntryTable.from_entries([entry]).json_pieces()) + "}")
    stored["entries"].update(change)
    with pytest.raises(ValueError, match="column"):
        EntryTable.from_json(stored)
