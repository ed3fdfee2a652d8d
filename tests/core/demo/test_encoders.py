import numpy as np
import pytest
import torch
from maskloss.core.demo.encoders import DemoLatentEncoder, DemoTextEncoder
from maskloss.core.errors import ImageError
from skimage import data


def photograph() -> torch.Tensor:
    return torch.from_numpy(data.astronaut()).float()[None, None] / 255


def test_photograph_comes_back_recognisable():
    encoder, picture = DemoLatentEncoder(), photograph()
    latents = encoder.encode(picture)
    assert latents.shape == (1, 16, 1, 64, 64)
    assert latents.dtype == torch.float32
    error = (encoder.decode(latents) - picture).pow(2).mean()
    assert -10 * torch.log10(error) > 28.0


def test_decode_then_encode_is_exact_within_the_kept_frequencies():
    encoder = DemoLatentEncoder()
    ramp = torch.from_numpy(np.linspace(0.3, 0.7, 64)).float()
    smooth = ramp[None, None, :, None, None].expand(1, 1, 64, 48, 3)
    latents = encoder.encode(smooth)
    assert torch.allclose(encoder.encode(encoder.decode(latents)), latents, atol=1e-4)


def test_channels_are_luma_then_chroma():
    grey = DemoLatentEncoder().encode(torch.full((1, 1, 8, 8, 3), 0.75))
    assert grey[0, 0].item() == pytest.approx(8 * 0.25, abs=1e-5)
    assert torch.allclose(grey[0, 1:], torch.zeros(15, 1, 1, 1), atol=1e-5)
    red = DemoLatentEncoder().encode(torch.tensor([1.0, 0.0, 0.0]).expand(1, 1, 8, 8, 3))
    assert red[0, 13].item() == pytest.approx(8 * 0.5, abs=1e-3)


def test_frames_are_separate_pictures():
    picture = photograph()[:, :, :64, :64]
    both = torch.cat([picture, picture.flip(3)], dim=1)
    latents = DemoLatentEncoder().encode(both)
    assert latents.shape == (1, 16, 2, 8, 8)
    assert torch.equal(latents[:, :, :1], DemoLatentEncoder().encode(picture))


def test_a_side_that_is_no_multiple_of_eight_is_refused():
    with pytest.raises(ImageError, match="60x64"):
        DemoLatentEncoder().encode(torch.zeros(1, 1, 64, 60, 3))


def test_captions_are_ragged_fixed_and_differ():
    encoder = DemoTextEncoder()
    tokens = encoder.encode("A photo, of ANNA")["tokens"]
    assert tokens.shape == (5, 64)
    assert torch.equal(tokens, encoder.encode("a photo of anna")["tokens"])
    assert encoder.encode("")["tokens"].shape == (1, 64)
    assert not torch.equal(tokens[-1], encoder.encode("bert")["tokens"][-1])
