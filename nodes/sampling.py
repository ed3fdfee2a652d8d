"""Sampling: sample pictures while a LoRA is trained, and what scores them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch

from ..core.comfy.model.sampling import ComfySampling
from ..core.people.faces import FaceRecognizer
from ..core.people.identity import Identity
from .node import Node
from .sockets import FACE_RECOGNIZER, FLOAT, IDENTITY, INT, SAMPLING, SEED, SOCKET
from .training import MAX_STEPS


class MaskLossSampling(Node):
    TITLE = "Sampling"
    CATEGORY = "MaskLoss/Train"
    DESCRIPTION = "Pictures of the LoRA while it is trained, by ComfyUI's own sampler: connect it to Train LoRA."
    SEARCH_ALIASES = ("sample pictures", "preview", "training preview", "sample images")
    RETURN_TYPES = (SAMPLING,)
    RETURN_NAMES = ("sampling",)

    @classmethod
    def INPUT_TYPES(cls) -> dict[str, Any]:
        return {
            "required": {
                "positive": SOCKET("CONDITIONING", "The prompt to sample, such as one with the person's name."),
                "latent": SOCKET("LATENT", "An empty latent of the size to sample; of a batch, each one."),
                "vae": SOCKET("VAE", "Decodes the samples."),
                "sampler": SOCKET("SAMPLER", "From KSamplerSelect or another sampler node."),
                "sigmas": SOCKET("SIGMAS", "From BasicScheduler or another scheduler node."),
            },
            "optional": {
                "negative": SOCKET("CONDITIONING", "Unconnected = no guidance, and cfg does not act."),
                "cfg": FLOAT(5.0, 0, 100, 0.1, "Guidance by the negative prompt."),
                "seed": SEED("Fixes the noise, so that pictures of a run can be compared."),
                "every": INT(100, 1, MAX_STEPS, "Steps between two samples; there is one before the first step too."),
                "recognizer": SOCKET(FACE_RECOGNIZER, "With identity: every checkpoint is scored by its pictures."),
                "identity": SOCKET(IDENTITY, "From Reference Faces: the person that is learnt."),
                "bleed": SOCKET("CONDITIONING", "Another person's prompt without the trigger: who turns into yours?"),
                "plain": SOCKET("CONDITIONING", "A prompt of anything else without the trigger: what else changes?"),
            },
        }

    def run(
        self,
        positive: Sequence[Any],
        latent: Mapping[str, Any],
        vae: Any,
        sampler: Any,
        sigmas: torch.Tensor,
        negative: Sequence[Any] | None = None,
        cfg: float = 5.0,
        seed: int = 0,
        every: int = 100,
        recognizer: FaceRecognizer | None = None,
        identity: Identity | None = None,
        bleed: Sequence[Any] | None = None,
        plain: Sequence[Any] | None = None,
    ) -> tuple[ComfySampling]:
        prompts = {"positive": positive, "negative": negative, "bleed": bleed, "plain": plain}
        scored_by = {"recognizer": recognizer, "identity": identity}
        asked = {"latent": latent, "vae": vae, "sampler": sampler, "sigmas": sigmas, "cfg": cfg}
        return (ComfySampling(**prompts, **asked, **scored_by, seed=seed, every=every),)


NODES = (MaskLossSampling,)
