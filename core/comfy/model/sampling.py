"""Sample pictures by ComfyUI's own sampler, from the model that is being trained.

Shapes: B pictures, F frames, H, W pixels.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ...cache.store import LatentCache
from ...errors import DatasetError, SettingError, TrainingError
from ...people.faces import FaceRecognizer
from ...people.identity import Identity
from ...progress import Progress
from ...scores.checkpoint_scores import BLEED, PLAIN, POSITIVE
from ...scores.picture_scores import PictureScorer
from ...scores.training_pictures import from_cache
from ...train.denoiser import Denoiser
from ...train.sampling import Samples
from ...warning import warn
from .denoiser import ComfyDenoiser
from .references import method_of, shows_references

_FRAMES_SHOWN = 4
_NO_REFERENCE = (
    "The cache has control images, and the positive prompt of Sampling brings no picture to edit, so that sample "
    "pictures show what the LoRA does from text alone. Connect image and vae to the node that encodes the prompt "
    "(TextEncodeQwenImageEditPlus), or put ReferenceLatent behind it."
)
_OTHER_METHOD = (
    "Control images are placed by the method {} in training, and by {} in the positive prompt of Sampling. Set "
    "reference_method, or Edit Model Reference Method (FluxKontextMultiReferenceLatentMethod) behind the prompt, so "
    "that both are the same."
)


@dataclass(frozen=True, eq=False)
class ComfySampling:
    """ComfyUI's CONDITIONING, LATENT, VAE, SAMPLER and SIGMAS, and how often to sample with them.

    Without `negative` there is no classifier-free guidance, and `cfg` has no effect. A latent of video and sound is
    sampled whole, and shown without its sound. With `recognizer` and `identity`
    the pictures are scored; then `bleed`, another person's prompt, and `plain`, one of anything else, are sampled too.
    """

    positive: Sequence[Any]
    latent: Mapping[str, Any]
    vae: Any
    sampler: Any
    sigmas: torch.Tensor
    negative: Sequence[Any] | None = None
    cfg: float = 5.0
    seed: int = 0
    every: int = 100
    recognizer: FaceRecognizer | None = None
    identity: Identity | None = None
    bleed: Sequence[Any] | None = None
    plain: Sequence[Any] | None = None

    def __post_init__(self) -> None:
        _check_scoring(self.recognizer, self.identity, (self.bleed, self.plain))
        if self.every < 1:
            raise SettingError(f"every must be at least 1 step; found {self.every}.")
        if self.sigmas.numel() < 2:
            raise SettingError(
                f"sigmas has {self.sigmas.numel()} values, at least 2 are needed; give it a scheduler's."
            )

    def draw(self, denoiser: Denoiser, check: Callable[[], None]) -> Samples:
        """A picture per latent of the batch; of a video up to four frames, spread evenly."""
        if not isinstance(denoiser, ComfyDenoiser):
            raise TrainingError(
                "sampling works with ComfyUI's own models and the demo model is none; disconnect sampling, or connect "
                "a MODEL."
            )
        device = denoiser.device
        prompts = {POSITIVE: self.positive, BLEED: self.bleed, PLAIN: self.plain}
        drawn: dict[str, np.ndarray] = {}
        with torch.no_grad(), denoiser.lend() as patcher:
            for prompt, conditioning in prompts.items():
                if conditioning is None:
                    continue
                # Ancestral samplers draw from the global generators, whose state must stay as it is.
                with torch.random.fork_rng([device] if device.type == "cuda" else [], device_type="cuda"):
                    samples = self._sample(patcher, conditioning, check)
                    check()
                    drawn[prompt] = select_frames(self._decode(samples))
        return drawn

    def notes(self, denoiser: Denoiser, cache: LatentCache) -> tuple[str, ...]:
        """Where an edit model is trained with control images and shall draw from text alone, or from a picture that is
        placed otherwise."""
        if not denoiser.takes_references or not any(entry.references for entry in cache.entries):
            return ()
        if not shows_references(self.positive):
            return (_NO_REFERENCE,)
        if not isinstance(denoiser, ComfyDenoiser):
            return ()
        trained = denoiser.places_by(denoiser.reference_method.value)
        sampled = denoiser.places_by(method_of(self.positive))
        return () if sampled == trained else (_OTHER_METHOD.format(trained, sampled),)

    def scorer(self, cache: LatentCache, progress: Progress) -> PictureScorer | None:
        if self.recognizer is None or self.identity is None:
            return None
        try:
            training = from_cache(cache, progress)
        except DatasetError as problem:
            warn(f"Sample pictures are scored by their faces alone. {problem}")
            training = None
        return PictureScorer(self.recognizer, self.identity, training)

    def _sample(self, patcher: Any, positive: Sequence[Any], check: Callable[[], None]) -> torch.Tensor:
        sample, samplers = importlib.import_module("comfy.sample"), importlib.import_module("comfy.samplers")
        # Only as many arguments as this latent needs: older versions of ComfyUI take no ratios.
        ratios = [
            self.latent[name] for name in ("downscale_ratio_spacial", "downscale_ratio_temporal") if name in self.latent
        ]
        empty = sample.fix_empty_latent_channels(patcher, self.latent["samples"], *ratios)
        noise = sample.prepare_noise(empty, self.seed, self.latent.get("batch_index"))
        guider = samplers.CFGGuider(patcher)
        if self.negative is None:
            guider.inner_set_conds({"positive": positive})
            guider.set_cfg(1.0)
        else:
            guider.set_conds(positive, self.negative)
            guider.set_cfg(self.cfg)
        samples = guider.sample(
            noise,
            empty,
            self.sampler,
            self.sigmas.clone(),
            denoise_mask=self.latent.get("noise_mask"),
            callback=lambda *_: check(),
            disable_pbar=True,
            seed=self.seed,
        )
        # ComfyUI's own VAE Decode takes the first, too: the picture.
        return samples.unbind()[0] if samples.is_nested else samples

    def _decode(self, samples: torch.Tensor) -> torch.Tensor:
        management: Any = importlib.import_module("comfy.model_management")
        try:
            with torch.inference_mode():
                return self.vae.decode(samples).float().cpu()
        finally:
            # Training wants the memory back.
            if not management.is_device_cpu(self.vae.patcher.load_device):
                management.unload_model_and_clones(self.vae.patcher)
                management.soft_empty_cache()


def select_frames(pixels_BHWC: torch.Tensor) -> np.ndarray:
    """Of decoded pixels (B,H,W,3) or (B,F,H,W,3) in [0, 1] up to four frames each, evenly spread: (B,F,H,W,3) uint8."""
    pixels = pixels_BHWC if pixels_BHWC.ndim == 5 else pixels_BHWC[:, None]
    frames = pixels.shape[1]
    count = min(frames, _FRAMES_SHOWN)
    shown = [round(index * (frames - 1) / max(1, count - 1)) for index in range(count)]
    return (pixels[:, shown, ..., :3] * 255).round().clamp(0, 255).to(torch.uint8).numpy()


def _check_scoring(
    recognizer: FaceRecognizer | None, identity: Identity | None, prompts: Sequence[Sequence[Any] | None]
) -> None:
    if (recognizer is None) != (identity is None):
        given, missing = ("recognizer", "identity") if identity is None else ("identity", "recognizer")
        raise SettingError(f"{given} is connected and {missing} is not; scores need both, connect {missing} as well.")
    if recognizer is None and any(prompt is not None for prompt in prompts):
        raise SettingError(
            "bleed and plain are sampled to be scored; connect recognizer and identity as well, or neither of the four."
        )
    if recognizer is not None and identity is not None and identity.recognizer != recognizer.identity:
        raise SettingError(
            f"The reference faces were read by {identity.recognizer}, but the pictures by {recognizer.identity}: use "
            "the same face recognizer for both."
        )
