"""ComfyUI's own VAE and CLIP classes with random weights, through the cache's protocols."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from maskloss.cli.cluster_models import ModelPlaces, unpickled
from maskloss.core.cache.latents import cache_latents
from maskloss.core.comfy.encoders import ComfyLatentEncoder, ComfyTextEncoder, embeddings_to_cond
from maskloss.core.dataset.items import Dataset, DatasetItem, LoadSettings
from maskloss.core.errors import CacheError, ImageError, SettingError
from maskloss.core.video.clips import VideoSettings
from maskloss.core.video.masks import MaskVideoWriter
from PIL import Image
from tiny_comfy import tiny_models as tiny  # skips where there is no ComfyUI

pytestmark = pytest.mark.comfy


def pictures(batch: int = 2, frames: int = 1, height: int = 32, width: int = 48) -> torch.Tensor:
    return torch.rand(batch, frames, height, width, 3, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def vaes() -> dict[str, Any]:
    return {name: tiny.load_vae(name) for name in ("sd", "flux", "wan", "hv", "wan22")}


@pytest.mark.parametrize(
    ("name", "channels", "stride"),
    [("sd", 4, 8), ("flux", 16, 8), ("wan", 16, 8), ("hv", 16, 8), ("wan22", 48, 16)],
)
def test_pictures_become_raw_latents_of_five_axes(vaes: dict[str, Any], name: str, channels: int, stride: int) -> None:
    encoder = ComfyLatentEncoder(vaes[name])
    rgb = pictures()
    latents = encoder.encode(rgb)
    assert latents.shape == (2, channels, 1, 32 // stride, 48 // stride)
    assert latents.dtype == torch.float32
    assert latents.device.type == "cpu"
    assert not latents.is_inference()
    assert (encoder.architecture, encoder.spatial_stride) == (name, stride)
    assert encoder.temporal_stride == (0 if name in ("sd", "flux") else 4)
    # ComfyUI's node encodes one picture at a time and gives the same.
    with torch.inference_mode():
        alone = vaes[name].encode(rgb[1]).reshape(latents[1].shape)
    torch.testing.assert_close(latents[1], alone.clone(), rtol=1e-4, atol=1e-5)


def test_a_video_vae_joins_frames_and_a_picture_vae_does_not(vaes: dict[str, Any]) -> None:
    video = pictures(batch=1, frames=5)
    for name in ("wan", "hv"):
        assert ComfyLatentEncoder(vaes[name]).encode(video).shape == (1, 16, 2, 4, 6)
    encoder = ComfyLatentEncoder(vaes["sd"])
    latents = encoder.encode(video)
    assert latents.shape == (1, 4, 5, 4, 6)
    torch.testing.assert_close(latents[:, :, 3:4], encoder.encode(video[:, 3:4]), rtol=1e-4, atol=1e-5)


def test_what_the_vae_would_cut_off_is_refused(vaes: dict[str, Any]) -> None:
    with pytest.raises(ImageError, match="multiples of 8 px; found 36x32"):
        ComfyLatentEncoder(vaes["sd"]).encode(pictures(width=36))
    with pytest.raises(ImageError, match="multiples of 16 px"):
        ComfyLatentEncoder(vaes["wan22"]).encode(pictures(height=24))
    with pytest.raises(ImageError, match="turn 6 frames into 5"):
        ComfyLatentEncoder(vaes["wan"]).encode(pictures(frames=6))


def test_identity_follows_the_weights(vaes: dict[str, Any]) -> None:
    vae = vaes["sd"]
    before = ComfyLatentEncoder(vae).identity
    assert ComfyLatentEncoder(vae).identity == before
    assert ComfyLatentEncoder(vaes["flux"]).identity != before
    weight = vae.first_stage_model.encoder.conv_in.weight
    with torch.inference_mode():
        weight.mul_(2)
    try:
        assert ComfyLatentEncoder(vae).identity != before
    finally:
        with torch.inference_mode():
            weight.div_(2)
    assert ComfyLatentEncoder(vae).identity == before


def test_another_process_has_the_same_encoder_or_refuses(vaes: dict[str, Any]) -> None:
    vae, places = vaes["sd"], ModelPlaces()
    places.note("3", ("VAE",), [[vae]])
    encoder = ComfyLatentEncoder(vae, "sdxl")
    content = places.pickled(encoder)
    assert len(content) < 2000  # no weights
    with ExitStack() as opened:
        again = unpickled(content, lambda _: vae, opened)
        assert (again.identity, again.architecture) == (encoder.identity, "sdxl")
        weight = vae.first_stage_model.encoder.conv_in.weight
        with torch.inference_mode():
            weight.mul_(2)
        try:
            with pytest.raises(CacheError, match="The model file here is another one"):
                unpickled(content, lambda _: vae, opened)
        finally:
            with torch.inference_mode():
                weight.div_(2)


def test_the_short_name_can_be_given(vaes: dict[str, Any]) -> None:
    assert ComfyLatentEncoder(vaes["wan"], architecture="qi").architecture == "qi"
    assert ComfyLatentEncoder(vaes["sd"], architecture="sdxl").architecture == "sdxl"
    with pytest.raises(
        CacheError, match="This VAE is not hv's: it goes by wan or qi or vace or flf2v; set architecture to auto"
    ):
        ComfyLatentEncoder(vaes["wan"], architecture="hv")


@pytest.mark.parametrize(
    ("name", "channels", "stride"),
    [("sd", 4, 8), ("flux", 16, 8), ("wan", 16, 8), ("hv", 16, 8), ("wan22", 48, 16)],
)
def test_a_photograph_and_its_mask_are_cached(
    vaes: dict[str, Any], tmp_path: Path, name: str, channels: int, stride: int
) -> None:
    rgb_HWC = np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)
    mask_HW = np.zeros((64, 96), np.uint8)
    mask_HW[:, :40] = 255  # two and a half cells of 16 px, five of 8
    Image.fromarray(rgb_HWC).save(tmp_path / "a.png")
    Image.fromarray(mask_HW).save(tmp_path / "mask.png")
    settings = LoadSettings((96, 64), enable_bucket=False)
    dataset = Dataset((DatasetItem("a", tmp_path / "a.png", settings, tmp_path / "mask.png"),))
    cache, _ = cache_latents(dataset, ComfyLatentEncoder(vaes[name]), tmp_path / "cache")
    (entry,) = cache.entries
    assert entry.latent_shape == (channels, 1, 64 // stride, 96 // stride)
    with torch.inference_mode():
        expected = vaes[name].encode(torch.from_numpy(rgb_HWC)[None].float() / 255).reshape(entry.latent_shape)
    torch.testing.assert_close(cache.latent(entry), expected.clone().float(), rtol=1e-4, atol=1e-5)
    weights_1Thw = cache.weights(entry)
    assert weights_1Thw is not None
    row = [1.0, 1.0, 0.5, 0.0, 0.0, 0.0] if stride == 16 else [1.0] * 5 + [0.0] * 7
    assert weights_1Thw[0, 0].tolist() == [row] * (64 // stride)


@pytest.mark.parametrize(("name", "channels", "stride"), [("wan", 16, 8), ("hv", 16, 8), ("wan22", 48, 16)])
def test_a_clip_and_its_masks_are_cached(
    vaes: dict[str, Any], tmp_path: Path, make_video: Callable[..., Path], name: str, channels: int, stride: int
) -> None:
    generator = np.random.default_rng(0)
    frames = [generator.integers(0, 256, (64, 64, 3), np.uint8) for _ in range(10)]
    path = make_video(tmp_path / "a.mkv", frames, codec="ffv1", pix_fmt="bgr0")
    with MaskVideoWriter(tmp_path / "mask.mkv", (64, 64), [number / 16 for number in range(10)]) as masks:
        for number in range(10):
            masks.add(np.full((64, 64), 25 * number, np.uint8))
    settings = LoadSettings((64, 64), video=VideoSettings((9,)))
    encoder = ComfyLatentEncoder(vaes[name])
    dataset = Dataset((DatasetItem("a", path, settings, tmp_path / "mask.mkv"),))
    cache, _ = cache_latents(dataset, encoder, tmp_path / "cache")
    (entry,) = cache.entries
    assert entry.file == f"a_00000-009_0064x0064_{name}.safetensors"
    assert entry.latent_shape == (channels, 3, 64 // stride, 64 // stride)
    clip = torch.from_numpy(np.stack(frames[:9]))[None].float() / 255
    # What ComfyUI's VAE Encode gives for the same frames.
    with torch.inference_mode():
        expected = vaes[name].encode(clip[0])
    torch.testing.assert_close(cache.latent(entry)[None], expected.clone().float(), rtol=1e-3, atol=1e-3)
    weights_1Thw = cache.weights(entry)
    assert weights_1Thw is not None
    means = weights_1Thw.mean(dim=(0, 2, 3)).tolist()
    assert means == pytest.approx([0, 2.5 * 25 / 255, 6.5 * 25 / 255], abs=5e-4)


def test_a_picture_vae_takes_no_clips(vaes: dict[str, Any], tmp_path: Path, make_video: Callable[..., Path]) -> None:
    path = make_video(tmp_path / "a.mp4", [np.zeros((64, 64, 3), np.uint8)] * 6)
    item = DatasetItem("a", path, LoadSettings((64, 64), video=VideoSettings((5,))))
    with pytest.raises(SettingError, match=r"clips of 5 frames, but this VAE \(sd\) is a picture model's"):
        cache_latents(Dataset((item,)), ComfyLatentEncoder(vaes["sd"]), tmp_path / "cache")


def test_what_is_no_picture_vae_is_refused(vaes: dict[str, Any]) -> None:
    class NoVae:
        first_stage_model = None

    with pytest.raises(CacheError, match="encodes no pictures"):
        ComfyLatentEncoder(NoVae())


@pytest.fixture(scope="module", params=["sd15", "sdxl"])
def clip(request: pytest.FixtureRequest) -> Any:
    return tiny.load_clip(request.param)


def test_a_caption_becomes_what_comfyui_gives(clip: Any) -> None:
    encoder = ComfyTextEncoder(clip)
    tensors = encoder.encode("a photo of a cat")
    with torch.inference_mode():
        [[cross_attention, rest]] = clip.encode_from_tokens_scheduled(clip.tokenize("a photo of a cat"))
    assert torch.equal(tensors["cross_attn"], cross_attention)
    assert torch.equal(tensors["pooled_output"], rest["pooled_output"])
    assert not any(tensor.is_inference() for tensor in tensors.values())
    assert not torch.equal(encoder.encode("a dog")["cross_attn"], tensors["cross_attn"])


def test_text_identity_follows_weights_layer_and_lora(clip: Any) -> None:
    before = ComfyTextEncoder(clip).identity
    assert ComfyTextEncoder(clip).identity == before
    shallower = clip.clone()
    shallower.clip_layer(-2)
    assert ComfyTextEncoder(shallower).identity != before
    patched = clip.clone()
    key = next(key for key in clip.cond_stage_model.state_dict() if key.endswith("q_proj.weight"))
    patched.add_patches({key: ("diff", (torch.ones_like(clip.cond_stage_model.state_dict()[key]),))}, 0.5)
    identity = ComfyTextEncoder(patched).identity
    assert identity != before
    # Applied to the weights or not, it is the same text encoder.
    with torch.inference_mode():
        patched.encode_from_tokens(patched.tokenize("a"))
    assert ComfyTextEncoder(patched).identity == identity


def test_numbers_survive_the_cache_and_other_things_are_refused(clip: Any) -> None:
    class Clip:
        """A CLIP that adds to the conditioning, as some text encoders and nodes do."""

        def __init__(self, extra: dict[str, object]) -> None:
            self.extra = extra

        def __getattr__(self, name: str) -> Any:
            return getattr(clip, name)

        def encode_from_tokens_scheduled(self, tokens: object) -> Any:
            [[cross_attention, rest]] = clip.encode_from_tokens_scheduled(tokens)
            return [[cross_attention, {**rest, **self.extra}]]

    tensors = ComfyTextEncoder(Clip({"guidance": 3.5, "hooks": None})).encode("a")
    assert tensors["guidance"].shape == ()
    cond = embeddings_to_cond(tensors)
    assert cond["guidance"] == pytest.approx(3.5)
    assert "hooks" not in cond
    with pytest.raises(CacheError, match="gives control as list"):
        ComfyTextEncoder(Clip({"control": [1]})).encode("a")
