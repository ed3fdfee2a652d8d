from __future__ import annotations

from pathlib import Path

import maskloss
import numpy as np
import pytest
from maskloss.core.host import ComfyHost, LocalHost, current_host, use_host
from maskloss.core.host.comfy import listens_on_loopback_only
from maskloss.core.host.host import ModelKind
from maskloss.core.host.local import LineProgress
from maskloss.core.host.observer import HostObserver
from maskloss.core.paths import resolve_read, resolve_write
from maskloss.core.train.metrics import LossPoint
from PIL import Image


def test_without_comfyui_the_working_directory_is_the_host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    host = current_host()
    assert isinstance(host, LocalHost)
    assert host.folders().input == host.folders().output == tmp_path
    assert resolve_write(host.folders(), "cache") == tmp_path / "cache"
    (tmp_path / "cache").mkdir()
    assert resolve_read(host.folders(), str(tmp_path / "cache")) == tmp_path / "cache"
    assert host.given_inputs() is None


def test_a_chosen_host_holds_inside_its_block(tmp_path: Path) -> None:
    chosen = LocalHost(tmp_path, tmp_path)
    with use_host(chosen):
        assert current_host() is chosen
        with use_host(ComfyHost()) as inner:
            assert current_host() is inner
        assert current_host() is chosen
    assert current_host() is not chosen


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


def test_pictures_are_kept_under_output_by_node(tmp_path: Path) -> None:
    host = LocalHost(tmp_path, tmp_path)
    host.label = "7:2 MaskLossPreviewWeights"
    picture = np.zeros((4, 5, 3), np.uint8)
    entries = host.show([picture, picture + 9], "weights")
    assert entries[1] == {
        "filename": "7_2_MaskLossPreviewWeights_weights_001.png",
        "subfolder": "previews",
        "type": "output",
    }
    with Image.open(tmp_path / "previews" / entries[1]["filename"]) as image:
        assert np.array_equal(np.asarray(image), picture + 9)


def test_progress_is_a_line_at_the_start_and_at_the_end(capsys: pytest.CaptureFixture[str]) -> None:
    progress = LineProgress("3 Train")
    for step in range(101):
        progress.update(step, 100, f"step {step}")
    progress.update(100, 100, "step 100")
    captured = capsys.readouterr()
    assert captured.out == ""
    lines = captured.err.splitlines()
    assert lines[0] == "  [3 Train] 0/100 step 0"
    assert lines[-1] == "  [3 Train] 100/100 step 100"
    assert len(lines) <= 4


def test_an_observer_says_everything_and_shows_the_loss(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    observer = HostObserver(LocalHost(tmp_path, tmp_path), 2, "lora")
    observer.say("first\nsecond")
    observer.check()
    observer.step(LossPoint(2, 0.5, 0.75, None, 0.2, 1e-4, 1.0, prior=0.125), 2)
    assert observer.said == ["first\nsecond"]
    text = capsys.readouterr().err
    assert "  first\n  second\n" in text
    assert "2/2 loss 0.5000, inside 0.7500, prior 0.1250" in text
    assert "outside" not in text


@pytest.mark.parametrize(
    ("listen", "closed"),
    [
        ("127.0.0.1", True),
        ("localhost,::1", True),
        ("[::1]", True),
        ("0.0.0.0,::", False),
        ("127.0.0.1,192.168.1.5", False),
        ("", False),
        ("my-machine", False),
    ],
)
def test_which_addresses_are_this_machine_only(listen: str, closed: bool) -> None:
    assert listens_on_loopback_only(listen) is closed
