"""Videos on the report's page: the middle frame stands for each, its first clips show what training used."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import numpy as np
from maskloss.core.cache.latents import cache_latents
from maskloss.core.dataset.items import Dataset, DatasetItem, LeftOut, LoadSettings
from maskloss.core.demo.encoders import DemoLatentEncoder
from maskloss.core.images import load_image
from maskloss.core.report.pictures import MOST_CLIPS
from maskloss.core.report.report import write_report
from maskloss.core.video.clips import FrameExtraction, VideoSettings
from maskloss.core.video.masks import MaskVideoWriter


def test_videos_are_shown_by_their_middle_frames(tmp_path: Path, make_video: Callable[..., Path]) -> None:
    frames = [np.full((64, 96, 3), number * 10, np.uint8) for number in range(20)]
    path = make_video(tmp_path / "set/kept.mp4", frames)
    mask = tmp_path / "masks/kept.mkv"
    with MaskVideoWriter(mask, (96, 64), [number / 16 for number in range(20)]) as masks:
        for number in range(20):
            masks.add(np.full((64, 96), 255 if number == 10 else 0, np.uint8))
    video = VideoSettings((5,), FrameExtraction.CHUNK)
    kept = DatasetItem("kept", path, LoadSettings((96, 64), video=video), mask)
    gone = DatasetItem("gone", make_video(tmp_path / "set/gone.mp4", frames), LoadSettings((96, 64)), tiers_path=mask)
    dataset = Dataset((kept,), (LeftOut(gone, "nobody was found"),))
    cache, _ = cache_latents(dataset, DemoLatentEncoder(), tmp_path / "cache")
    assert len(cache.entries) == 4
    index, _ = write_report(tmp_path / "report", dataset, cache, None, None)
    page = index.read_text(encoding="utf-8")
    pictures = re.findall(r'<img [^>]*src="([^"]+)"[^>]*alt="([^"]+)"', page)
    titles = [title for _, title in pictures]
    assert titles.count("Weights on the latent grid of kept") == MOST_CLIPS
    assert "Middle frame of gone" in titles
    assert "Tiers of everyone of gone" in titles
    (middle,) = [load_image(index.parent / file)[0] for file, title in pictures if title == "Middle frame of kept"]
    assert abs(float(middle.mean()) - 100) < 6
    words = re.sub(r"<[^>]+>", " ", page)
    assert re.search(r"clips cached\s+4", words)
    assert re.search(r"mean weight\s+100\.0%", words)
    assert "cannot" not in words
