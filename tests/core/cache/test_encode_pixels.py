"""What is checked of latents that come back from an encoder."""

import numpy as np
import pytest
import torch
from maskloss.core.cache.encode_pixels import encode_pixels, stack_pixels
from maskloss.core.demo.encoders import DemoLatentEncoder
from maskloss.core.errors import CacheError


def pixels(frames: int = 1) -> torch.Tensor:
    return stack_pixels([np.full((frames, 16, 24, 3), value, np.uint8) for value in (0, 255)])


def test_pixels_are_from_0_to_1_and_come_back_as_latents() -> None:
    rgb_BTHWC = pixels()
    assert rgb_BTHWC.shape == (2, 1, 16, 24, 3)
    assert (float(rgb_BTHWC.min()), float(rgb_BTHWC.max())) == (0.0, 1.0)
    assert encode_pixels(rgb_BTHWC, ["a", "b"], DemoLatentEncoder()).shape == (2, 16, 1, 2, 3)


def test_another_grid_than_the_encoder_says_is_refused() -> None:
    class Coarse(DemoLatentEncoder):
        spatial_stride = 4

    with pytest.raises(CacheError, match=r"2 pictures of 24x16; \(B, C, 1, 4, 6\) was expected: its stride is not 4"):
        encode_pixels(pixels(), ["a", "b"], Coarse())


def test_values_that_are_not_finite_name_the_picture() -> None:
    class Broken(DemoLatentEncoder):
        def encode(self, rgb_BTHWC: torch.Tensor) -> torch.Tensor:
            latents = super().encode(rgb_BTHWC)
            latents[1] = float("nan")
            return latents

    with pytest.raises(CacheError, match="not finite for b; try it in float32"):
        encode_pixels(pixels(), ["a", "b"], Broken())
