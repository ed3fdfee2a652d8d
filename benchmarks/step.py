"""How long a training step takes here, in ComfyUI's own TrainLoraNode, and in the bare frozen model.

    COMFYUI_PATH=/path/to/ComfyUI /path/to/its/python -m benchmarks.step [--rounds 21] [--batch-rounds 5]

All contenders train the same random WAN (width 1024, 4 blocks, 256 picture tokens) on the same four pictures in fp32 on
the CPU with LoRAs of the same rank. Their captions have 120 tokens (--text-tokens), filled with zeros up to 512, as
ComfyUI's text encoder gives them to WAN. Each contender runs in a process of its own, in a thread as ComfyUI's nodes
do, and makes two steps in turn, so that a machine which is busy with other things is equally slow for all; the second
counts, for the first finds the caches full of what the others left there, as no step within a training does. Who begins
changes from round to round. On a virtual machine a step is made again when the host took more than a fiftieth of the
cores away meanwhile. Medians count. Peak memory is that of the process beyond its imports. Prints Markdown; nothing is
fetched, and what is written goes to a temporary directory.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

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
from maskloss.core.loss import elementwise_error, unnormalised_loss  # noqa: E402
from maskloss.core.mask_weights import MaskLossSettings, transform_weights  # noqa: E402
from maskloss.core.train.config import LoraConfig, OptimizerConfig, TrainConfig, TrainingDtype  # noqa: E402
from maskloss.core.train.loop import train  # noqa: E402
from maskloss.core.train.observer import SilentObserver  # noqa: E402
from maskloss.core.train.recipe import TrainingRecipe  # noqa: E402
from safetensors.torch import save_file  # noqa: E402

from .turns import Pause, measure, peak_kib  # noqa: E402

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
BOUNDS = (
    ("ours", "native", 0.50),
    ("ours", "native bypass", 1.0),
    ("ours", "frozen model", 1.15),
    ("ours with prior", "ours", 1.55),
    ("ours, checkpointing", "native, checkpointing", 0.60),
    ("ours, batch 4", "native, batch 4", 0.15),
    ("ours, batch 4", "frozen model, batch 4", 1.15),
)
PRIOR = MaskLossSettings(gamma=0.7, min_weight=0.05, prior_weight=0.5)


class Text:
    """Random embeddings as wide as WAN's own, and zeros after them."""

    identity = "random"

    def __init__(self, tokens: int = 120) -> None:
        self._tokens = tokens

    def encode(self, caption: str) -> dict[str, torch.Tensor]:
        embeddings = torch.zeros(1, 512, 4096)
        embeddings[:, : self._tokens].normal_(generator=torch.Generator().manual_seed(len(caption)))
        return {"cross_attn": embeddings}


Run = Callable[[Pause], None]


@dataclass(frozen=True)
class Material:
    """What all of them train on."""

    checkpoint: Path
    cache: LatentCache
    directory: Path

    def model(self) -> Any:
        return comfy.sd.load_diffusion_model(str(self.checkpoint), model_options={"dtype": torch.float32})


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


def random_weights() -> dict[str, torch.Tensor]:
    configuration = comfy.supported_models.WAN21_T2V(dict(WAN))
    configuration.set_inference_dtype(torch.float32, None)
    generator = torch.Generator().manual_seed(0)
    weights = {}
    for name, value in configuration.get_model({}, "", device="cpu").diffusion_model.state_dict().items():
        noise = torch.randn(value.shape, generator=generator)
        weights[name] = noise * value[0].numel() ** -0.5 if value.ndim >= 2 else 1 + noise * 0.02
    return weights


def ours(
    material: Material, batch: int = 1, settings: MaskLossSettings | None = MASKS, checkpoint: bool = False
) -> Run:
    """The pack's trainer as its node runs it."""

    def run(pause: Pause) -> None:
        class Watch(SilentObserver):
            def step(self, point: object, total_steps: int) -> None:
                pause()

        output = material.directory / f"lora-{os.getpid()}"
        config = TrainConfig(
            steps=FOREVER, batch_size=batch, gradient_checkpointing=checkpoint, training_dtype=TrainingDtype.FP32
        )
        with open_denoiser(material.model(), material.cache.empty_text()) as denoiser:
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


def loss_seconds(material: Material, repeats: int = 50) -> float:
    """Median seconds of the mask transform, the error, and the weighted loss with its backward pass."""
    cache = material.cache
    entry = cache.entries[0]
    raw = cache.weights(entry)
    assert raw is not None
    difference = torch.randn(1, *entry.latent_shape, requires_grad=True)
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        weights = transform_weights(raw[None], MASKS)
        loss = unnormalised_loss(elementwise_error(difference, MASKS), weights, MASKS.normalization, torch.ones(1))
        torch.autograd.grad(loss, difference)
        seconds.append(time.perf_counter() - start)
    return statistics.median(seconds)


# By name: what runs in the contender's process.
CONTENDERS: dict[str, Callable[[Material], Run]] = {
    "native": native,
    "native bypass": lambda material: native(material, bypass=True),
    "ours": ours,
    "frozen model": frozen,
    "ours with prior": lambda material: ours(material, settings=PRIOR),
    "native, checkpointing": lambda material: native(material, checkpoint=True),
    "ours, checkpointing": lambda material: ours(material, checkpoint=True),
    "native, batch 4": lambda material: native(material, 4),
    "ours, batch 4": lambda material: ours(material, 4),
    "frozen model, batch 4": lambda material: frozen(material, 4),
}


def contend(name: str, directory: Path) -> None:
    """The life of a contender's process."""
    material = prepare(directory, Text())  # its captions are cached already, at whatever length
    pause = Pause(peak_kib())

    def execute() -> None:
        pause.wait()
        with torch.inference_mode():
            CONTENDERS[name](material)(pause)

    # ComfyUI executes its nodes in a thread, where memory is given out otherwise than in a program's first one.
    with ThreadPoolExecutor(1) as nodes:
        nodes.submit(execute).result()


def commands(names: Sequence[str], directory: Path) -> dict[str, list[str]]:
    """What starts each contender's process."""
    program = [sys.executable, "-m", "benchmarks.step", "--directory", str(directory)]
    return {name: [*program, "--contender", name] for name in names}


def table(rows: Sequence[tuple[str, float, float]]) -> None:
    print("\n| ratio | measured | bound | |\n|---|---|---|---|")
    for name, value, bound in rows:
        print(f"| {name} | {value:.3f} | ≤ {bound:g} | {'kept' if value <= bound else '**missed**'} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=21, help="timed steps of each contender at batch 1")
    parser.add_argument("--batch-rounds", type=int, default=5, help="timed steps of each contender at batch 4")
    parser.add_argument("--text-tokens", type=int, default=120, help="tokens of each caption, of 512")
    parser.add_argument("--contender", choices=CONTENDERS, help=argparse.SUPPRESS)
    parser.add_argument("--directory", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    comfy.utils.PROGRESS_BAR_ENABLED = False
    if options.contender:
        contend(options.contender, options.directory)
        return
    with tempfile.TemporaryDirectory() as temporary:
        directory = Path(temporary)
        material = prepare(directory, Text(options.text_tokens))
        groups = [name for name in CONTENDERS if "," not in name], [name for name in CONTENDERS if "checkp" in name]
        results = {
            name: result
            for group in groups
            for name, result in measure(commands(group, directory), options.rounds).items()
        }
        four = [name for name in CONTENDERS if "batch 4" in name]
        results |= measure(commands(four, directory), options.batch_rounds)
        weighing = loss_seconds(material)
    print("| contender | median of a step | peak memory |\n|---|---|---|")
    for name, result in results.items():
        print(f"| {name} | {result.seconds:.3f} s | {result.mebibytes:.0f} MiB |")
    print(f"| mask transform and weighted loss alone | {weighing:.5f} s | |")
    table(
        [
            *((f"{a} / {b}", results[a].seconds / results[b].seconds, bound) for a, b, bound in BOUNDS),
            ("mask transform and loss / step", weighing / results["ours"].seconds, 0.01),
            ("peak memory, ours / native", results["ours"].mebibytes / results["native"].mebibytes, 0.6),
        ]
    )


if __name__ == "__main__":
    main()
