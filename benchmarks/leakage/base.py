"""The base model: trained from scratch on the world, on the CPU, once; kept on disk.

It is told of subjects, sizes, places and backgrounds by captions in which words are missing now and then. It has seen
many strangers of random looks, whom captions call a figure, and so can draw people it does not know; and it has seen
faces close up, with a word for it. It has never seen the new subject, her word, or the planted background.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path

import numpy as np
import torch
from maskloss.core.dataset.crop import CropKind
from maskloss.core.files import atomic_write
from safetensors.torch import load_file, save_file
from torch import nn

from .network import WorldTransformer, embed_caption, encode_pictures, predict_velocity
from .photograph import cut_crop
from .world import (
    BACKGROUNDS,
    PLACES,
    SIDE_PX,
    SIZES,
    SUBJECTS,
    Scene,
    draw_pose,
    draw_stranger,
    render_scene,
    write_caption,
)

# To be raised when training changes in a way that no field, picture or first weight tells.
_VERSION = 1
CLOSE_UP = "closeup"
_MARGIN = 0.3
# How often: a face close up, somebody without a name, a word left out of a caption, somebody beside the subject.
_CLOSE_UP = 0.06
_STRANGER, _NO_NAME, _NO_PLACE, _NO_BACKGROUND, _WITH_SOMEBODY = 0.4, 0.02, 0.1, 0.2, 0.12
_NOISIER = 0.3  # mean of the timesteps' logit
_HALVES = 2


@dataclass(frozen=True)
class BaseConfig:
    """How large the base model is and how long it is trained. One batch is drawn anew for each step."""

    width: int = 128
    depth: int = 6
    heads: int = 4
    steps: int = 2000
    batch: int = 32
    learning_rate: float = 2e-3
    seed: int = 0

    @property
    def identity(self) -> str:
        """Differs whenever another model would come of it: of another world, other captions or another start."""
        return f"leakage-world-{_digest(self)}"


@cache
def _digest(config: BaseConfig) -> str:
    generator = np.random.default_rng(config.seed)
    drawn = [draw_captioned(generator) for _ in range(config.batch)]
    digest = hashlib.sha256(f"{_VERSION}{asdict(config)}{[caption for _, caption in drawn]}".encode())
    for picture_HWC, _ in drawn:
        digest.update((picture_HWC * 255).round().astype(np.uint8).tobytes())
    for parameter in make_network(config).parameters():
        digest.update(parameter.detach().numpy().tobytes())
    return digest.hexdigest()[:12]


def load_base(config: BaseConfig, directory: Path, say: Callable[[str], None]) -> nn.Module:
    """The base model from `directory`, trained first where it is not there. Frozen."""
    path = directory / f"{config.identity}.safetensors"
    network = make_network(config)
    if not path.exists():
        train_base(network, config, say)
        with atomic_write(path) as temporary:
            save_file(network.state_dict(), str(temporary))
    network.load_state_dict(load_file(path))
    return network.requires_grad_(False)


def make_network(config: BaseConfig) -> WorldTransformer:
    """An untrained network, the same for the same seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(config.seed)
        return WorldTransformer(SIDE_PX, config.width, config.depth, config.heads)


def train_base(network: nn.Module, config: BaseConfig, say: Callable[[str], None]) -> None:
    """Flow matching with logit-normal timesteps, AdamW, a cosine to zero, and a moving average that is kept."""
    generator, noise = np.random.default_rng(config.seed), torch.Generator().manual_seed(config.seed)
    optimizer = torch.optim.AdamW(network.parameters(), lr=config.learning_rate, betas=(0.9, 0.99), weight_decay=0.01)
    average = [parameter.detach().clone() for parameter in network.parameters()]
    parameters, recent = list(network.parameters()), 0.0
    with ThreadPoolExecutor(_HALVES) as pool:
        for step in range(config.steps):
            rate = min(1.0, (step + 1) / 100) * 0.5 * (1 + math.cos(math.pi * step / config.steps))
            optimizer.param_groups[0]["lr"] = config.learning_rate * rate
            pictures, words = draw_batch(config.batch, generator)
            clean = encode_pictures(pictures)
            t_B = torch.sigmoid(torch.randn(config.batch, generator=noise) + _NOISIER)
            batch = (clean, torch.randn(clean.shape, generator=noise), t_B, words)
            # Each half of a batch on a thread of its own; they are added in order, so that the sum is always the same.
            halves = list(pool.map(lambda *half: _gradients(network, *half), *(each.chunk(_HALVES) for each in batch)))
            for index, parameter in enumerate(parameters):
                parameter.grad = sum(gradients[index] for _, gradients in halves) / _HALVES
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            torch._foreach_lerp_(average, [each.detach() for each in parameters], 1 - min(0.995, step / (step + 10)))
            recent += (sum(loss for loss, _ in halves) / _HALVES - recent) / min(step + 1, 100)
            if (step + 1) % 100 == 0:
                say(f"base model: step {step + 1} of {config.steps}, loss {recent:.4f}")
    with torch.no_grad():
        for parameter, value in zip(parameters, average, strict=True):
            parameter.copy_(value)


def _gradients(
    network: nn.Module, clean: torch.Tensor, noise: torch.Tensor, t_B: torch.Tensor, words: torch.Tensor
) -> tuple[float, tuple[torch.Tensor, ...]]:
    t = t_B.reshape(-1, 1, 1, 1, 1)
    velocity = predict_velocity(network, (1 - t) * clean + t * noise, t_B, words)
    loss = (velocity - (noise - clean)).square().mean()
    return float(loss.detach()), torch.autograd.grad(loss, tuple(network.parameters()))


def draw_batch(count: int, generator: np.random.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """(B,32,32,3) pictures of the base world and (B,L,64) words of their captions."""
    drawn = [draw_captioned(generator) for _ in range(count)]
    pictures = torch.from_numpy(np.stack([picture_HWC for picture_HWC, _ in drawn]))
    return pictures, torch.stack([_embedded(caption) for _, caption in drawn])


def draw_captioned(generator: np.random.Generator) -> tuple[np.ndarray, str]:
    """A (32,32,3) picture of the base world and a caption that may leave words out."""
    subject, size, place, background = (
        options[int(generator.integers(len(options)))] for options in (SUBJECTS, list(SIZES), list(PLACES), BACKGROUNDS)
    )
    places = [each for each in PLACES if each != place]
    other, other_place = SUBJECTS[int(generator.integers(len(SUBJECTS)))], places[int(generator.integers(2))]
    pose, other_pose, stranger = draw_pose(generator), draw_pose(generator), draw_stranger(generator)
    chances = (_CLOSE_UP, _STRANGER, _NO_NAME, _NO_PLACE, _NO_BACKGROUND, _WITH_SOMEBODY)
    close, strange, no_name, no_place, no_background, beside = (bool(each) for each in generator.random(6) < chances)
    subject = stranger if strange else subject
    scene = Scene(subject, size, place, background, pose, other if beside else None, other_place, other_pose)
    caption = write_caption(
        None if strange or no_name else subject.name,
        size,
        "anywhere" if no_place else place,
        None if no_background else background,
        other.name if beside else None,
    )
    if close:
        return cut_crop(scene, CropKind.FACE, _MARGIN)[0], f"{caption} {CLOSE_UP}"
    return render_scene(scene), caption


_CACHE: dict[str, torch.Tensor] = {}


def _embedded(caption: str) -> torch.Tensor:
    if caption not in _CACHE:
        _CACHE[caption] = embed_caption(caption)
    return _CACHE[caption]
