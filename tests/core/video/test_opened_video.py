from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from maskloss.core.errors import VideoError
from maskloss.core.video.reader import probe

MakeVideo = Callable[..., Path]


def test_what_is_no_video_is_an_error_that_names_the_file(tmp_path: Path, make_video: MakeVideo) -> None:
    with pytest.raises(VideoError, match=r"there is no video file .*gone\.mp4"):
        probe(tmp_path / "gone.mp4")
    text = tmp_path / "text.mp4"
    text.write_text("no video at all")
    with pytest.raises(VideoError, match=r"cannot read .*text\.mp4 as a video"):
        probe(text)
    (tmp_path / "empty.mp4").write_bytes(b"")
    with pytest.raises(VideoError, match=r"empty\.mp4"):
        probe(tmp_path / "empty.mp4")
    path = make_video(tmp_path / "whole.mkv", [np.full((48, 64, 3), number * 10, np.uint8) for number in range(5)])
    headless = tmp_path / "headless.mkv"
    headless.write_bytes(path.read_bytes()[:600])
    with pytest.raises(VideoError, match=r"headless\.mkv holds no frame that can be decoded"):
        probe(headless)


def test_sound_alone_is_no_video(tmp_path: Path) -> None:
    import av

    path = tmp_path / "sound.mkv"
    with av.open(str(path), "w") as out:
        stream = out.add_stream("pcm_s16le", rate=8000, layout="mono")
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), format="s16", layout="mono")
        frame.sample_rate = 8000
        out.mux(stream.encode(frame))
        out.mux(stream.encode(None))
    with pytest.raises(VideoError, match=r"sound\.mkv has no video stream"):
        probe(path)
