from __future__ import annotations

import os
from pathlib import Path

import pytest
from maskloss.core.errors import ModelMissingError, SettingError
from maskloss.core.segmenters.model_files import ModelSource, file_digest, locate

SOURCE = ModelSource("masks", "models/x/a.pt", "models/x", "the moon", "MIT")


def test_the_first_folder_that_has_it_wins(tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name / "sub").mkdir(parents=True)
    (tmp_path / "two" / "sub" / "a.pt").write_bytes(b"2")
    folders = [tmp_path / "one", tmp_path / "two"]
    assert locate("sub/a.pt", folders, SOURCE) == tmp_path / "two" / "sub" / "a.pt"
    (tmp_path / "one" / "sub" / "a.pt").write_bytes(b"1")
    assert locate("sub\\a.pt", folders, SOURCE) == tmp_path / "one" / "sub" / "a.pt"


def test_a_missing_file_is_said_with_folder_source_licence_and_alternative(tmp_path: Path) -> None:
    with pytest.raises(ModelMissingError) as caught:
        locate("a.pt", [tmp_path], SOURCE)
    for word in ("a.pt", str(tmp_path), "models/x", "the moon", "MIT", "'bundled'"):
        assert word in str(caught.value)
    with pytest.raises(ModelMissingError, match="looked in no folder"):
        locate("a.pt", [], SOURCE)


@pytest.mark.parametrize("name", ["../a.pt", "sub/../../a.pt", "/a.pt", "\\a.pt", "C:\\a.pt", ""])
def test_a_name_that_leads_out_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "a.pt").write_bytes(b"")
    with pytest.raises(SettingError, match="choose one from the list"):
        locate(name, [tmp_path / "models"], SOURCE)


def test_a_digest_follows_the_contents(tmp_path: Path) -> None:
    path = tmp_path / "a.pt"
    path.write_bytes(b"1")
    first = file_digest(path)
    assert len(first) == 12
    os.utime(path, ns=(1, 1))
    assert file_digest(path) == first
    path.write_bytes(b"2")
    assert file_digest(path) != first
