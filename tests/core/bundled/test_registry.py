from __future__ import annotations

from pathlib import Path, PurePosixPath

import pytest
from maskloss.core.bundled.registry import (
    BUNDLED,
    FACE_EMBEDDING,
    FACE_MESH,
    POSE,
    bundled_directory,
    combined_identity,
    models_directory,
)


def test_every_file_is_pinned_and_stays_in_its_folder():
    assert len({file.name for file in BUNDLED}) == len(BUNDLED)
    for file in BUNDLED:
        assert ".." not in PurePosixPath(file.name).parts
        assert not PurePosixPath(file.name).is_absolute()
        assert len(bytes.fromhex(file.sha256)) == 32
        assert file.bytes > 0
        assert file.licence
        assert file.version in file.source


def test_models_lie_in_the_pack_unless_the_environment_says_otherwise(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.delenv("MASKLOSS_MODELS", raising=False)
    assert models_directory() == Path(__file__).resolve().parents[3] / "models"
    monkeypatch.setenv("MASKLOSS_MODELS", str(tmp_path))
    assert bundled_directory() == tmp_path / "bundled"


def test_identity_tells_files_apart():
    assert combined_identity([POSE]) == combined_identity([POSE])
    assert len({combined_identity(names) for names in ([POSE], [FACE_MESH], [POSE, FACE_MESH], [FACE_EMBEDDING])}) == 4
