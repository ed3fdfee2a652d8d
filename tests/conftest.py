"""Photographs for tests, read from what is installed; nothing third-party lies in this repository."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from maskloss.core.bundled.install import state
from PIL import Image

from benchmarks.photographs import missing_files


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("models") is not None:
        missing = [entry.file.name for entry in state() if not entry.present]
        if missing:
            pytest.skip(f"bundled models are not installed ({', '.join(missing)}); run `maskloss models --install`")
    if item.get_closest_marker("photographs") is not None:
        missing = missing_files()
        if missing:
            pytest.skip(f"photographs are not there ({', '.join(missing)}); run `python -m benchmarks.photographs`")


@pytest.fixture(scope="session")
def sample_photograph() -> Callable[[int], np.ndarray]:
    """`sample_photograph(n)`: face-api's demo photograph n (1 to 6), uint8 RGB HWC; use with the marker `models`."""
    paths = {entry.file.name: entry.path for entry in state()}

    def load(number: int) -> np.ndarray:
        return _read(paths[f"photographs/sample{number}.jpg"])

    return load


@pytest.fixture(scope="session")
def t1_photograph() -> np.ndarray:
    """insightface's group photograph of six people, uint8 RGB HWC."""
    spec = importlib.util.find_spec("insightface")
    path = Path(spec.origin).parent / "data" / "images" / "t1.jpg" if spec and spec.origin else None
    if path is None or not path.is_file():
        pytest.skip("the installed insightface has no data/images/t1.jpg")
    return _read(path)


@pytest.fixture(scope="session")
def make_video() -> Callable[..., Path]:
    """`make_video(path, frames_THWC)`: a video of uint8 RGB frames, encoded with PyAV; returns the path.

    Further: `fps` 16, or `times` (s) of every frame; `codec` libx264, `pix_fmt` yuv420p, `options` of the codec and
    `container`'s; `rotation` that a player applies, in degrees counterclockwise; `aspect`: a pixel's width to height.
    """
    return _make_video


def _make_video(
    path: Path,
    frames_THWC: Sequence[np.ndarray],
    fps: float = 16,
    times: Sequence[float] | None = None,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    options: dict[str, str] | None = None,
    container: dict[str, str] | None = None,
    rotation: int | None = None,
    aspect: Fraction | None = None,
) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(path), "w", options=container or {}) as out:
        stream = out.add_stream(codec, rate=Fraction(fps).limit_denominator(1001), options=options or {})
        stream.height, stream.width = frames_THWC[0].shape[:2]
        stream.pix_fmt = pix_fmt
        if rotation is not None:
            if not hasattr(stream, "set_display_rotation"):
                pytest.skip("this PyAV writes no rotation")
            stream.set_display_rotation(rotation)
        if aspect is not None:
            stream.codec_context.sample_aspect_ratio = aspect
        if times is not None:
            stream.codec_context.time_base = Fraction(1, 1000)
        for number, rgb_HWC in enumerate(frames_THWC):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(rgb_HWC), format="rgb24")
            if times is not None:
                frame.pts, frame.time_base = round(times[number] * 1000), Fraction(1, 1000)
            out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    return path


@pytest.fixture
def next_tick(tmp_path: Path) -> Callable[[], None]:
    """`next_tick()` comes back when a file written now is later than all before, however coarse the disk's clock is."""

    def wait() -> None:
        probe = tmp_path.with_name(f"{tmp_path.name}.tick")
        probe.touch()
        before = probe.stat().st_mtime_ns
        while probe.stat().st_mtime_ns <= before:
            probe.write_text("x")
        probe.unlink()

    return wait


def _read(path: Path) -> np.ndarray:
    with Image.open(path) as picture:
        return np.asarray(picture.convert("RGB"))
