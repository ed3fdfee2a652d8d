"""A file of sorted lines gives what a dict of the same items gives, whatever their names, and what is added to it is
what writing the whole dict gives."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import maskloss.core.sorted_lines as module
import pytest
from maskloss.core.sorted_lines import SortedLines, encode_line, write_lines

PIECES = ("a", "b", "ab", "/", '"', "\\", '\\"', '": {', ",\n", "\n", "\r", "\t", " ", "ä", "\u2028", "\x85", "漢", "𝄞",
          "\udcff", "\udc80", "}}", "0", "Z", "\x00", "\x7f", "ｆ")  # fmt: skip
HEAD = {"step": "Step"}


def names(draw: random.Random, count: int) -> list[str]:
    """Any, also the empty one and those that begin with others."""
    found = {"".join(draw.choices(PIECES, k=draw.randrange(6))) for _ in range(count)}
    return list(found | {name[: draw.randrange(len(name) + 1)] for name in found if draw.random() < 0.3})


def values(draw: random.Random, chosen: list[str]) -> dict[str, Any]:
    return {name: {"text": draw.choice(PIECES) * draw.randrange(draw.choice((2, 400))), "n": draw.random()}
            for name in chosen}  # fmt: skip


def write(path: Path, items: dict[str, Any]) -> SortedLines:
    write_lines(path, HEAD, SortedLines(path), {name: encode_line(name, value) for name, value in items.items()})
    return SortedLines(path)


@pytest.fixture(params=[(1 << 15, 1 << 20), (64, 256), (1, 1)], ids=["usual", "small", "line by line"])
def blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_BLOCK_BYTES", request.param[0])
    monkeypatch.setattr(module, "_CHUNK_BYTES", request.param[1])


@pytest.mark.usefixtures("blocks")
@pytest.mark.parametrize("seed", range(8))
def test_it_gives_what_a_dict_gives(tmp_path: Path, seed: int) -> None:
    draw = random.Random(seed)
    chosen = names(draw, draw.choice((0, 1, 2, 30, 300)))
    items = values(draw, chosen)
    lines = write(tmp_path / "x.json", items)
    asked = chosen + names(draw, 100)
    draw.shuffle(asked)
    for name in asked:
        assert lines.get(name) == items.get(name), name
    assert list(lines.items()) == sorted(items.items())
    assert lines.head() == HEAD
    assert lines.whole() is None
    assert json.loads((tmp_path / "x.json").read_bytes()) == {**HEAD, "items": items}


@pytest.mark.usefixtures("blocks")
@pytest.mark.parametrize("seed", range(8))
def test_adding_gives_the_bytes_that_writing_all_gives(tmp_path: Path, seed: int) -> None:
    draw = random.Random(100 + seed)
    everything: dict[str, Any] = {}
    for round_ in range(6):
        old = draw.sample(sorted(everything), len(everything) // 3)
        added = values(draw, names(draw, draw.choice((0, 1, 50))) + old)
        everything |= added
        lines = write(tmp_path / "x.json", added)
        write(tmp_path / f"{round_}.json", everything)
        assert (tmp_path / "x.json").read_bytes() == (tmp_path / f"{round_}.json").read_bytes()
        assert dict(lines.items()) == everything


def test_the_layout(tmp_path: Path) -> None:
    write(tmp_path / "x.json", {"b/ä": {"y": 1}, "a": {"x": 'two\nlines "quoted"'}})
    expected = '{"step": "Step", "items": {\n"a": {"x": "two\\nlines \\"quoted\\""},\n"b/ä": {"y": 1}\n}}\n'
    assert (tmp_path / "x.json").read_text(encoding="utf-8") == expected
    write(tmp_path / "none.json", {})
    assert (tmp_path / "none.json").read_text() == '{"step": "Step", "items": {\n}}\n'
    assert list(SortedLines(tmp_path / "none.json").items()) == []


@pytest.mark.parametrize("indent", [None, 0, 1, 4])
def test_other_layouts_are_read_whole_and_written_as_lines(tmp_path: Path, indent: int | None) -> None:
    path = tmp_path / "x.json"
    items = {"b": {"x": 1}, "a": {"x": [2]}}
    path.write_text(json.dumps({**HEAD, "items": items}, indent=indent))
    lines = SortedLines(path)
    assert lines.whole() == items
    assert list(lines.items()) == [("a", {"x": [2]}), ("b", {"x": 1})]
    assert (lines.get("a"), lines.get("c")) == ({"x": [2]}, None)
    write(path, {"c": {}})
    assert lines.whole() is None, "the file that took its place is seen"
    assert dict(lines.items()) == {**items, "c": {}}


def test_where_there_is_no_file_there_is_nothing(tmp_path: Path) -> None:
    lines = SortedLines(tmp_path / "x.json")
    assert (lines.head(), lines.whole(), lines.get("a"), list(lines.items())) == (None, None, None, [])
    write(tmp_path / "x.json", {"a": {}})
    assert lines.get("a") == {}
    (tmp_path / "x.json").unlink()
    assert lines.get("a") is None


def test_what_replaces_the_file_is_gone_on_with(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_CHUNK_BYTES", 256)
    path = tmp_path / "x.json"
    lines = write(path, {f"{number:04d}": {} for number in range(100)})
    found = []
    for name, _ in lines.items():
        found.append(name)
        if name == "0050":
            write(path, {"0000a": {}, "0099a": {}})
    assert found == [*(f"{number:04d}" for number in range(100)), "0099a"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[:-4],  # cut off
        lambda text: text[: len(text) // 2],
        lambda text: text.replace(b'"step": ', b'"step" ', 1),
        lambda text: text[:40],
    ],
)
def test_a_file_that_is_cut_off_or_another_is_refused_at_once(tmp_path: Path, damage: Any) -> None:
    path = tmp_path / "x.json"
    write(path, {f"{number:04d}": {"x": "y" * 100} for number in range(1000)})
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(ValueError, match=r"."):
        SortedLines(path).head()


def test_damage_is_found_where_it_is_read(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    write(path, {f"{number:04d}": {"x": "y" * 100} for number in range(1000)})
    text = path.read_bytes()
    for old, new in ((b'"0510": {', b'"0510": ['), (b'"0510": {', b"\0\0\0\0\0\0\0\0\0"), (b'"0510"', b'"0310"')):
        path.write_bytes(text.replace(old, new, 1))
        lines = SortedLines(path)
        assert lines.get("0999") == {"x": "y" * 100}
        with pytest.raises((ValueError, KeyError)):
            lines.get("0510")
        with pytest.raises((ValueError, KeyError)):
            list(lines.items())


def test_lines_out_of_order_are_not_added_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_CHUNK_BYTES", 1)
    path = tmp_path / "x.json"
    write(path, {name: {} for name in "abc"})
    path.write_bytes(path.read_bytes().replace(b'"b"', b'"d"'))
    before = path.read_bytes()
    with pytest.raises(ValueError, match="not in its place"):
        write(path, {"x": {}})
    assert [each.name for each in tmp_path.iterdir()] == ["x.json"]
    assert path.read_bytes() == before
