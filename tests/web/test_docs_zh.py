"""The Chinese help pages are the English ones: same inputs, types, ranges, defaults, reports and quoted messages."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from maskloss import NODE_CLASS_MAPPINGS

from tests.web.test_docs import DOCS, PACK, PAGES, section

NAMES = sorted(NODE_CLASS_MAPPINGS)
TRANSLATED: dict[str, Any] = json.loads((PACK / "locales/zh/nodeDefs.json").read_text(encoding="utf-8"))
HEADINGS = {"Inputs": "输入", "Outputs": "输出", "Errors": "错误", "Report": "报告"}


def chinese(name: str) -> str:
    return (DOCS / name / "zh.md").read_text(encoding="utf-8")


def table(page: str, heading: str) -> list[list[str]]:
    """The rows of the inputs' table, without its head."""
    lines = [line for line in section(page, heading).splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in lines[2:]]


def codes(cell: str) -> list[str]:
    """What a translation leaves as it is: code and numbers."""
    return re.findall(r"`[^`]+`|-?\d+(?:\.\d+)?", cell)


@pytest.mark.parametrize("name", NAMES)
def test_a_page_is_called_as_the_editor_calls_the_node(name: str) -> None:
    titles = [line for line in chinese(name).splitlines() if line.startswith("# ")]
    assert titles == [f"# {TRANSLATED[name]['display_name']}"]


@pytest.mark.parametrize("name", NAMES)
def test_inputs_types_ranges_and_defaults_are_those_of_the_english_page(name: str) -> None:
    english, translated = table(PAGES[name], "Inputs"), table(chinese(name), HEADINGS["Inputs"])
    assert len(translated) == len(english)
    names = {each: entry.get("name", each) for each, entry in TRANSLATED[name].get("inputs", {}).items()}
    for row, original in zip(translated, english, strict=True):
        each = original[0].removesuffix("*").strip().strip("`")
        assert row[0] == f"{original[0]} {names[each]}".strip()
        assert row[1] == original[1]
        assert [codes(cell) for cell in row[2:4]] == [codes(cell) for cell in original[2:4]]
        assert re.search(r"[一-鿿]", row[4]), f"the advice for {each} is not Chinese"


@pytest.mark.parametrize("name", NAMES)
def test_reports_messages_and_pictures_are_those_of_the_english_page(name: str) -> None:
    english, translated = PAGES[name], chinese(name)
    for pattern in (r"```.*?```", r"^> [^\n]+$", r"\]\(([^)]+)\)"):
        found = [re.findall(pattern, page, re.DOTALL | re.MULTILINE) for page in (translated, english)]
        assert found[0] == found[1]
    for heading, word in HEADINGS.items():
        assert translated.count(f"\n## {word}\n") == english.count(f"\n## {heading}\n")
    assert translated.count("\n## ") == english.count("\n## ")
    assert translated.count("\n- ") == english.count("\n- ")


def test_there_is_a_page_for_every_node_and_no_other() -> None:
    assert sorted(path.parent.name for path in DOCS.glob("*/zh.md")) == NAMES
