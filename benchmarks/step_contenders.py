"""The contenders of the step benchmark: the pack's trainer, ComfyUI's TrainLoraNode, and the bare frozen model."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

sys.path.insert(0, os.environ.get("COMFYUI_PATH", ""))
try:
    import comfy.cli_args
except ImportError as problem:
    sys.exit(f"Set COMFYUI_PATH to a ComfyUI checkout and use its own interpreter ({problem}).")
comfy.cli_args.args.cpu = True

import comfy.model_management  # noqa: E402
import comfy.sd  # noqa: E402
import comfy.supported_models  # noqa: E402
import comfy.utils  # noqa: E402
import comfy_extras.nodes_train as native_trainer  # noqa: E402
from maskloss.core.cache.latents import cache_latents  # noqa: E402
from maskloss.core.cache.store import LatentCache  # noqa: E402
from maskloss.core.cache.text import cache_text  # noqa: E402
from maskloss.core.comfy.model.denoiser import open_denoiser  # noqa: E402
from maskloss.core.dataset.items import Dataset, DatasetItem, LoadSettings  # noqa: E402
from maskloss.core.demo.encoders import DemoLatentEncoder  # noqa: E402
from maskloss.core.images import save_image  # noqa: E402
from maskloss.core.mask_weights import MaskLossSettings  # noqa: E402
from maskloss.core.train.config import LoraConfig, OptimizerConfig, TrainConfig, TrainingDtype  # noqa: E402
from maskloss.core.train.loop import train  # noqa: E402
from maskloss.core.train.observer import SilentObserver  # noqa: E402
from maskloss.core.train.recipe import TrainingRecipe  # noqa: E402
from maskloss.core.train.step import resolve_dtype  # noqa: E402
from safetensors.torch import save_file  # noqa: E402

from .turns import Pause  # noqa: E402

if TYPE_CHECKING:
    # For the types alone: an older checkout that is measured beside this one lacks it.
    from maskloss.core.frozen.config import BaseConfig

RANK = 8
SIDE_PX = 256
PICTURES = 4
FOREVER = 1_000_000
WAN = {
    "image_model": "wan2.1", "dim": 1024, "out_dim": 16, "num_heads": 8, "ffn_dim": 4096, "num_layers": 4,
    "patch_size": (1, 2, 2), "freq_dim": 256, "window_size": (-1, -1), "qk_norm": True, "cross_attn_norm": True,
    "eps": 1e-6, "in_dim": 16, "model_type": "t2v",
}  # fmt: skip
MASKS = MaskLossSettings(gamma=0.7, min_weight=0.05)

Run = Callable[[Pause], None]


class Text:
    """Random embeddings as wide as WAN's own, and zeros after them."""

    identity = "random"

    def __init__(self, tokens: int = 120) -> None:
        self._tokens = tokens

    def encode(self, caption: str) -> dict[str, torch.Tensor]:
        embeddings = torch.zeros(1, 512, 4096)
        embeddings[:, : self._tokens].normal_(generator=torch.Generator().manual_seed(len(caption)))
        return {"cross_attn": embeddings}


@dataclass(frozen=True)
class Material:
    """What all of them train on."""

    checkpoint: Path
    cache: LatentCache
    directory: Path

    def model(self, dtype: torch.dtype = torch.float32) -> Any:
        return comfy.sd.load_diffusion_model(str(self.checkpoint), model_options={"dtype": dtype})


def prepare(directory: Path, text: Text) -> Material:
    """A random checkpoint and a cache of four pictures with masks, written once."""
    checkpoint = directory / "wan.safetensors"
    if not checkpoint.exists():
        save_file(random_weights(), checkpoint)
    generator = np.random.default_rng(0)
    items = []
    for index in range(PICTURES):
        path, mask = directory / f"{index}.png", np.zeros((SIDE_PX, SIDE_PX), np.uint8)
        mask[64:192, 64:192] = 255
        save_image(path, generator.integers(0, 256, (SIDE_PX, SIDE_PX, 3), dtype=np.uint8))
        save_image(directory / "masks" / path.name, mask)
        settings = LoadSettings(resolution=(SIDE_PX, SIDE_PX))
        items.append(DatasetItem(str(index), path, settings, directory / "masks" / path.name, "word " * (index + 1)))
    cache, _ = cache_latents(Dataset(tuple(items)), DemoLatentEncoder(), directory / "cache")
    return Material(checkpoint, cache_text(cache, text)[0], directory)


def random_weights(wan: Mapping[str, Any] = WAN) -> dict[str, torch.Tensor]:
    configuration = comfy.supported_models.WAN21_T2V(dict(wan))
    configuration.set_inference_dtype(torch.float32, None)
    generator = torch.Generator().manual_seed(0)
    weights = {}
    for name, value in configuration.get_model({}, "", device="cpu").diffusion_model.state_dict().items():
        noise = torch.randn(value.shape, generator=generator)
        weights[name] = noise * value[0].numel() ** -0.5 if value.ndim >= 2 else 1 + noise * 0.02
    return weights


def ours(
    material: Material,
    batch: int = 1,
    settings: MaskLossSettings | None = MASKS,
    checkpoint: bool = False,
    dtype: TrainingDtype = TrainingDtype.FP32,
    base: BaseConfig | None = None,
) -> Run:
    """The pack's trainer as its node runs it, on weights in `dtype`."""

    def run(pause: Pause) -> None:
        class Watch(SilentObserver):
            def step(self, point: object, total_steps: int) -> None:
                pause()

        output = material.directory / f"lora-{os.getpid()}"
        config = TrainConfig(steps=FOREVER, batch_size=batch, gradient_checkpointing=checkpoint, training_dtype=dtype)
        model = material.model(resolve_dtype(dtype, torch.device("cpu")))
        with open_denoiser(model, material.cache.empty_text(), dtype=dtype, base=base) as denoiser:
            lora = LoraConfig(rank=RANK, alpha=RANK)
            recipe = TrainingRecipe(material.cache, settings, lora, OptimizerConfig(), config)
            train(denoiser, recipe, output, Watch())

    return run


class Turns:
    """In place of the native trainer's progress bar: its loop stands still between its steps."""

    def __init__(self, pause: Pause, total: int) -> None:
        self._pause, self._total = pause, total

    def __iter__(self) -> Iterator[int]:
        for index in range(self._total):
            if index:
                self._pause()
            yield index

    def set_postfix(self, *_: object) -> None:
        return None


def native(material: Material, batch: int = 1, bypass: bool = False, checkpoint: bool = False) -> Run:
    """ComfyUI's TrainLoraNode with its defaults but for precision, rank and checkpointing (at depth 2)."""

    def run(pause: Pause) -> None:
        native_trainer.trange = lambda total, **_: Turns(pause, total)
        cache = material.cache
        latents = [{"samples": cache.latent(entry)[None]} for entry in cache.entries]
        positive = [[[cache.text(entry)["cross_attn"], {}]] for entry in cache.entries]
        given = {
            "model": material.model(), "batch_size": batch, "steps": FOREVER, "grad_accumulation_steps": 1,
            "learning_rate": 1e-4, "rank": RANK, "optimizer": "AdamW", "loss_function": "MSE", "seed": 0,
            "training_dtype": "fp32", "lora_dtype": "fp32", "quantized_backward": False,
            "gradient_checkpointing": checkpoint, "checkpoint_depth": 2, "offloading": False,
            "existing_lora": "[None]", "bucket_mode": False, "bypass_mode": bypass,
            "algorithm": next(iter(native_trainer.adapter_maps)),
        }  # fmt: skip
        native_trainer.TrainLoraNode.execute(
            latents=latents, positive=positive, **{name: [value] for name, value in given.items()}
        )

    return run


def frozen(material: Material, batch: int = 1) -> Run:
    """Forward and backward of the model alone, as ComfyUI runs it: no adapter, no optimizer, no mask, none of ours."""

    def run(pause: Pause) -> None:
        chosen = material.cache.entries[:batch]
        with torch.inference_mode(False), torch.enable_grad():
            patcher = material.model()
            comfy.model_management.in_training = True
            comfy.model_management.load_models_gpu([patcher], force_full_load=True)
            model, sampling = patcher.model.requires_grad_(False), patcher.get_model_object("model_sampling")
            text = torch.cat([material.cache.text(entry)["cross_attn"] for entry in chosen])
            clean = model.process_latent_in(torch.stack([material.cache.latent(entry) for entry in chosen]))
            noise = torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
            sigma = torch.full((batch,), 0.5)
            while True:
                # What reaches the blocks needs a gradient, as it does behind the first adapter.
                noised = sampling.noise_scaling(sigma, noise, clean).requires_grad_(True)
                error = clean - model.apply_model(noised, sigma, c_crossattn=text)
                error.square().mean().backward()
                pause()

    return run
