"""TOML files in, with messages that name the line that is wrong."""

from __future__ import annotations

from pathlib import Path

import pytest
from maskloss.core.dataset.read_toml import read_toml
from maskloss.core.errors import DatasetError, PathError


def test_content_and_byte_order_mark(tmp_path: Path) -> None:
    path = tmp_path / "set.toml"
    path.write_bytes("\ufeff[general]\nresolution = [640, 480]\ncaption = 'Äpfel'\n".encode())
    assert read_toml(path) == {"general": {"resolution": [640, 480], "caption": "Äpfel"}}


@pytest.mark.parametrize(
    ("content", "line", "hint"),
    [
        (b"[general]\nresolution =\n", 2, "mend it as TOML"),
        (b'a = 1\nb = 2\nimage_directory = "C:\\Users\\me"\n', 3, "write Windows paths in single quotes"),
        (b"a = 1\nb = [1,", 2, "mend it as TOML"),
        (b"a = 1\na = 2\n", 2, "mend it as TOML"),
        (b"a = 1\n# \xc4pfel\n", 2, "save the file as UTF-8"),
    ],
)
def test_a_damaged_file_is_named_with_its_line(tmp_path: Path, content: bytes, line: int, hint: str) -> None:
    path = tmp_path / "set.toml"
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=rf"^Line {line} of .*set\.toml is damaged: .*{hint}\.$"):
        read_toml(path)


def test_a_file_that_cannot_be_read_is_named_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(PathError, match=r"gone\.toml cannot be read \(No such file"):
        read_toml(tmp_path / "gone.toml")
