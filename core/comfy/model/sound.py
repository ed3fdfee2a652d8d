"""Models of ComfyUI that make sound beside the picture in one latent: their picture is trained, beside empty sound.

Shapes: `_BCThw` the picture's latent grid; a packed latent is (B,1,N), the picture's values and then the sound's.
"""

from __future__ import annotations

import importlib
from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import Any

import torch

# ComfyUI's classes that cannot be run without sound. LTX-2 can be, and is.
_WITH_SOUND = frozenset(("MiniMaxH3",))
MINIMAX_FRAMES = (1, 4, 4, 4, 4)


def makes_sound(model: Any) -> bool:
    """Whether a BaseModel always makes sound beside the picture."""
    return type(model).__name__ in _WITH_SOUND


def frame_cycle(model: Any) -> tuple[int, ...]:
    """How many frames the latent frames of a BaseModel's videos stand for, over and over; empty where all but the first
    stand for equally many."""
    return MINIMAX_FRAMES if makes_sound(model) else ()


def picture_channels(model: Any) -> int:
    """The channels of a BaseModel's latent of the picture."""
    channels = int(model.latent_format.latent_channels)
    if not makes_sound(model):
        return channels
    return int(_streams(model, torch.zeros(1, channels, 1, 1, 1))[0].shape[1])


def latent_shapes(model: Any, latents: torch.Tensor) -> list[torch.Size]:
    """What a packed latent of a BaseModel is made of, of the picture's in its own axes: picture, and sound if any."""
    sound = [_streams(model, latents)[1].shape] if makes_sound(model) else []
    return [latents.shape, *sound]


@contextmanager
def packing(model: Any, shapes: Sequence[torch.Size]) -> Generator[None]:
    """What ComfyUI's sampler tells a BaseModel of its latent, for as long as this is open."""
    if len(shapes) == 1:
        yield
        return
    before, model.latent_shapes = model.latent_shapes, shapes
    try:
        yield
    finally:
        model.latent_shapes = before


def pack_with_noise(
    noised_BCThw: torch.Tensor, sigma_B: torch.Tensor, shapes: Sequence[torch.Size], sampling: Any
) -> torch.Tensor:
    """The noised pictures with empty sound, noised by the same schedule of `sampling`, as ComfyUI's sampler has it.

    The sound's noise follows from the picture's, so that the same picture is always beside the same sound.
    """
    if len(shapes) == 1:
        return noised_BCThw
    drawn = [torch.randn((1, *shapes[1][1:]), generator=_generator(each)) for each in noised_BCThw]
    noise = torch.cat(drawn).to(noised_BCThw)
    sound = sampling.noise_scaling(sigma_B, noise, torch.zeros_like(noise))
    return importlib.import_module("comfy.utils").pack_latents([noised_BCThw, sound])[0]


def unpack_picture(packed: torch.Tensor, shapes: Sequence[torch.Size]) -> torch.Tensor:
    """The pictures of packed latents, (B,C,T,h,w)."""
    if len(shapes) == 1:
        return packed
    rows = [torch.Size((len(packed), *shape[1:])) for shape in shapes]
    return importlib.import_module("comfy.utils").unpack_latents(packed, rows)[0]


def _streams(model: Any, latents_BCThw: torch.Tensor) -> Sequence[torch.Tensor]:
    """A picture's latent and the empty sound of as many seconds, as ComfyUI makes it beside an empty picture."""
    return model.latent_format.fix_empty_latent(latents_BCThw).unbind()


def _generator(noised_CThw: torch.Tensor) -> torch.Generator:
    return torch.Generator().manual_seed(int(noised_CThw.detach().float().flatten()[:2].view(torch.int64).item()))
