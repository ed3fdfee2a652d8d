"""Where a dataset's captions come from."""

import json
from pathlib import Path

from maskloss.core.dataset.scan import DatasetConfig, scan_dataset
from maskloss.core.masks.merge_alpha import merge_dataset_alpha


def test_the_one_file_counts_before_text_files_which_fill_its_gaps(tmp_path: Path, photograph) -> None:
    for number, name in enumerate("abc"):
        photograph(f"set/{name}.png", seed=number, alpha=128)
    (tmp_path / "set/a.txt").write_text("old", encoding="utf-8")
    (tmp_path / "set/b.txt").write_text("from text", encoding="utf-8")
    path = tmp_path / "captions.json"
    path.write_text(json.dumps([{"file_name": "a.png", "text": "new"}, {"file_name": "z.png", "text": "?"}]))
    dataset, report = scan_dataset(DatasetConfig(tmp_path / "set", caption_file=path))
    assert [(item.caption, item.caption_path) for item in dataset.items] == [
        ("new", path), ("from text", tmp_path / "set/b.txt"), ("", None),
    ]  # fmt: skip
    assert "captions.json has the captions of 1 of 3 items" in report.messages()
    assert "1 entries of captions.json have the name of no photograph or video: z.png" in report.warnings()
    # Beside RGBA pictures they become text files again.
    merge_dataset_alpha(dataset, tmp_path / "rgba")
    assert {file.name: file.read_text() for file in (tmp_path / "rgba").glob("*.txt")} == {
        "a.txt": "new\n", "b.txt": "from text",
    }  # fmt: skip


def test_a_caption_file_among_the_photographs_is_counted(tmp_path: Path, photograph) -> None:
    photograph("set/a.png")
    (tmp_path / "set/metadata.jsonl").write_text('{"file_name": "a.png", "text": "one"}')
    _, report = scan_dataset(DatasetConfig(tmp_path / "set", caption_file=tmp_path / "set/metadata.jsonl"))
    assert report.messages()[-1] == "2 files found: 1 photographs, 1 captions"
