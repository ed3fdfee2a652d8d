"""The help pages say what the nodes are: every input with its range and default, every output, errors word for word."""

from __future__ import annotations

import ast
import functools
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from maskloss import NODE_CLASS_MAPPINGS, WEB_DIRECTORY
from maskloss.nodes.checks import WIDGETS, declared_inputs, required_inputs
from maskloss.nodes.load import ModelLoader

PACK = Path(__file__).parents[2]
DOCS = PACK / WEB_DIRECTORY / "docs"
NODES: dict[str, Any] = dict(sorted(NODE_CLASS_MAPPINGS.items()))
PAGES = {path.stem: path.read_text(encoding="utf-8") for path in sorted(DOCS.glob("*.md"))}
COLUMNS = 5
# A shorter quotation would be found by chance.
LEAST_QUOTED = 20


def section(page: str, heading: str) -> str:
    return page.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


def input_rows(page: str) -> dict[str, tuple[bool, str, str, str, str]]:
    """By input: whether it is marked as required, and its type, range or choices, default, advice."""
    rows: dict[str, tuple[bool, str, str, str, str]] = {}
    lines = [line for line in section(page, "Inputs").splitlines() if line.startswith("|")]
    for line in lines[2:]:
        cells = [cell.strip() for cell in line.strip().strip("|").split("|")]
        assert len(cells) == COLUMNS, line
        name, kind, allowed, default, advice = cells
        rows[name.removesuffix("*").strip().strip("`")] = (name.endswith("*"), kind, allowed, default, advice)
    return rows


def quotations(page: str) -> list[str]:
    return [line.removeprefix("> ") for line in page.splitlines() if line.startswith("> ")]


@functools.cache
def source_sentences() -> tuple[str, ...]:
    """Every text in core and nodes; what an f-string fills in stands as {}."""
    files = [path for room in ("core", "nodes") for path in sorted((PACK / room).rglob("*.py"))]
    return tuple(text for path in files for text in _texts(ast.parse(path.read_text(encoding="utf-8"))))


def _texts(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            parts = [str(part.value) if isinstance(part, ast.Constant) else "{}" for part in node.values]
            yield _with_gaps("".join(parts))
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield _with_gaps(node.value)


def _with_gaps(text: str) -> str:
    """What is filled in as {}, whatever its name and however many of them stand side by side."""
    return re.sub(r"(?:\{\w*\})+", "{}", text)


def test_every_node_has_a_page_and_every_page_a_node() -> None:
    assert sorted(PAGES) == sorted(NODES)


@pytest.mark.parametrize("name", NODES)
def test_a_page_has_the_title_of_its_node_and_no_other(name: str) -> None:
    titles = [line for line in PAGES[name].splitlines() if line.startswith("# ")]
    assert titles == [f"# {NODES[name].TITLE}"]


@pytest.mark.parametrize("name", NODES)
def test_a_page_shows_its_node(name: str) -> None:
    (picture,) = re.findall(r"!\[[^\]]+\]\(([^)]+)\)", PAGES[name])
    assert picture == f"pictures/{name}.jpg"
    assert (DOCS / picture).is_file()


@pytest.mark.parametrize("name", NODES)
def test_every_input_is_in_the_table_in_its_order(name: str) -> None:
    rows = input_rows(PAGES[name])
    assert list(rows) == list(declared_inputs(NODES[name]))
    assert {each for each, row in rows.items() if row[0]} == required_inputs(NODES[name])
    assert all(row[4] for row in rows.values())


@pytest.mark.parametrize("name", NODES)
def test_types_ranges_and_defaults_are_those_of_the_node(name: str) -> None:
    node = NODES[name]
    rows = input_rows(PAGES[name])
    for each, (kind, options) in declared_inputs(node).items():
        _, said_kind, allowed, default, _ = rows[each]
        assert said_kind.split(" or ") == kind.split(","), each
        if kind not in WIDGETS:
            assert (allowed, default) == ("", ""), each
        elif kind in ("INT", "FLOAT"):
            _check_number(each, kind, options, allowed, default)
        elif kind == "COMBO" and issubclass(node, ModelLoader):
            # What follows depends on the machine.
            assert options["options"][0] == options["default"] == default.strip("`"), each
            assert allowed.startswith(default), each
        elif kind == "COMBO":
            assert re.findall(r"`([^`]+)`", allowed) == options["options"], each
            assert default == f"`{options['default']}`", each
        elif kind == "BOOLEAN":
            assert (allowed, json.loads(default.strip("`"))) == ("`true`, `false`", options["default"]), each
        else:
            assert default == (f"`{options['default']}`" if options["default"] else "empty"), each


def _check_number(name: str, kind: str, options: dict[str, Any], allowed: str, default: str) -> None:
    found = re.fullmatch(r"(\S+) to (\S+?)(?:, step (\d+))?", allowed)
    assert found is not None, f"{name}: {allowed!r}"
    assert (float(found[1]), float(found[2])) == (options["min"], options["max"]), name
    assert float(default.strip("`")) == options["default"], name
    if kind == "INT":
        assert int(found[3] or 1) == options["step"], name


@pytest.mark.parametrize("name", NODES)
def test_every_output_is_listed_with_its_type(name: str) -> None:
    node = NODES[name]
    lines = [line for line in section(PAGES[name], "Outputs").splitlines() if line.startswith("- ")]
    names = getattr(node, "RETURN_NAMES", node.RETURN_TYPES)
    lists = getattr(node, "OUTPUT_IS_LIST", (False,) * len(names))
    assert len(lines) == len(names)
    for line, output, kind, is_list in zip(lines, names, node.RETURN_TYPES, lists, strict=True):
        assert line.startswith(f"- `{output}` ({kind}{', a list' if is_list else ''}): "), line


@pytest.mark.parametrize("name", NODES)
def test_quoted_errors_are_what_the_code_says(name: str) -> None:
    for quotation in quotations(PAGES[name]):
        pattern = _with_gaps(quotation)
        assert len(pattern.replace("{}", "")) >= LEAST_QUOTED, quotation
        assert any(pattern in sentence for sentence in source_sentences()), quotation


@pytest.mark.parametrize("name", NODES)
def test_an_error_section_quotes_at_least_one(name: str) -> None:
    assert ("\n## Errors\n" in PAGES[name]) == bool(quotations(PAGES[name]))
