"""What a node gives back: JSON, pictures and texts for the front end, and what makes it run again."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from maskloss.core.host import LocalHost, use_host
from maskloss.core.images import load_image
from maskloss.core.warning import collect_warnings, warn
from maskloss.nodes.results import (
    MAX_TEXT,
    as_json,
    digest_edits,
    digest_folders,
    list_saved,
    one_or_all,
    with_pictures,
    with_report,
    with_warnings,
)

PICTURE = np.full((4, 6, 3), 90, np.uint8)


@pytest.fixture(autouse=True)
def host(tmp_path: Path):
    (tmp_path / "in").mkdir()
    with use_host(LocalHost(tmp_path / "in", tmp_path / "out")) as host:
        yield host


def test_json_is_readable_and_has_finite_numbers_only() -> None:
    assert json.loads(as_json({"name": "Änna", "value": 0.5})) == {"name": "Änna", "value": 0.5}
    assert "Änna" in as_json({"name": "Änna"})
    with pytest.raises(ValueError, match="Out of range"):
        as_json({"value": float("nan")})


def test_pictures_are_kept_and_listed_with_the_texts(host: LocalHost) -> None:
    answer = with_pictures((1,), [PICTURE, PICTURE + 1], "sheet", text=("words",))
    assert answer["result"] == (1,)
    assert answer["ui"]["text"] == ["words"]
    shown = [
        load_image(host.folders().output / each["subfolder"] / each["filename"])[0] for each in answer["ui"]["images"]
    ]
    assert [int(picture[0, 0, 0]) for picture in shown] == [90, 91]


def test_a_node_may_show_other_words_than_it_says(capsys: pytest.CaptureFixture[str]) -> None:
    answer = with_report(("wire", "report"), ["a table"], [PICTURE], said=["3 rows"], table=[{"name": "a"}])
    assert (answer["ui"]["said"], answer["ui"]["table"]) == (["3 rows"], [{"name": "a"}])
    assert "a table" in capsys.readouterr().err


def test_messages_are_said_but_not_those_that_were_warned_of(capsys: pytest.CaptureFixture[str]) -> None:
    with collect_warnings():
        warn("dark masks")
        capsys.readouterr()
        answer = with_report(("wire", "report"), ["dark masks", "three written"])
    assert answer == {"ui": {"text": ["report"], "said": ["three written"]}, "result": ("wire", "report")}
    said = capsys.readouterr().err
    assert "three written" in said
    assert "dark masks" not in said


def test_a_long_report_is_whole_on_the_wire_and_short_in_the_history() -> None:
    answer = with_report(("x" * (MAX_TEXT + 9),))
    assert len(answer["result"][0]) == MAX_TEXT + 9
    assert answer["ui"]["text"] == ["x" * MAX_TEXT + " …"]


def test_warnings_go_beside_whatever_a_node_shows() -> None:
    shown = {"ui": {"text": ["a"]}, "result": (1,)}
    assert with_warnings(shown, ["w"], False) == {"ui": {"text": ["a"], "warnings": ["w"]}, "result": (1,)}
    assert with_warnings((1,), ["w"], False) == {"ui": {"warnings": ["w"]}, "result": (1,)}
    assert with_warnings((1,), [], True) == {"ui": {"warnings": []}, "result": (1,)}
    assert with_warnings((1,), [], False) == (1,)
    assert "warnings" not in shown["ui"], "what was given is not changed"


def test_only_files_under_output_can_be_shown(host: LocalHost, tmp_path: Path) -> None:
    output = host.folders().output.resolve()
    assert list_saved([output / "a.png", output / "sub/b.png", tmp_path / "c.png"]) == [
        {"filename": "a.png", "subfolder": ".", "type": "output"},
        {"filename": "b.png", "subfolder": "sub", "type": "output"},
    ]


def test_one_picture_is_itself_and_several_are_a_list() -> None:
    assert one_or_all([5]) == 5
    assert one_or_all([5, 6]) == [5, 6]


def test_a_folder_is_read_again_when_what_lies_there_changes(host: LocalHost) -> None:
    folder = host.folders().input / "set/sub"
    folder.mkdir(parents=True)
    before, flat = digest_folders(("set", None, "")), digest_folders(("set",), recursive=False)
    assert digest_folders(("set",)) == before
    (folder / "a.png").write_bytes(b"x")
    assert digest_folders(("set",)) != before
    assert digest_folders(("set",), recursive=False) == flat
    assert "gone" in digest_folders(("gone",))


def test_edits_of_a_folder_are_seen_and_one_that_leads_out_differs() -> None:
    assert digest_edits(" ") == ""
    assert "leads out" in digest_edits("../..")
    assert digest_edits("masks") != digest_edits("../..")
