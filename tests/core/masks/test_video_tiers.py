"""A video gets one mask per frame, and frames whose parts are kept are not segmented again."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from maskloss.core.dataset.items import Dataset, DatasetItem, LoadSettings
from maskloss.core.dataset.load import read_weights
from maskloss.core.dataset.scan import DatasetConfig, scan_dataset
from maskloss.core.errors import SettingError
from maskloss.core.masks.build_masks import Reuse, build_masks
from maskloss.core.masks.each_item import ItemWork
from maskloss.core.parts.tiers import TierWeights
from maskloss.core.video.masks import read_mask_frames
from maskloss.core.video.reader import probe, read_frames

from .quarter_people import QuarterSegmenter

Draw = Callable[..., Path]


def test_a_video_gets_one_mask_per_frame(tmp_path: Path, video: Draw) -> None:
    item = DatasetItem("film", video("set/film.mkv", 7), LoadSettings())
    dataset, report = build_masks(
        Dataset((item,)), QuarterSegmenter(), TierWeights(), tmp_path / "out", work=ItemWork(workers=2)
    )
    assert dataset.items[0].mask_path == tmp_path / "out/film.mkv"
    info = probe(item.media_path)
    masks = dict(read_mask_frames(tmp_path / "out/film.mkv", info, range(7)))
    frames = dict(read_frames(item.media_path))
    for number in range(7):
        looked_at = frames[6 if number == 6 else number // 4 * 4]
        assert np.array_equal(masks[number], np.array([0, 255, 80, 128], np.uint8)[looked_at[..., 0] // 64]), number
    row = report["items"][0]
    assert row["video"] == {"frames": 7, "segmented": 3, "without_face": 0}
    assert row["coverage"] == pytest.approx(np.mean([masks[number] for number in (0, 4, 6)]) / 255, abs=1e-5)
    again = build_masks(Dataset((item,)), QuarterSegmenter(), TierWeights(), tmp_path / "out")[1]
    assert again["items"][0] == {**row, "state": "unchanged"}
    changed = build_masks(
        Dataset((item,)), QuarterSegmenter(), TierWeights(), tmp_path / "out", work=ItemWork(video_every=1)
    )[1]
    assert changed["items"][0]["video"]["segmented"] == 7
    with pytest.raises(SettingError, match="video_every must be at least 1 frame, got 0"):
        build_masks(Dataset((item,)), QuarterSegmenter(), TierWeights(), tmp_path / "out", work=ItemWork(video_every=0))


def test_a_mask_video_saved_with_loss_is_brought_back_to_the_tiers_it_was_built_with(
    tmp_path: Path, video: Draw, make_video: Draw
) -> None:
    item = DatasetItem("film", video("set/film.mkv", 7), LoadSettings())
    tiers = TierWeights(face=240, hair=100, body=170, background=20)
    build_masks(Dataset((item,)), QuarterSegmenter(), tiers, tmp_path / "out")
    # What an editor's export leaves of them: each level a little off.
    drifted_HW = np.repeat(np.array([20, 97, 173, 243], np.uint8), 32)[None].repeat(96, 0)
    frames = [np.dstack([drifted_HW] * 3)] * 7
    make_video(tmp_path / "out/film.mkv", frames, codec="mjpeg", pix_fmt="yuvj420p")
    kept, report = build_masks(Dataset((item,)), QuarterSegmenter(), tiers, tmp_path / "out")
    assert report["items"][0]["state"] == "kept"
    config = DatasetConfig(tmp_path / "set", tmp_path / "out")
    scanned, found = scan_dataset(config)
    assert "are read as the tiers 20, 100, 170, 240" in found.masks_read["film"].note
    for dataset in (kept, scanned):
        assert dataset.items[0].tier_values == (0, 20, 100, 170, 240, 255)
        ((_, weights_HW),) = read_weights(dataset.items[0], [3])
        inside = np.rint(weights_HW[:, 5::10] * 255).astype(int)  # edges are the codec's
        assert (inside == [20, 100, 170, 240]).all()
    # Of a folder that nobody filled, tiers are not known.
    (tmp_path / "out/.maskloss_masks.json").unlink()
    assert "are no tiers of this dataset" in scan_dataset(config)[1].masks_read["film"].note


def test_a_video_with_some_frames_kept_segments_the_others_alone(tmp_path: Path, video: Draw) -> None:
    dataset = Dataset((DatasetItem("film", video("set/film.mkv", 7), LoadSettings()),))
    parts, segmenter = tmp_path / "parts", QuarterSegmenter()

    def build(folder: str, every: int) -> tuple[Dataset, dict[str, Any]]:
        reuse, work = Reuse(parts_directory=parts), ItemWork(video_every=every)
        return build_masks(dataset, segmenter, TierWeights(), tmp_path / folder, reuse=reuse, work=work)

    build("a", 3)
    report = build("b", 2)[1]
    assert report["segmented"] == 2  # of 0, 2, 4 and 6 the second and the third
    for path in parts.rglob("*.parts"):
        path.write_bytes(b"damaged")
    again = build("c", 2)[1]
    assert again["segmented"] == 4
    info = probe(dataset.items[0].media_path)
    frames = [
        [mask_HW for _, mask_HW in read_mask_frames(tmp_path / f"{name}/film.mkv", info, range(7))] for name in "bc"
    ]
    np.testing.assert_array_equal(*frames)
