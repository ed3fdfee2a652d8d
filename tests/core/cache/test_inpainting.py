"""What an inpainting model is given: cached, kept, and made again where the mask changed."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from maskloss.core.cache.encode_pixels import stack_pixels
from maskloss.core.cache.inpainting import HOLE_CHANNELS, INPAINT, inpaint_conditioning, split_conditioning
from maskloss.core.cache.latents import cache_latents
from maskloss.core.cache.plan import CacheSettings, OneFrame
from maskloss.core.cache.store import open_cache
from maskloss.core.dataset.items import Dataset, DatasetItem
from maskloss.core.dataset.load import load_fitted
from maskloss.core.demo.encoders import DemoLatentEncoder
from maskloss.core.errors import SettingError

from .conftest import CountingEncoder
from .test_latents_of_clips import states

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
