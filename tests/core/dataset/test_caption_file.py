"""One file with many captions, as other trainers write it."""

import json
from pathlib import Path

import pytest
from maskloss.core.dataset.caption_file import CaptionFile, read_captions
from maskloss.core.errors import DatasetError


def write(path: Path, content: object) -> Path:
    text = content if isinstance(content, str) else json.dumps(content, ensure_ascii=False)
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("hf.jsonl", '{"file_name": "a.jpg", "text": "one"}\n\n{"file_name": "sub/b.png", "text": " two\\r\\nlines "}'),
        ("m.jsonl", '{"image_path": "a.jpg", "caption": "one"}\n{"image_path": "sub/b.png", "caption": "two\\nlines"}'),
        ("list.json", [{"image": "a.jpg", "caption": ["one", "or"]}, {"path": "sub\\b.png", "prompt": "two\nlines"}]),
        ("plain.json", {"a.jpg": "one", "sub/b": "two\nlines"}),
        ("kohya.json", {"a": {"caption": "one", "train_resolution": [64, 64]}, "sub/b": {"tags": "two\nlines"}}),
        ("b.jsonl", '\ufeff{"image_path": "a", "caption": "one", "tags": ""}\n{"file": "sub/b", "text":"two\\nlines"}'),
    ],
)  # fmt: skip
def test_every_form_gives_the_captions(tmp_path: Path, name: str, content: object) -> None:
    file = CaptionFile.read(write(tmp_path / name, content), ["a", "sub/b", "c"])
    assert (file.find("a"), file.find("sub/b"), file.find("c")) == ("one", "two\nlines", None)
    assert (file.used, file.unused) == (2, ())


def test_kohyas_tags_stand_behind_the_caption(tmp_path: Path) -> None:
    path = write(tmp_path / "m.json", {"a": {"caption": "a woman", "tags": "sea, sky"}, "b": {"text": "x", "tags": []}})
    assert read_captions(path) == {"a": "a woman, sea, sky", "b": "x"}


def test_paths_of_another_machine_are_found_by_their_ends(tmp_path: Path) -> None:
    entries = ["/data/me/a.jpg", "C:\\set\\ann\\b.jpg", "C:\\set\\bob\\b.jpg", "/data/other/d.jpg"]
    path = write(tmp_path / "m.json", {entry: entry for entry in entries})
    file = CaptionFile.read(path, ["a", "ann/b", "bob/b", "x/c"])
    assert [file.find(name) for name in ("a", "ann/b", "bob/b", "x/c")] == [*entries[:3], None]
    assert file.unused == ("/data/other/d.jpg",)
    # What two items share by its last part alone belongs to neither.
    flat = CaptionFile.read(write(tmp_path / "flat.json", {"b": "?"}), ["ann/b", "bob/b"])
    assert flat.find("ann/b") is None
    assert CaptionFile.read(tmp_path / "flat.json", ["ann/b"]).find("ann/b") == "?"


def test_two_entries_for_one_item_are_refused(tmp_path: Path) -> None:
    file = CaptionFile.read(write(tmp_path / "m.json", {"/x/a.jpg": "1", "/y/a.png": "2"}), ["a"])
    with pytest.raises(DatasetError, match=r"Two entries of .*m\.json could belong to a: /x/a\.jpg and /y/a\.png"):
        file.find("a")
    exact = CaptionFile.read(write(tmp_path / "n.json", {"a": "mine", "other/a": "2"}), ["a"])
    assert exact.find("a") == "mine"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.csv", "file_name,text", r"is none of \.json, \.jsonl"),
        ("a.json", "{", r"Line 1 of .*a\.json is damaged: .*; mend it as JSON"),
        ("a.jsonl", '{"file_name": "a", "text": ""}\n{"file', r"Line 2 of .*a\.jsonl is damaged"),
        ("a.jsonl", '["a"]', r"Line 1 of .* is no entry with a name and a caption; give a list of"),
        ("a.json", "3", "holds no captions"),
        ("a.json", "{}", "holds no captions"),
        ("a.json", [{"text": "x"}], r"Entry 1 of .* does not name its photograph"),
        ("a.json", [{"file_name": "a"}], r"Entry 1 of .* has no caption"),
        ("a.json", {"a": {"size": 3}}, r"a in .* has no caption"),
        ("a.json", {"a": 3}, r"a in .* is no caption"),
        ("a.json", {"a": {"caption": 3}}, r"has a caption that is no text: 3"),
        ("a.json", {"/": "x"}, "an entry of the name '/', which is no file"),
        ("a.json", [{"image": "a", "text": "x"}, {"image": "a", "text": "y"}], "has two captions for a"),
        ("a.json", "[" * 100_000, "nested too deeply"),
    ],
)
def test_what_is_wrong_is_named(tmp_path: Path, name: str, content: object, message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        read_captions(write(tmp_path / name, content))


def test_files_that_cannot_be_read_as_text_are_named(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="cannot be read"):
        read_captions(tmp_path / "missing.json")
    (tmp_path / "latin.json").write_bytes('{"a": "é"}'.encode("latin-1"))
    with pytest.raises(DatasetError, match=r"is not UTF-8 \(byte 7 is 0xe9\)"):
        read_captions(tmp_path / "latin.json")
