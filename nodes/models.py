"""ComfyUI's own models, or the built-in demo ones, behind the protocols that `core` works with."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

from ..core.cache.encoders import LatentEncoder, TextEncoder
from ..core.cache.store import LatentCache
from ..core.demo.denoiser import DemoDenoiser
from ..core.demo.encoders import DemoLatentEncoder, DemoTextEncoder
from ..core.host.denoiser import model_identity, open_denoiser
from ..core.host.encoders import ComfyLatentEncoder, ComfyTextEncoder
from ..core.train.denoiser import Denoiser


def latent_encoder(vae: Any) -> LatentEncoder:
    """Of a VAE socket."""
    return vae if isinstance(vae, DemoLatentEncoder) else ComfyLatentEncoder(vae)


def text_encoder(clip: Any) -> TextEncoder:
    """Of a CLIP socket."""
    return clip if isinstance(clip, DemoTextEncoder) else ComfyTextEncoder(clip)


def identity_of(model: Any) -> str:
    """The `identity` of what `opened` will give."""
    return model.identity if isinstance(model, DemoDenoiser) else model_identity(model)


def opened(model: Any, cache: LatentCache) -> AbstractContextManager[Denoiser]:
    """A MODEL socket's model, ready to be trained on `cache` inside of the context, and as it was after it."""
    return nullcontext(model) if isinstance(model, DemoDenoiser) else open_denoiser(model, cache.empty_text())
