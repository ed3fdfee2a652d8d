"""What an image-to-video model is given, beside the latents: cached, kept, exported and read back."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from maskloss.core.cache.export import export_reference
from maskloss.core.cache.image_conditioning import FIRST_AND_LAST, FRAMES, IMAGE, keep_first_frame
from maskloss.core.cache.latents import cache_latents
from maskloss.core.cache.plan import CacheSettings, OneFrame
from maskloss.core.cache.store import open_cache
from maskloss.core.dataset.items import Dataset, DatasetItem, LoadSettings
from maskloss.core.demo.encoders import DemoLatentEncoder
from maskloss.core.errors import CacheError, SettingError
from maskloss.core.video.clips import VideoSettings
from PIL import Image
from safetensors import safe_open

from .test_latents_of_clips import JoiningEncoder, states
from .test_reference_files import write

Make = Callable[..., DatasetItem]
GREY = torch.full((1, 5, 48, 64, 3), 0.5)


@pytest.fixture
def film(tmp_path: Path, make_video: Callable[..., Path]) -> DatasetItem:
    """A clip of five frames, whose grey is 40 · number."""
    frames = [np.full((48, 64, 3), number * 40, np.uint8) for number in range(5)]
    path = make_video(tmp_path / "set/film.mp4", frames)
    return DatasetItem("film", path, LoadSettings((64, 48), video=VideoSettings(target_frames=(5,))))


def test_a_clip_is_given_its_first_frame_and_grey(tmp_path: Path, film: DatasetItem) -> None:
    encoder = JoiningEncoder()
    cache, report = cache_latents(Dataset((film,)), encoder, tmp_path / "cache", CacheSettings(image_conditioning=True))
    (entry,) = cache.entries
    assert (entry.latent_shape, entry.image_channels) == ((16, 2, 6, 8), 20)
    given = cache.conditioning(entry)
    assert given.keys() == {IMAGE}
    image = given[IMAGE]
    assert (image[0, :4, 0] == 1).all()
    assert (image[0, :4, 1] == 0).all()
    torch.testing.assert_close(image[0, 4:, :1], cache.latent(entry)[:, :1])
    torch.testing.assert_close(image[0, 4:, 1:], JoiningEncoder().encode(GREY)[0, :, 1:])
    with safe_open(tmp_path / "cache" / entry.file, "pt") as file:
        assert "latents_image_2x6x8_float32" in file.keys()  # noqa: SIM118 (no mapping)
    assert not any("copy" in message for message in report["messages"])
    plain, report = cache_latents(Dataset((film,)), encoder, tmp_path / "cache")
    assert states(report) == {"film_00000-005": "encoded"}
    assert plain.fingerprint != cache.fingerprint
    assert plain.conditioning(plain.entries[0]) == {}


def test_only_the_first_frame_is_shown() -> None:
    clip = torch.rand(2, 3, 4, 4, 3, generator=torch.Generator().manual_seed(0))
    shown = keep_first_frame(clip)
    assert torch.equal(shown[:, 0], clip[:, 0])
    assert (shown[:, 1:] == 0.5).all()


class FirstAndLast(JoiningEncoder):
    architecture = FIRST_AND_LAST


def test_models_of_a_first_and_a_last_frame_are_given_both(tmp_path: Path, film: DatasetItem) -> None:
    settings = CacheSettings(image_conditioning=True)
    first, _ = cache_latents(Dataset((film,)), JoiningEncoder(), tmp_path / "cache", settings)
    cache, report = cache_latents(Dataset((film,)), FirstAndLast(), tmp_path / "cache", settings)
    assert states(report) == {"film_00000-005": "encoded"}
    image = cache.conditioning(cache.entries[0])[IMAGE]
    # Of the four frames that the last latent frame stands for the last alone is given.
    assert [image[0, :4, frame].mean(dim=(1, 2)).tolist() for frame in (0, 1)] == [[1, 1, 1, 1], [0, 0, 0, 1]]
    assert torch.equal(image[:, 4:, :1], first.conditioning(first.entries[0])[IMAGE][:, 4:, :1])
    assert not torch.equal(image[:, 4:, 1:], first.conditioning(first.entries[0])[IMAGE][:, 4:, 1:])
    clip = torch.rand(2, 5, 4, 4, 3, generator=torch.Generator().manual_seed(0))
    shown = keep_first_frame(clip, last=True)
    assert torch.equal(shown[:, [0, 4]], clip[:, [0, 4]])
    assert (shown[:, 1:4] == 0.5).all()


def test_one_frame_entries_are_given_the_control_frames_and_grey_for_the_target(
    tmp_path: Path, item: Make, encoder
) -> None:
    dataset = Dataset((replace(item("a", 0), control_path=item("control", 7).media_path),))
    frames = OneFrame(target_index=3, control_indices=(0, 6))
    cache, _ = cache_latents(
        dataset, encoder, tmp_path / "cache", CacheSettings(one_frame=frames, image_conditioning=True)
    )
    (entry,) = cache.entries
    given, latent = cache.conditioning(entry), cache.latent(entry)
    assert given[FRAMES].tolist() == [0, 3, 6]
    assert given[IMAGE][0, 0, :, 0, 0].tolist() == [1, 0, 1]
    assert torch.equal(given[IMAGE][0, 4:, [0, 2]], latent[:, [0, 2]])
    grey = DemoLatentEncoder().encode(torch.full((1, 1, 64, 64, 3), 0.5))
    torch.testing.assert_close(given[IMAGE][0, 4:, 1], grey[0, :, 0])
    assert cache.conditioning(open_cache(tmp_path / "cache").entries[0]).keys() == {IMAGE, FRAMES}


def test_another_mask_keeps_what_is_given(tmp_path: Path, item: Make, encoder) -> None:
    masked = item("a", mask=np.full((40, 40), 90, np.uint8))
    cache, report = cache_latents(
        Dataset((masked,)), encoder, tmp_path / "cache", CacheSettings(image_conditioning=True)
    )
    assert any("only has to copy them" in message for message in report["messages"])
    before = cache.conditioning(cache.entries[0])[IMAGE]
    assert masked.mask_path is not None
    Image.fromarray(np.full((40, 40), 200, np.uint8)).save(masked.mask_path)
    cache, report = cache_latents(
        Dataset((masked,)), encoder, tmp_path / "cache", CacheSettings(image_conditioning=True)
    )
    assert states(report) == {"a": "weights rewritten"}
    assert torch.equal(cache.conditioning(cache.entries[0])[IMAGE], before)


def test_a_vae_of_no_model_that_takes_any_has_nothing_to_give(tmp_path: Path, item: Make, encoder) -> None:
    encoder.temporal_stride, encoder.spatial_stride = 0, 16
    with pytest.raises(SettingError, match=r"image-to-video and for inpainting models, but this VAE \(demo\)"):
        cache_latents(Dataset((item("a"),)), encoder, tmp_path / "cache", CacheSettings(image_conditioning=True))


def test_what_is_given_survives_the_way_to_the_reference_systems_files_and_back(
    tmp_path: Path, film: DatasetItem
) -> None:
    cache, _ = cache_latents(
        Dataset((film,)), JoiningEncoder(), tmp_path / "cache", CacheSettings(image_conditioning=True)
    )
    report = export_reference(cache, tmp_path / "wan")
    assert any("CLIP vision features" in message for message in report["messages"])
    back = open_cache(tmp_path / "wan")
    (entry,), (own,) = back.entries, cache.entries
    image, expected = back.conditioning(entry)[IMAGE], cache.conditioning(own)[IMAGE]
    assert torch.equal(image[:, :4], expected[:, :4])
    torch.testing.assert_close(image, expected, atol=1e-5, rtol=1e-5)
    with safe_open(tmp_path / "wan" / entry.file, "pt") as file:
        stored = file.get_tensor("latents_image_2x6x8_float32")
    torch.testing.assert_close(stored[4 + 3], (expected[0, 4 + 3] - 0.1075) / 2.6558)
    report = export_reference(cache, tmp_path / "qi", "qi")
    assert any("not exported" in message for message in report["messages"])
    assert open_cache(tmp_path / "qi").entries[0].image_channels == 0


def start_frames(frames: int, learnt: int) -> torch.Tensor:
    """As musubi-tuner's one-frame caching writes them."""
    image = torch.randn(20, frames, 4, 6, generator=torch.Generator().manual_seed(1))
    image[:4] = 1
    image[:4, learnt] = 0
    return image


def test_musubis_one_frame_caches_say_which_frame_is_learnt(tmp_path: Path) -> None:
    image = start_frames(3, learnt=1)
    weights = torch.ones(1, 3, 4, 6)
    weights[:, 1] = 0.25
    theirs = {
        "latents_image_3x4x6_bfloat16": image.bfloat16(),
        "f_indices_int32": torch.tensor([0, 5, 10], dtype=torch.int32),
        "clip_float16": torch.zeros(2, 257, 1280, dtype=torch.float16),
    }
    write(tmp_path, shape=(16, 3, 4, 6), weights=weights, **theirs)
    cache = open_cache(tmp_path)
    (entry,) = cache.entries
    assert (entry.target_index, entry.control_indices, entry.coverage) == (5, (0, 10), 0.25)
    given = cache.conditioning(entry)
    assert given[FRAMES].tolist() == [0, 5, 10]
    assert torch.allclose(given[IMAGE][0, 4], image[4].bfloat16().float() * 2.8184 - 0.7571)
    assert any("1 entries hold CLIP vision features, which are not used" in note for note in cache.notes)


def test_files_that_do_not_say_which_frame_is_learnt_are_refused(tmp_path: Path) -> None:
    numbers = torch.tensor([0, 5], dtype=torch.int32)
    image = start_frames(2, learnt=1)
    image[:4] = 1
    write(tmp_path, shape=(16, 2, 4, 6), latents_image_2x4x6_float32=image, f_indices_int32=numbers)
    with pytest.raises(CacheError, match=r"numbers its 2 frames \[0, 5\], of which \[\] are to be learnt"):
        open_cache(tmp_path)


def test_control_latents_and_other_models_start_frames_are_still_refused(tmp_path: Path) -> None:
    write(tmp_path / "control", latents_control_1x4x6_float32=torch.zeros(16, 1, 4, 6))
    with pytest.raises(CacheError, match="holds latents_control_1x4x6_float32 besides its latents"):
        open_cache(tmp_path / "control")
    write(tmp_path / "qi", tag="qi", latents_image_1x4x6_float32=start_frames(1, 0))
    with pytest.raises(CacheError, match="holds latents_image besides its latents"):
        open_cache(tmp_path / "qi")


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    write(tmp_path, latents_image_1x4x6_float32=start_frames(1, 0) * float("nan"))
    cache = open_cache(tmp_path)
    with pytest.raises(CacheError, match="its latents_image are not finite"):
        cache.conditioning(cache.entries[0])
