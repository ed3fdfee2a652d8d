"""What the cache's protocols promise, kept by the encoders that need no weights."""

import pytest
import torch
from maskloss.core.cache.encoders import LatentEncoder, TextEncoder
from maskloss.core.demo.encoders import DemoLatentEncoder, DemoTextEncoder

from .test_latents_of_clips import JoiningEncoder


@pytest.mark.parametrize("encoder", [DemoLatentEncoder(), JoiningEncoder()])
def test_latents_have_the_promised_grid_and_type(encoder: LatentEncoder) -> None:
    rgb_BTHWC = torch.rand(2, 5, 16, 24, 3, generator=torch.Generator().manual_seed(0))
    before = rgb_BTHWC.clone()
    latents = encoder.encode(rgb_BTHWC)
    frames = 1 + 4 // encoder.temporal_stride
    stride = encoder.spatial_stride
    assert latents.shape == (2, latents.shape[1], frames, 16 // stride, 24 // stride)
    assert (latents.dtype, latents.device.type) == (torch.float32, "cpu")
    assert torch.equal(encoder.encode(rgb_BTHWC), latents)
    assert torch.equal(rgb_BTHWC, before)
    assert encoder.identity
    assert encoder.architecture.isalnum()


def test_text_is_named_tensors_on_the_cpu_equal_for_equal_captions() -> None:
    encoder: TextEncoder = DemoTextEncoder()
    one, same, other = (encoder.encode(text) for text in ("a person", "a person", "a sofa"))
    assert one.keys() == other.keys() == {"tokens"}
    assert torch.equal(one["tokens"], same["tokens"])
    assert not torch.equal(one["tokens"], other["tokens"])
    assert one["tokens"].device.type == "cpu"
    assert encoder.encode("")["tokens"].shape[0] == 1
