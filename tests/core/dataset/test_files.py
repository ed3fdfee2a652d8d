"""Whose file is whose, and names that no disk or file format can take."""

import os
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st
from maskloss.core.dataset import files
from maskloss.core.dataset.files import NameIndex, check_case, list_files
from maskloss.core.errors import DatasetError, PathError
from maskloss.core.files import is_case_sensitive


@pytest.mark.skipif(sys.platform != "linux", reason="other systems refuse such a name themselves")
def test_a_name_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.png").touch()
    (Path(os.fsencode(tmp_path).decode()) / os.fsdecode(b"b\xff.png")).touch()
    with pytest.raises(PathError, match=r"the file b'b\\xff\.png' is not UTF-8.*rename the file"):
        list_files(tmp_path, recursive=False)


def test_names_that_only_differ_in_case_are_refused_where_the_disk_mixes_them_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "is_case_sensitive", lambda _: True)
    check_case(["a", "A", "b"], tmp_path)
    monkeypatch.setattr(files, "is_case_sensitive", lambda _: False)
    check_case(["a", "b", "a"], tmp_path)
    with pytest.raises(DatasetError, match="a and A differ only in upper and lower case"):
        check_case(["a", "b", "A"], tmp_path)


STEMS = st.builds(
    lambda folder, stem: folder + stem,
    st.sampled_from(["", "x/", "X/", "x/y/"]),
    st.sampled_from(["a", "A", "b", "ab"]),
)


@given(st.sets(STEMS, min_size=1), st.sets(STEMS))
@settings(deadline=None, max_examples=80)
def test_no_mask_goes_to_two_photographs_and_the_same_name_always_to_its_own(
    photographs: set[str], masks: set[str]
) -> None:
    with TemporaryDirectory() as folder:
        assume(is_case_sensitive(Path(folder)))
        for name in masks:
            path = Path(folder, f"{name}.png")
            path.parent.mkdir(parents=True, exist_ok=True)
            path.touch()
        index = NameIndex(Path(folder), (".png",), "mask", sorted(photographs))
        given_to: dict[Path, str] = {}
        for name in sorted(photographs):
            try:
                found = index.find(name)
            except DatasetError as error:
                assert "Two mask files could belong to" in str(error)  # noqa: PT017 (it may find one, too)
                continue
            assert found is None or found.stem.lower() == Path(name).name.lower()
            if name in masks:
                assert found == Path(folder, f"{name}.png")
            if found is not None:
                assert given_to.setdefault(found, name) == name


def test_a_directory_is_listed_once_however_many_names_are_looked_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = [f"p{number:05d}" for number in range(300)]
    for name in names:
        (tmp_path / f"{name}.png").touch()
    listed: list[str] = []
    walk = os.walk
    monkeypatch.setattr(os, "walk", lambda top, **how: listed.append(str(top)) or walk(top, **how))
    index = NameIndex(tmp_path, (".png",), "mask", names)
    monkeypatch.setattr(Path, "iterdir", None)
    monkeypatch.setattr(Path, "stat", None)
    assert [index.find(name) for name in names] == [tmp_path / f"{name}.png" for name in names]
    assert listed == [str(tmp_path)]
