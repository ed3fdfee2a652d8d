"""Sample pictures by ComfyUI's own sampler, from the very model that is being trained.

Shapes: B pictures, F frames, H, W pixels.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from ..errors import SettingError, TrainingError
from ..train.denoiser import Denoiser
from .denoiser import ComfyDenoiser

_FRAMES_SHOWN = 4


@dataclass(frozen=True, eq=False)
class ComfySampling:
    """ComfyUI's CONDITIONING, LATENT, VAE, SAMPLER and SIGMAS, and how often to sample with them.

    Without `negative` there is no guidance by it, and `cfg` does not act.
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

    def __post_init__(self) -> None:
        if self.every < 1:
            raise SettingError(f"every must be at least 1 step; found {self.every}.")
        if self.sigmas.numel() < 2:
            raise SettingError(
                f"sigmas has {self.sigmas.numel()} values, at least 2 are needed; give it a scheduler's."
            )
        if getattr(self.latent["samples"], "is_nested", False):
            raise SettingError(
                "latent holds several latents of different shapes; give one LATENT of pictures or video."
            )

    def picture(self, denoiser: Denoiser, check: Callable[[], None]) -> np.ndarray:
        """A row per latent of the batch; of a video up to four frames, spread evenly, from left to right."""
        if not isinstance(denoiser, ComfyDenoiser):
            raise TrainingError(
                "sampling works with ComfyUI's own models and the demo model is none; disconnect sampling, or connect "
                "a MODEL."
            )
        device = denoiser.device
        # The global generators feed ancestral samplers; training keeps its own, and other packs theirs.
        forked = torch.random.fork_rng([device] if device.type == "cuda" else [], device_type="cuda")
        with forked, torch.no_grad(), denoiser.lent() as patcher:
            samples = self._sampled(patcher, check)
            check()
            pixels = self._decoded(samples)
        return picture_rows(pixels)

    def _sampled(self, patcher: Any, check: Callable[[], None]) -> torch.Tensor:
        sample, samplers = importlib.import_module("comfy.sample"), importlib.import_module("comfy.samplers")
        # Only as many arguments as this latent needs: older versions of ComfyUI take no ratios.
        ratios = [
            self.latent[name] for name in ("downscale_ratio_spacial", "downscale_ratio_temporal") if name in self.latent
        ]
        empty = sample.fix_empty_latent_channels(patcher, self.latent["samples"], *ratios)
        noise = sample.prepare_noise(empty, self.seed, self.latent.get("batch_index"))
        guider = samplers.CFGGuider(patcher)
        if self.negative is None:
            guider.inner_set_conds({"positive": self.positive})
            guider.set_cfg(1.0)
        else:
            guider.set_conds(self.positive, self.negative)
            guider.set_cfg(self.cfg)
        return guider.sample(
            noise,
            empty,
            self.sampler,
            self.sigmas.clone(),
            denoise_mask=self.latent.get("noise_mask"),
            callback=lambda *_: check(),
            disable_pbar=True,
            seed=self.seed,
        )

    def _decoded(self, samples: torch.Tensor) -> torch.Tensor:
        management: Any = importlib.import_module("comfy.model_management")
        try:
            with torch.inference_mode():
                return self.vae.decode(samples).float().cpu()
        finally:
            # Training wants the memory back.
            if not management.is_device_cpu(self.vae.patcher.load_device):
                management.unload_model_and_clones(self.vae.patcher)
                management.soft_empty_cache()


def picture_rows(pixels_BHWC: torch.Tensor) -> np.ndarray:
    """Decoded pixels (B,H,W,3) or (B,F,H,W,3) in [0, 1] as one uint8 RGB picture: a row per B, its frames beside each
    other."""
    pixels = pixels_BHWC if pixels_BHWC.ndim == 5 else pixels_BHWC[:, None]
    frames = pixels.shape[1]
    count = min(frames, _FRAMES_SHOWN)
    shown = [round(index * (frames - 1) / max(1, count - 1)) for index in range(count)]
    rows = [torch.cat([row[frame] for frame in shown], dim=1) for row in pixels[..., :3]]
    return (torch.cat(rows) * 255).round().clamp(0, 255).to(torch.uint8).numpy()
