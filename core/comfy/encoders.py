"""ComfyUI's VAE and CLIP behind the cache's protocols.

Shapes: `_BTHWC` pixels in [0, 1], `_BCThw` the latent grid.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from itertools import cycle, islice
from typing import Any

import numpy as np
import torch

from ..cache.encoders import SHOWN
from ..cache.image_conditioning import FIRST_AND_LAST
from ..cache.inpainting import VACE_ARCHITECTURE
from ..errors import CacheError, ImageError
from .model.fingerprint import patcher_fingerprint
from .model.sound import MINIMAX_FRAMES
from .text.shown import EditModel, find_showing

# Short names that end the cache's file names, by the VAE's class, axes and channels. Weights do not tell more.
_SHORT_NAMES = {
    ("WanVAE", 3, 16): "wan",
    ("WanVAE", 3, 48): "wan22",
    ("AutoencoderKL", 3, 16): "hv",
    ("AutoencoderKL", 2, 4): "sd",
    ("AutoencodingEngine", 2, 4): "sd",
    ("AutoencoderKL", 2, 16): "flux",
    ("AutoencodingEngine", 2, 16): "flux",
    ("MiniMaxH3VideoVAE", 3, 24): "h3",
}
# How many frames their latent frames stand for, over and over.
_CYCLES = {"MiniMaxH3VideoVAE": MINIMAX_FRAMES}
# Models that share their VAE's network with the one it goes by. Qwen-Image is "qi" in the reference system.
SAME_NETWORK = {"sd": ("sdxl",), "flux": ("sd3",), "wan": ("qi", VACE_ARCHITECTURE, FIRST_AND_LAST)}


class ComfyLatentEncoder:
    """A ComfyUI VAE for pictures or videos, at any stride.

    `architecture`: the short name that it shall go by, where several models share its network; empty: the first's.
    """

    def __init__(self, vae: Any, architecture: str = "") -> None:
        """CacheError when the object is no VAE that encodes pictures, or not that architecture's."""
        network = getattr(vae, "first_stage_model", None)
        if network is None or vae.latent_dim not in (2, 3) or getattr(vae, "extra_1d_channel", None):
            raise CacheError(
                f"{type(network).__name__ if network is not None else 'The VAE'} encodes no pictures; connect the VAE "
                "that belongs to the model which shall be trained."
            )
        # Its cropping would also cut a clip's frames, which it takes for a side; sizes are checked here instead.
        self._given = vae
        self._vae = copy.copy(vae)
        self._vae.crop_input = False
        self._joins_frames = vae.latent_dim == 3 and not getattr(vae, "not_video", False)
        kind = type(network).__name__
        channels = int(vae.latent_channels)
        own = _SHORT_NAMES.get((kind, int(vae.latent_dim), channels), f"{kind.lower()}{channels}")
        names = (own, *SAME_NETWORK.get(own, ()))
        if architecture and architecture not in names:
            raise CacheError(
                f"This VAE is not {architecture}'s: it goes by {' or '.join(names)}; set architecture to auto, or "
                "connect the other VAE."
            )
        self.architecture = architecture or own
        self.spatial_stride = int(vae.spacial_compression_encode())
        self.temporal_stride = int(vae.temporal_compression_decode() or 1) if self._joins_frames else 0
        self._cycle = _CYCLES.get(kind, ())
        precision = str(vae.vae_dtype).removeprefix("torch.")
        self.identity = f"comfy-{kind}-{precision}-{patcher_fingerprint(vae.patcher)}"

    def __reduce__(self) -> tuple[Any, ...]:
        # In another process the VAE is another object, of what has to be the same file.
        return _again, (ComfyLatentEncoder, (self._given, self.architecture), self.identity)

    def encode(self, rgb_BTHWC: torch.Tensor) -> torch.Tensor:
        """(B,T,H,W,3) float32 in [0, 1] to raw latents (B,C,T',h,w) float32 on the CPU.

        A video VAE joins frames (T' < T), any other takes each as a picture. ImageError where the VAE would cut off
        pixels or frames.
        """
        batch, frames, height, width, channels = rgb_BTHWC.shape
        stride = self.spatial_stride
        if channels != 3 or height % stride or width % stride:
            raise ImageError(
                f"This VAE takes RGB pictures whose sides are multiples of {stride} px; found {width}x{height} with "
                f"{channels} channels. Use a bucket_step that is a multiple of {stride}."
            )
        pixels = rgb_BTHWC.detach().float()
        if self._joins_frames:
            self._check_frames(frames)
        else:
            pixels = pixels.flatten(0, 1)
        # ComfyUI's loaders make inference tensors, and this runs in nodes as well as outside of them.
        with torch.inference_mode():
            encoded = self._vae.encode(pixels)
        with torch.inference_mode(False):
            latents = encoded.to("cpu", torch.float32, copy=True)
        if not self._joins_frames:
            single = latents if latents.ndim == 4 else latents[:, :, 0]
            latents = single.unflatten(0, (batch, frames)).transpose(1, 2)
        return latents.contiguous()

    def frame_groups(self, frames: int) -> tuple[int, ...]:
        """How many frames each latent frame stands for; MiniMax H3's are not all alike."""
        if frames > 1 and self._cycle:
            return tuple(islice(cycle(self._cycle), int(self._vae.downscale_ratio[0](frames))))
        stride = max(1, self.temporal_stride)
        return (1, *[stride] * ((frames - 1) // stride))

    def _check_frames(self, frames: int) -> None:
        ratio, back = self._vae.downscale_ratio, self._vae.upscale_ratio
        if frames > 1 and isinstance(ratio, tuple) and isinstance(back, tuple):
            kept = int(back[0](ratio[0](frames)))
            if kept != frames:
                raise ImageError(
                    f"This VAE joins frames in groups and would turn {frames} frames into {kept}; cut clips to a frame "
                    "count that it keeps (4k+1 for most)."
                )


class ComfyTextEncoder:
    """A ComfyUI CLIP: all that it returns for a caption, as named tensors; those of edit models that see pictures can
    be shown control images.

    `edit_model`: the one that it shall encode for, where several share it.
    """

    def __init__(self, clip: Any, edit_model: EditModel = EditModel.AUTO) -> None:
        """CacheError when the CLIP is not that edit model's."""
        self._clip, self._edit_model = clip, edit_model
        model = clip.cond_stage_model
        options = repr((clip.layer_idx, sorted(clip.tokenizer_options.items())))
        precision = "+".join(sorted(str(dtype).removeprefix("torch.") for dtype in model.dtypes))
        self.identity = f"comfy-{type(model).__name__}-{precision}-{options}-{patcher_fingerprint(clip.patcher)}"
        self._showing = find_showing(model, edit_model)
        self.shown_identity = "" if self._showing is None else f"{self.identity}-{self._showing.name}{SHOWN}"

    def __reduce__(self) -> tuple[Any, ...]:
        return _again, (ComfyTextEncoder, (self._clip, self._edit_model), self.identity)

    def encode(self, caption: str) -> dict[str, torch.Tensor]:
        """`cross_attn` (1,L,D), and whatever else the encoder gives (`pooled_output`, `attention_mask`, …), on the CPU.

        Numbers become tensors without axes. CacheError where the CLIP gives something that no tensor can hold.
        """
        with torch.inference_mode():
            conditioning = self._clip.encode_from_tokens_scheduled(self._clip.tokenize(caption))
        return _to_tensors(conditioning)

    def encode_shown(self, caption: str, pictures: Sequence[np.ndarray]) -> dict[str, torch.Tensor]:
        """As `encode`, of a caption beside control images (H,W,3) uint8, as ComfyUI's own node of that edit model has
        it. CacheError for more of them than that takes, and where the CLIP sees text alone."""
        if self._showing is None:
            raise CacheError(f"{self.identity} sees text alone; connect the CLIP of an edit model that sees pictures.")
        with torch.inference_mode():
            images = [torch.from_numpy(rgb_HWC)[None].float() / 255 for rgb_HWC in pictures]
        return _to_tensors(self._showing.encode(self._clip, caption, images))


def _to_tensors(conditioning: Any) -> dict[str, torch.Tensor]:
    if len(conditioning) != 1:
        raise CacheError(
            f"The CLIP gives {len(conditioning)} embeddings for one caption (it is scheduled over the steps by "
            "hooks); connect a CLIP without hooks."
        )
    cross_attention, rest = conditioning[0]
    tensors: dict[str, torch.Tensor] = {}
    with torch.inference_mode(False):
        for name, value in {"cross_attn": cross_attention, **rest}.items():
            if value is not None:
                tensors[name] = _to_tensor(name, value)
    return tensors


def embeddings_to_cond(text: Mapping[str, Any]) -> dict[str, Any]:
    """What `ComfyTextEncoder.encode` returned, with the numbers that the CLIP gave as numbers again."""
    return {name: value.item() if torch.is_tensor(value) and value.ndim == 0 else value for name, value in text.items()}


def _again(
    kind: type[ComfyLatentEncoder] | type[ComfyTextEncoder], given: tuple[Any, ...], identity: str
) -> ComfyLatentEncoder | ComfyTextEncoder:
    """The encoder in another process. CacheError where its model is another one."""
    encoder = kind(*given)
    if encoder.identity != identity:
        raise CacheError(
            f"The model file here is another one: its fingerprint is {encoder.identity}, and that of the process which "
            f"gives out the work {identity}. Give every machine the same files."
        )
    return encoder


def _to_tensor(name: str, value: Any) -> torch.Tensor:
    if torch.is_tensor(value):
        return value.detach().to("cpu", copy=True).contiguous()
    if isinstance(value, (bool, int, float)):
        return torch.tensor(value)
    raise CacheError(
        f"The CLIP gives {name} as {type(value).__name__}, which the cache cannot hold; remove what adds it (hooks, "
        "areas, control nets)."
    )
