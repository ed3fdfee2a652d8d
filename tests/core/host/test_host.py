"""Where weights of a user are looked for."""

from __future__ import annotations

from pathlib import Path

import maskloss
import pytest
from maskloss.core.host import LocalHost
from maskloss.core.host.host import ModelKind, once, own_model_folders


def test_models_lie_in_the_pack_and_where_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    pack = Path(maskloss.__file__).parent / "models"
    monkeypatch.delenv("MASKLOSS_MODELS", raising=False)
    assert LocalHost().model_folders(ModelKind.SAM) == (pack / "sams",)
    monkeypatch.setenv("MASKLOSS_MODELS", "/elsewhere")
    elsewhere = Path("/elsewhere").absolute()
    assert LocalHost().model_folders(ModelKind.YOLO) == (elsewhere / "ultralytics/segm", pack / "ultralytics/segm")
    assert LocalHost().model_folders(ModelKind.PARTS)[:3] == tuple(
        elsewhere / name for name in ("sapiens", "sapiens2", "segformer")
    )


def test_every_kind_has_a_folder_and_no_two_share_one() -> None:
    names = [name for kind in ModelKind for name in kind.folder_names]
    assert len(names) == len(set(names)) >= len(ModelKind)


def test_a_folder_named_twice_is_looked_in_once_where_it_comes_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert once([Path("b"), tmp_path / "a", tmp_path / "b"]) == (tmp_path / "b", tmp_path / "a")
    monkeypatch.setenv("MASKLOSS_MODELS", str(Path(maskloss.__file__).parent / "models"))
    assert len(own_model_folders(ModelKind.SAM)) == 1
