from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from maskloss.core.host import ComfyHost, LocalHost, current_host, use_host
from maskloss.core.host.comfy import listens_on_loopback_only
from maskloss.core.host.local import LineProgress
from maskloss.core.paths import resolve_read, resolve_write
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
