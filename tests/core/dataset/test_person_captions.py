"""Captions of one person's items: a template, which says what it takes, or a text file of their own."""

from pathlib import Path

import pytest
from maskloss.core.dataset.items import DatasetItem, LoadSettings
from maskloss.core.dataset.person_captions import CaptionTemplate, own_caption
from maskloss.core.errors import SettingError


@pytest.mark.parametrize(
    ("template", "caption", "filled"),
    [
        ("{trigger}, {caption}", "at the sea", "ohwx, at the sea"),
        ("{trigger}, {caption}", "", "ohwx"),
        ("{trigger}, {caption}", "an ohwx woman", "an ohwx woman"),
        ("photo of {trigger} {class_noun}", "at the sea", "photo of ohwx woman"),
        ("{caption}, {name}", "at the sea", "at the sea, anna"),
    ],
)
def test_a_template_is_filled(template: str, caption: str, filled: str) -> None:
    assert CaptionTemplate(template).fill(caption, ["ohwx"], ["woman"], ["anna"]) == filled


def test_several_words_are_joined() -> None:
    filled = CaptionTemplate("{trigger}, {caption}").fill("ohwx at the sea", ["ohwx", "abcd"], ["w", "m"], ["a", "b"])
    assert filled == "ohwx and abcd, ohwx at the sea"


@pytest.mark.parametrize("template", ["{triger}", "{}", "{trigger", "{0}", "{trigger.upper}"])
def test_a_template_with_something_else_in_braces_is_refused(template: str) -> None:
    with pytest.raises(SettingError, match="caption_template"):
        CaptionTemplate(template)


def test_a_persons_own_file_lies_beside_that_of_all(tmp_path: Path) -> None:
    item = DatasetItem("party", tmp_path / "party.jpg", LoadSettings())
    assert own_caption(item, "anna") is None
    (tmp_path / "party.anna.txt").write_text("anna laughing\n")
    assert own_caption(item, "anna") == ("anna laughing", tmp_path / "party.anna.txt")
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts/party.anna.caption").write_text("elsewhere")
    other = DatasetItem("party", tmp_path / "party.jpg", LoadSettings(), caption_path=tmp_path / "texts/party.caption")
    assert own_caption(other, "anna") == ("elsewhere", tmp_path / "texts/party.anna.caption")
