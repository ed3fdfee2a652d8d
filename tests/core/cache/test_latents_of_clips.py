"""Videos in the cache: an entry for each clip, with the mean weight of the frames that a latent frame stands for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import maskloss.core.cache.sources as sources_module
import maskloss.core.dataset.load as load_module
import numpy as np
import pytest
import torch
from maskloss.core.cache.entry_file import CLIP_FRAMES, read_header
from maskloss.core.cache.export import export_reference
from maskloss.core.cache.latents import cache_latents
from maskloss.core.cache.plan import CacheSettings, OneFrame
from maskloss.core.cache.store import open_cache
from maskloss.core.dataset.items import Dataset, DatasetItem, LoadSettings, MaskOrigin
from maskloss.core.demo.encoders import DemoLatentEncoder
from maskloss.core.errors import DatasetError, SettingError, VideoError
from maskloss.core.train.checks import split_cache
from maskloss.core.train.config import TrainConfig
from maskloss.core.video.clips import FrameExtraction, VideoSettings
from maskloss.core.video.masks import MaskVideoWriter
from PIL import Image

Make = Callable[..., Path]
SIZE = (64, 48)
GRID = (6, 8)


class JoiningEncoder(DemoLatentEncoder):
    """The demo autoencoder, with the mean of four frames as one latent frame; `shapes` are those it was given."""

    temporal_stride = 4
    architecture = "wan"

    def __init__(self) -> None:
        self.shapes: list[tuple[int, ...]] = []

    def encode(self, rgb_BTHWC: torch.Tensor) -> torch.Tensor:
        self.shapes.append(tuple(rgb_BTHWC.shape[:2]))
        latents = super().encode(rgb_BTHWC)
        later = latents[:, :, 1:].unflatten(2, (-1, 4)).mean(dim=3)
        return torch.cat([latents[:, :, :1], later], dim=2)


@pytest.fixture
def joining() -> JoiningEncoder:
    return JoiningEncoder()


@pytest.fixture
def video(tmp_path: Path, make_video: Make) -> Callable[..., DatasetItem]:
    """video("a", count=12, mask=None, **settings of the clips): frames whose grey is 20 · number, 16 per second."""

    def make(name: str, count: int = 12, mask: Path | None = None, **clips: object) -> DatasetItem:
        frames = [np.full((SIZE[1], SIZE[0], 3), number * 20, np.uint8) for number in range(count)]
        path = make_video(tmp_path / f"set/{name}.mp4", frames)
        settings = LoadSettings(SIZE, video=VideoSettings(**clips))  # type: ignore[arg-type]
        return DatasetItem(name, path, settings, mask)

    return make


def growing_mask(path: Path, count: int = 12) -> Path:
    """Every pixel of frame n weighs 20 · n / 255."""
    with MaskVideoWriter(path, SIZE, [number / 16 for number in range(count)]) as writer:
        for number in range(count):
            writer.add(np.full((SIZE[1], SIZE[0]), number * 20, np.uint8))
    return path


def states(report: dict) -> dict[str, str]:
    return {row["name"]: row["state"] for row in report["items"]}


def test_each_clip_is_an_entry_named_as_musubis(tmp_path: Path, video: Callable[..., DatasetItem], joining) -> None:
    item = video("sub/a", target_frames=(1, 5), extraction=FrameExtraction.CHUNK)
    cache, report = cache_latents(Dataset((replace(item, caption="ohwx", repeats=3),)), joining, tmp_path / "cache")
    fives = [entry for entry in cache.entries if entry.latent_shape[1] == 2]
    assert [entry.name for entry in fives] == ["sub/a_00000-005", "sub/a_00005-005"]
    assert [entry.file for entry in fives] == [
        "sub/a_00000-005_0064x0048_wan.safetensors",
        "sub/a_00005-005_0064x0048_wan.safetensors",
    ]
    assert len(cache.entries) == 14
    assert report["counts"]["items"] == 14
    for entry in fives:
        assert (entry.latent_shape, entry.caption, entry.repeats) == ((16, 2, *GRID), "ohwx", 3)
        assert entry.source_path == item.media_path.resolve()
    metadata = read_header(tmp_path / "cache" / fives[1].file).metadata
    assert (metadata["frame_count"], metadata[CLIP_FRAMES]) == ("5", "5,6,7,8,9")


def test_latents_are_the_encoders_of_the_clips_frames(
    tmp_path: Path, video: Callable[..., DatasetItem], joining
) -> None:
    item = video("a", target_frames=(5,), extraction=FrameExtraction.SLIDE, frame_stride=4)
    cache, _ = cache_latents(Dataset((item,)), joining, tmp_path / "cache")
    assert [entry.name for entry in cache.entries] == ["a_00000-005", "a_00004-005"]
    decoded = DemoLatentEncoder().decode(cache.latent(cache.entries[1])[None])[0] * 255
    # Frame 4, then the mean of 5 to 8.
    assert decoded[0].mean().item() == pytest.approx(4 * 20, abs=4)
    assert decoded[1].mean().item() == pytest.approx(6.5 * 20, abs=4)


def test_a_latent_frames_weight_is_the_mean_of_the_frames_it_stands_for(
    tmp_path: Path, video: Callable[..., DatasetItem], joining
) -> None:
    item = video("a", mask=growing_mask(tmp_path / "a.mkv"), target_frames=(9,))
    cache, report = cache_latents(Dataset((item,)), joining, tmp_path / "cache")
    (entry,) = cache.entries
    weights_1Thw = cache.weights(entry)
    assert weights_1Thw is not None
    assert weights_1Thw.shape == (1, 3, *GRID)
    expected = np.array([0, 2.5, 6.5]) * 20 / 255
    assert weights_1Thw.mean(dim=(0, 2, 3)).numpy() == pytest.approx(expected, abs=5e-4)
    assert entry.origin is MaskOrigin.FILE
    assert entry.coverage == pytest.approx(expected.mean(), abs=1e-5)
    assert report["messages"][0] == "Mask sources: alpha=0, file=1, none=0"


def test_a_picture_weighs_all_latent_frames(tmp_path: Path, video: Callable[..., DatasetItem], joining) -> None:
    mask_HW = np.zeros((SIZE[1], SIZE[0]), np.uint8)
    mask_HW[:, :32] = 255
    Image.fromarray(mask_HW).save(tmp_path / "a.png")
    cache, _ = cache_latents(
        Dataset((video("a", mask=tmp_path / "a.png", target_frames=(5,)),)), joining, tmp_path / "cache"
    )
    weights_1Thw = cache.weights(cache.entries[0])
    assert weights_1Thw is not None
    assert (weights_1Thw[..., :4] == 1).all()
    assert (weights_1Thw[..., 4:] == 0).all()


def test_only_what_changed_is_made_again(
    tmp_path: Path, video: Callable[..., DatasetItem], joining, make_video: Make
) -> None:
    folder = tmp_path / "masks/b"
    folder.mkdir(parents=True)
    for number in range(12):
        Image.fromarray(np.full((SIZE[1], SIZE[0]), number, np.uint8)).save(folder / f"{number}.png")
    chunks = {"target_frames": (5,), "extraction": FrameExtraction.CHUNK}
    one = video("a", mask=growing_mask(tmp_path / "a.mkv"), **chunks)
    two = video("b", mask=folder, **chunks)
    cache, report = cache_latents(Dataset((one, two)), joining, tmp_path / "cache")
    assert set(states(report).values()) == {"encoded"}
    latents = {entry.name: cache.latent(entry) for entry in cache.entries}
    joining.shapes = []
    assert set(states(cache_latents(Dataset((one, two)), joining, tmp_path / "cache")[1]).values()) == {"unchanged"}

    Image.fromarray(np.full((SIZE[1], SIZE[0]), 255, np.uint8)).save(folder / "2.png")
    assert {entry.name for entry in open_cache(tmp_path / "cache").stale_entries} == {"b_00000-005", "b_00005-005"}
    with one.media_path.open("ab") as film:
        film.write(b"more")
    assert open_cache(tmp_path / "cache").stale_entries[0].reason.startswith(f"its video {one.media_path} ")
    with one.media_path.open("r+b") as film:
        film.truncate(one.media_path.stat().st_size - 4)
    cache, report = cache_latents(Dataset((one, two)), joining, tmp_path / "cache")
    assert states(report) == {
        "a_00000-005": "unchanged", "a_00005-005": "unchanged",
        "b_00000-005": "weights rewritten", "b_00005-005": "weights rewritten",
    }  # fmt: skip
    assert joining.shapes == []
    for entry in cache.entries:
        assert torch.equal(cache.latent(entry), latents[entry.name])
    (first,) = [entry for entry in cache.entries if entry.name == "b_00000-005"]
    weights_1Thw = cache.weights(first)
    assert weights_1Thw is not None
    assert weights_1Thw[0, 1].mean().item() == pytest.approx((1 + 255 + 3 + 4) / 4 / 255, abs=5e-4)

    video("a", count=11)
    growing_mask(tmp_path / "a.mkv", 11)
    assert states(cache_latents(Dataset((one, two)), joining, tmp_path / "cache")[1]) == {
        "a_00000-005": "encoded", "a_00005-005": "encoded", "b_00000-005": "unchanged", "b_00005-005": "unchanged",
    }  # fmt: skip
    other_rate = replace(one, settings=replace(one.settings, video=replace(one.settings.video, target_fps=8)))
    report = cache_latents(Dataset((other_rate, two)), joining, tmp_path / "cache")[1]
    assert states(report) == {"a_00000-005": "encoded", "b_00000-005": "unchanged", "b_00005-005": "unchanged"}


def test_a_mask_video_that_was_made_again_alike_is_no_change(
    tmp_path: Path, video: Callable[..., DatasetItem], joining
) -> None:
    item = video("a", mask=growing_mask(tmp_path / "a.mkv"), target_frames=(5,))
    cache, _ = cache_latents(Dataset((item,)), joining, tmp_path / "cache")
    file = tmp_path / "cache" / cache.entries[0].file
    before = file.stat().st_mtime_ns
    growing_mask(tmp_path / "a.mkv")
    _, report = cache_latents(Dataset((item,)), joining, tmp_path / "cache")
    assert states(report) == {"a_00000-005": "unchanged"}
    assert file.stat().st_mtime_ns == before


def test_weights_are_rewritten_without_decoding_the_video(
    tmp_path: Path, video: Callable[..., DatasetItem], joining, monkeypatch: pytest.MonkeyPatch
) -> None:
    item = video("a", mask=growing_mask(tmp_path / "a.mkv"), target_frames=(5,))
    cache_latents(Dataset((item,)), joining, tmp_path / "cache")
    Image.fromarray(np.full((SIZE[1], SIZE[0]), 255, np.uint8)).save(tmp_path / "a.png")

    def refuse(*_: object) -> None:
        raise AssertionError("decoded")

    monkeypatch.setattr(load_module, "read_frames", refuse)
    masked = replace(item, mask_path=tmp_path / "a.png")
    cache, report = cache_latents(Dataset((masked,)), joining, tmp_path / "cache")
    assert states(report) == {"a_00000-005": "weights rewritten"}
    assert cache.entries[0].coverage == 1


def test_a_video_is_hashed_once_however_many_clips_it_gives(
    tmp_path: Path, video: Callable[..., DatasetItem], joining, monkeypatch: pytest.MonkeyPatch
) -> None:
    hashed: list[str] = []
    hash_of = sources_module.hash_of
    monkeypatch.setattr(sources_module, "hash_of", lambda path: (hashed.append(path.name), hash_of(path))[1])
    item = video("a", mask=growing_mask(tmp_path / "a.mkv"), target_frames=(5,), extraction=FrameExtraction.SLIDE)
    assert len(cache_latents(Dataset((item,)), joining, tmp_path / "cache")[0].entries) == 8
    assert sorted(hashed) == ["a.mkv", "a.mp4"]


def test_clips_of_one_length_share_a_batch(tmp_path: Path, video: Callable[..., DatasetItem], joining) -> None:
    items = tuple(video(name, target_frames=(1, 9)) for name in "abc")
    cache_latents(Dataset(items), joining, tmp_path / "cache", batch_size=2)
    assert joining.shapes == [(2, 1), (1, 1), (2, 9), (1, 9)]


def test_photographs_and_videos_are_cached_together(
    tmp_path: Path, video: Callable[..., DatasetItem], item: Callable[..., DatasetItem], joining
) -> None:
    photograph = item("p", mask=np.full((40, 40), 255, np.uint8))
    cache, _ = cache_latents(Dataset((photograph, video("a", target_frames=(5,)))), joining, tmp_path / "cache")
    assert {entry.name: entry.latent_shape[1] for entry in cache.entries} == {"p": 1, "a_00000-005": 2}


def test_clips_of_one_video_stay_on_one_side_of_the_validation_split(
    tmp_path: Path, video: Callable[..., DatasetItem], joining
) -> None:
    items = tuple(video(name, target_frames=(5,), extraction=FrameExtraction.CHUNK) for name in "abcd")
    cache, _ = cache_latents(Dataset(items), joining, tmp_path / "cache")
    split = split_cache(cache, None, TrainConfig(steps=1, validation_split=0.5))
    assert len(split.training) == len(split.validation) == 4
    assert not {entry.name[0] for entry in split.training} & {entry.name[0] for entry in split.validation}


def test_a_picture_model_takes_no_clips(tmp_path: Path, video: Callable[..., DatasetItem]) -> None:
    class Pictures(DemoLatentEncoder):
        temporal_stride = 0

    with pytest.raises(SettingError, match=r"a gives clips of 5 frames, but this VAE \(demo\) is a picture model's"):
        cache_latents(Dataset((video("a", target_frames=(5,)),)), Pictures(), tmp_path / "cache")
    cache, _ = cache_latents(Dataset((video("a"),)), Pictures(), tmp_path / "cache")
    assert [entry.name for entry in cache.entries] == ["a_00000-001"]


def test_clips_that_do_not_fit_are_refused(tmp_path: Path, video: Callable[..., DatasetItem], joining) -> None:
    class Eight(JoiningEncoder):
        temporal_stride = 8

    with pytest.raises(SettingError, match=r"joins 8 at a time after the first; give target_frames of 1 \+ n·8"):
        cache_latents(Dataset((video("a", target_frames=(5,)),)), Eight(), tmp_path / "cache")
    with pytest.raises(SettingError, match="a is a video, and one_frame is for photographs"):
        cache_latents(Dataset((video("a"),)), joining, tmp_path / "cache", CacheSettings(one_frame=OneFrame()))
    with pytest.raises(VideoError, match="has 11 frames"):
        cache_latents(Dataset((video("a", mask=growing_mask(tmp_path / "a.mkv", 11)),)), joining, tmp_path / "cache")


def test_a_photograph_with_a_clips_name_is_refused(
    tmp_path: Path, video: Callable[..., DatasetItem], item: Callable[..., DatasetItem], joining
) -> None:
    with pytest.raises(DatasetError, match="A photograph is called a_00000-001, as a clip of a video is"):
        cache_latents(Dataset((item("a_00000-001"), video("a"))), joining, tmp_path / "cache")


def test_clips_are_exported_under_musubis_names(tmp_path: Path, video: Callable[..., DatasetItem], joining) -> None:
    item = video("a", mask=growing_mask(tmp_path / "a.mkv"), target_frames=(5,), extraction=FrameExtraction.CHUNK)
    cache, _ = cache_latents(Dataset((item,)), joining, tmp_path / "cache")
    export_reference(cache, tmp_path / "theirs")
    files = sorted(path.name for path in (tmp_path / "theirs").iterdir())
    assert files == ["a_00000-005_0064x0048_wan.safetensors", "a_00005-005_0064x0048_wan.safetensors"]
    assert read_header(tmp_path / "theirs" / files[0]).metadata["frame_count"] == "5"
    back = open_cache(tmp_path / "theirs")
    for mine, theirs in zip(cache.entries, back.entries, strict=True):
        torch.testing.assert_close(cache.latent(mine), back.latent(theirs), rtol=1e-5, atol=1e-5)
        assert torch.equal(cache.weights(mine), back.weights(theirs))
