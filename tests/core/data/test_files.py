"""Names of a dataset's files that no disk or file format can take."""

import os
import sys
from pathlib import Path

import pytest
from maskloss.core.data import files
from maskloss.core.data.files import check_case, list_files
from maskloss.core.errors import DatasetError, PathError


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such a name themselves")
def test_a_name_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    (Path(os.fsencode(tmp_path).decode()) / os.fsdecode(b"b\xff.png")).touch()
    with pytest.raises(PathError, match=r"the file b'b\\xff\.png' is not UTF-8.*rename the file"):
        list_files(tmp_path, recursive=False)


def test_names_that_only_differ_in_case_are_refused_where_the_disk_mixes_them_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "tells_case_apart", lambda _: True)
    check_case(["a", "A", "b"], tmp_path)
    monkeypatch.setattr(files, "tells_case_apart", lambda _: False)
    check_case(["a", "b", "a"], tmp_path)
    with pytest.raises(DatasetError, match="a and A differ only in upper and lower case"):
        check_case(["a", "b", "A"], tmp_path)
