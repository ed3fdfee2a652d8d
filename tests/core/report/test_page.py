"""The page's sections: what is drawn and named, what is left away, and nothing unescaped."""

from __future__ import annotations

from pathlib import Path

from maskloss.core.dataset.items import Dataset, DatasetItem, LeftOut
from maskloss.core.report.report import write_report

from .run_pages import LOSS, SETTINGS, draw_photo, read_page


def test_sections_without_their_input_are_left_away(tmp_path: Path) -> None:
    index, lines = write_report(tmp_path / "report", None, None, {"loss": [2.0, 1.0]}, None)
    page = read_page(index)
    assert page.pictures == []
    assert "Coverage" not in page.words
    assert "The LoRA" not in page.words
    assert "Photographs" not in page.words
    assert lines == ["Loss in all: 2.0000 at first, 1.0000 at last (2 steps).", f"Report: {index}"]


def test_drift_is_drawn_where_prior_preservation_acted(tmp_path: Path) -> None:
    drifts = [0.01, 0.02]
    index, _ = write_report(tmp_path / "with", None, None, {"loss": [2.0, 1.0], "prior": drifts}, None)
    page = index.read_text(encoding="utf-8")
    assert page.count('class="smooth prior"') == 1
    assert '<i style="background:var(--prior)"></i>drift held back (prior)' in page
    index, _ = write_report(tmp_path / "without", None, None, {"loss": [2.0, 1.0], "prior": []}, None)
    assert 'class="smooth prior"' not in index.read_text(encoding="utf-8")


def test_validation_is_drawn_and_named(tmp_path: Path) -> None:
    index, _ = write_report(tmp_path / "report", None, None, {**LOSS, "validation": [[1, 0.9], [2, 0.8]]}, None)
    page = index.read_text(encoding="utf-8")
    assert page.count('class="dot validation"') == 2
    assert '<i style="background:var(--validation)"></i>validation' in page


def test_everything_is_escaped(tmp_path: Path) -> None:
    nasty = '<script>alert("1")</script>&'
    item = DatasetItem("a", draw_photo(tmp_path / "photos/a.png", 1), SETTINGS, caption=nasty)
    other = DatasetItem("b", draw_photo(tmp_path / "photos/b.png", 1), SETTINGS)
    index, _ = write_report(tmp_path / "report", Dataset((item,), (LeftOut(other, nasty),)), None, None, None)
    page = read_page(index)
    assert page.tags.count("script") == 2  # the viewer's own
    assert "<script>" not in index.read_text(encoding="utf-8")
    assert page.words.count('alert("1")') == 2
