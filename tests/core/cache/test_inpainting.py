"""What an inpainting model is given: cached, kept, and made again where the mask changed."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from maskloss.core.cache.encode_pixels import stack_pixels
from maskloss.core.cache.export import export_reference
from maskloss.core.cache.inpainting import (
    HOLE_CHANNELS,
    INPAINT,
    VACE,
    VACE_ARCHITECTURE,
    inpaint_conditioning,
    split_conditioning,
)
from maskloss.core.cache.latents import cache_latents
from maskloss.core.cache.plan import CacheSettings, OneFrame
from maskloss.core.cache.store import open_cache
from maskloss.core.dataset.items import Dataset, DatasetItem, LoadSettings
from maskloss.core.dataset.load import load_clip, load_fitted
from maskloss.core.demo.encoders import DemoLatentEncoder
from maskloss.core.errors import CacheError, SettingError
from maskloss.core.video.clips import VideoSettings, clips_of
from maskloss.core.video.masks import MaskVideoWriter
from maskloss.core.video.reader import probe

from .conftest import CountingEncoder
from .test_latents_of_clips import JoiningEncoder, states

Make = Callable[..., DatasetItem]
LEFT = np.zeros((40, 40), np.uint8)
LEFT[:, :20] = 60


class PictureEncoder(CountingEncoder):
    """The autoencoder of a model of pictures, which has no clips."""

    temporal_stride = 0


GIVEN = CacheSettings(image_conditioning=True)


def test_the_hole_is_where_the_mask_has_any_weight(tmp_path: Path, item: Make) -> None:
    photograph = item("a", 0, mask=LEFT, caption="x")
    cache, report = cache_latents(Dataset((photograph,)), PictureEncoder(), tmp_path / "cache", GIVEN)
    (entry,) = cache.entries
    assert entry.image_channels == HOLE_CHANNELS + 16
    assert not any("copy" in text for text in report["messages"])
    given = cache.conditioning(entry)
    assert given.keys() == {INPAINT}
    hole, latents = split_conditioning(given[INPAINT])
    loaded = load_fitted(photograph, (64, 64))
    assert hole.shape == (1, 1, 64, 64)
    assert np.array_equal(hole[0, 0].numpy() > 0, loaded.weights_THW[0] > 0)
    assert set(hole.unique().tolist()) == {0.0, 1.0}
    rgb = stack_pixels([loaded.rgb_THWC])
    rgb[0, 0, loaded.weights_THW[0] > 0] = 0.5
    assert torch.equal(latents, DemoLatentEncoder().encode(rgb))
    again = open_cache(tmp_path / "cache")
    assert torch.equal(again.conditioning(again.entries[0])[INPAINT], given[INPAINT])


def test_a_mask_that_changed_makes_another_hole_and_storage_does_not(tmp_path: Path, item: Make) -> None:
    dataset, directory = Dataset((item("a", 0, mask=LEFT),)), tmp_path / "cache"
    before, _ = cache_latents(dataset, PictureEncoder(), directory, GIVEN)
    assert states(cache_latents(dataset, PictureEncoder(), directory, GIVEN)[1]) == {"a": "unchanged"}
    first = before.conditioning(before.entries[0])[INPAINT]
    encoder = PictureEncoder()
    stored = replace(GIVEN, storage=type(GIVEN.storage)("uint8"))
    kept, report = cache_latents(dataset, encoder, directory, stored)
    assert (states(report), encoder.batches) == ({"a": "weights rewritten"}, [])
    assert torch.equal(kept.conditioning(kept.entries[0])[INPAINT], first)
    item("a", 0, mask=LEFT.T.copy())
    after, report = cache_latents(dataset, PictureEncoder(), directory, GIVEN)
    assert states(report) == {"a": "encoded"}
    assert not torch.equal(after.conditioning(after.entries[0])[INPAINT], first)
    assert states(cache_latents(dataset, PictureEncoder(), directory)[1]) == {"a": "encoded"}


def test_without_a_mask_everything_is_to_be_made() -> None:
    rgb = torch.rand(2, 1, 16, 24, 3, generator=torch.Generator().manual_seed(0))
    weights = np.zeros((1, 16, 24), np.float32)
    weights[0, 3, 5] = 0.01
    made = inpaint_conditioning(rgb, [None, weights], ["a", "b"], DemoLatentEncoder())
    hole, latents = split_conditioning(made)
    assert bool((hole[0] == 1).all())
    assert hole[1].nonzero().tolist() == [[0, 3, 5]]
    assert torch.equal(latents[0], DemoLatentEncoder().encode(torch.full((1, 1, 16, 24, 3), 0.5))[0])


def test_what_has_no_such_models_is_refused(tmp_path: Path, item: Make) -> None:
    class Coarse(PictureEncoder):
        spatial_stride = 16

    dataset = Dataset((item("a", 0),))
    with pytest.raises(SettingError, match="is none of theirs"):
        cache_latents(dataset, Coarse(), tmp_path / "coarse", GIVEN)
    with pytest.raises(SettingError, match="is none of theirs"):
        cache_latents(dataset, PictureEncoder(), tmp_path / "frames", replace(GIVEN, one_frame=OneFrame()))


class VaceEncoder(JoiningEncoder):
    """WAN's autoencoder, for a cache that WAN VACE is trained on."""

    architecture = VACE_ARCHITECTURE


@pytest.fixture
def film(tmp_path: Path, make_video: Callable[..., Path]) -> Callable[[int], DatasetItem]:
    """film(left): a clip of five frames, and a mask video with a square that moves by 8 px each frame."""

    def make(left: int) -> DatasetItem:
        frames = [np.full((48, 64, 3), number * 40, np.uint8) for number in range(5)]
        path = make_video(tmp_path / "set/film.mp4", frames)
        masks = tmp_path / "masks/film.mkv"
        masks.parent.mkdir(exist_ok=True)
        with MaskVideoWriter(masks, (64, 48), probe(path).times) as writer:
            for number in range(5):
                mask = np.zeros((48, 64), np.uint8)
                mask[8:32, left + 8 * number : left + 8 * number + 8] = 60
                writer.add(mask)
        return DatasetItem("film", path, LoadSettings((64, 48), video=VideoSettings(target_frames=(5,))), masks)

    return make


def test_vace_is_given_what_is_around_the_hole_of_each_frame_and_what_is_in_it(
    tmp_path: Path, film: Callable[[int], DatasetItem]
) -> None:
    cache, _ = cache_latents(Dataset((film(0),)), VaceEncoder(), tmp_path / "cache", GIVEN)
    (entry,) = cache.entries
    assert (entry.latent_shape, entry.image_channels) == ((16, 2, 6, 8), HOLE_CHANNELS + 32)
    given = cache.conditioning(entry)
    assert given.keys() == {VACE}
    hole, around, inside = given[VACE].split((HOLE_CHANNELS, 16, 16), dim=1)
    # Of the five frames two latent frames show the second and the fourth, whose squares are a cell wide.
    assert [hole[0, 0, frame, 1].nonzero().flatten().tolist() for frame in (0, 1)] == [[1], [3]]
    assert float(hole.sum()) == 2 * 3 * HOLE_CHANNELS
    clip = load_clip(film(0), clips_of(probe(film(0).media_path).times, film(0).settings.video)[0], (64, 48))
    rgb, holes = stack_pixels([clip.rgb_THWC]), torch.from_numpy(clip.weights_THW > 0)[None]
    for latents, own in ((around, ~holes), (inside, holes)):
        shown = torch.where(own[..., None], rgb, torch.tensor(0.5))
        torch.testing.assert_close(latents, JoiningEncoder().encode(shown))
    plain, _ = cache_latents(Dataset((film(0),)), JoiningEncoder(), tmp_path / "cache", GIVEN)
    assert plain.entries[0].image_channels == 20, "a first frame, for another model"
    assert plain.entries[0].file != entry.file


def test_a_mask_video_that_changed_makes_another_hole(tmp_path: Path, film: Callable[[int], DatasetItem]) -> None:
    before, _ = cache_latents(Dataset((film(0),)), VaceEncoder(), tmp_path / "cache", GIVEN)
    first = before.conditioning(before.entries[0])[VACE]
    assert states(cache_latents(Dataset((film(0),)), VaceEncoder(), tmp_path / "cache", GIVEN)[1]) == {
        "film_00000-005": "unchanged"
    }
    after, report = cache_latents(Dataset((film(16),)), VaceEncoder(), tmp_path / "cache", GIVEN)
    assert states(report) == {"film_00000-005": "encoded"}
    assert not torch.equal(after.conditioning(after.entries[0])[VACE], first)
    with pytest.raises(CacheError, match="was made for vace and cannot be exported as wan"):
        export_reference(after, tmp_path / "wan", "wan")
    with pytest.raises(SettingError, match="is none of theirs"):
        cache_latents(Dataset((film(0),)), VaceEncoder(), tmp_path / "frames", replace(GIVEN, one_frame=OneFrame()))
